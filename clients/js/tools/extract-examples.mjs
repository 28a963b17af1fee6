// Write the TypeScript examples of the documentation to files that the compiler checks.

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";

const PAGES = ["README.md", "../../docs/javascript.md", "../../docs/upload-engine.md"];
const FOLDER = "tests/examples.gen";

await rm(FOLDER, { recursive: true, force: true });
await mkdir(FOLDER);
let count = 0;
for (const page of PAGES) {
  for (const [, example] of (await readFile(page, "utf8")).matchAll(/^```ts\n(.*?)^```$/gms)) {
    await writeFile(
      `${FOLDER}/${++count}.ts`,
      `// From ${page}\ndeclare function fetchToken(): Promise<string>;\n${example}`,
    );
  }
}
