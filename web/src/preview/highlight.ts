// Colours of source code, as names of classes.

import { createCssVariablesTheme, createHighlighterCore, type LanguageInput } from "shiki/core";
import { createJavaScriptRegexEngine } from "shiki/engine/javascript";

export interface Token {
  text: string;
  /** Such as `keyword`, `string`, `comment`. */
  kind: string;
}

const GRAMMARS: Record<string, LanguageInput> = {
  bash: () => import("shiki/langs/bash.mjs"),
  c: () => import("shiki/langs/c.mjs"),
  cpp: () => import("shiki/langs/cpp.mjs"),
  csharp: () => import("shiki/langs/csharp.mjs"),
  css: () => import("shiki/langs/css.mjs"),
  diff: () => import("shiki/langs/diff.mjs"),
  docker: () => import("shiki/langs/docker.mjs"),
  go: () => import("shiki/langs/go.mjs"),
  html: () => import("shiki/langs/html.mjs"),
  ini: () => import("shiki/langs/ini.mjs"),
  java: () => import("shiki/langs/java.mjs"),
  javascript: () => import("shiki/langs/javascript.mjs"),
  json: () => import("shiki/langs/json.mjs"),
  jsx: () => import("shiki/langs/jsx.mjs"),
  kotlin: () => import("shiki/langs/kotlin.mjs"),
  lua: () => import("shiki/langs/lua.mjs"),
  make: () => import("shiki/langs/make.mjs"),
  perl: () => import("shiki/langs/perl.mjs"),
  php: () => import("shiki/langs/php.mjs"),
  python: () => import("shiki/langs/python.mjs"),
  r: () => import("shiki/langs/r.mjs"),
  ruby: () => import("shiki/langs/ruby.mjs"),
  rust: () => import("shiki/langs/rust.mjs"),
  sql: () => import("shiki/langs/sql.mjs"),
  swift: () => import("shiki/langs/swift.mjs"),
  toml: () => import("shiki/langs/toml.mjs"),
  tsx: () => import("shiki/langs/tsx.mjs"),
  typescript: () => import("shiki/langs/typescript.mjs"),
  xml: () => import("shiki/langs/xml.mjs"),
  yaml: () => import("shiki/langs/yaml.mjs"),
};

const THEME = "css-variables";

const highlighter = createHighlighterCore({
  themes: [createCssVariablesTheme({ name: THEME })],
  engine: createJavaScriptRegexEngine({ forgiving: true }),
});

/** Return the tokens of each line. */
export async function highlight(code: string, language: string): Promise<Token[][]> {
  const grammar = GRAMMARS[language];
  if (!grammar) return code.split("\n").map((text) => [{ text, kind: "text" }]);
  const ready = await highlighter;
  await ready.loadLanguage(grammar);
  const { tokens } = ready.codeToTokens(code, { lang: language, theme: THEME });
  return tokens.map((line) => line.map(({ content, color }) => ({ text: content, kind: kindOf(color) })));
}

/** The theme names colours by variables: `var(--shiki-token-keyword)`. */
function kindOf(color: string | undefined): string {
  return /--shiki-token-([a-z-]+)/.exec(color ?? "")?.[1] ?? "text";
}
