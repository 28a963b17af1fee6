// The script of the test page: a client of the API by the browser's own means, as a page of an application has it.

export type Client = ReturnType<typeof createClient>;

declare global {
  interface Window {
    client: Client;
  }
}

interface Upload {
  id: string;
  chunk_size_bytes: number;
  chunk_count: number;
  missing: string;
}

interface Tokens {
  access_token: string;
  refresh_token: string | null;
}

interface SignedPart {
  number: number;
  url: string;
  headers: Record<string, string>;
}

/** Return the client. The page gets the source of this function alone: it refers to nothing outside. */
export function createClient() {
  const LANES = 4;
  /** Headers of every request to the API. */
  let credentials: Record<string, string> = {};
  /** Chunks that the store has confirmed to this page, and chunks that it had before. */
  const progress = { sent: 0, found: 0 };

  async function call<Answer>(method: string, path: string, body?: object): Promise<Answer> {
    const answer = await fetch(path, {
      method,
      headers: {
        ...credentials,
        ...(body && { "Content-Type": "application/json" }),
      },
      body: body ? JSON.stringify(body) : null,
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text || "null");
  }

  /** Sign in, with a cookie for later visits of this page. */
  function signIn(username: string, password: string): Promise<Tokens> {
    return begin("/v1/auth/token", new URLSearchParams({ grant_type: "password", username, password }));
  }

  /** Get new tokens for the session of the cookie. */
  function refresh(): Promise<Tokens> {
    return begin("/v1/auth/refresh");
  }

  /** Make a passkey for the account that is signed in. */
  async function addPasskey(name: string): Promise<{ recovery_codes: string[] }> {
    const options = await call<PublicKeyCredentialCreationOptionsJSON>("POST", "/v1/me/passkeys/options");
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
    const credential = (await navigator.credentials.create({ publicKey })) as PublicKeyCredential;
    return call("POST", "/v1/me/passkeys", { name, credential: credential.toJSON() });
  }

  async function signInWithPasskey(): Promise<Tokens> {
    const options = await call<PublicKeyCredentialRequestOptionsJSON>("POST", "/v1/auth/passkey/options");
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const credential = (await navigator.credentials.get({ publicKey })) as PublicKeyCredential;
    const body = new Blob([JSON.stringify({ credential: credential.toJSON() })], { type: "application/json" });
    return begin("/v1/auth/passkey", body);
  }

  /** Send a request that answers tokens, and use them. */
  async function begin(path: string, body: BodyInit | null = null): Promise<Tokens> {
    const answer = await fetch(path, { method: "POST", headers: { "X-Session": "cookie" }, body });
    if (answer.status === 204) throw new Error(`${path}: 204, there is no session`);
    const tokens = await answer.json();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${tokens.code}`);
    credentials = { Authorization: `Bearer ${tokens.access_token}` };
    return tokens;
  }

  async function signOut(): Promise<void> {
    await fetch("/v1/auth/logout", { method: "POST", headers: { "X-Session": "cookie" } });
    credentials = {};
  }

  /** Return the file that a person has chosen in the page. */
  function chosenFile(): File {
    const file = document.querySelector("input")?.files?.[0];
    if (!file) throw new Error("no file is chosen");
    return file;
  }

  async function hash(blob: Blob): Promise<string> {
    const digest = await crypto.subtle.digest("SHA-256", await blob.arrayBuffer());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** Send the chosen file to the root folder, or what the store lacks of it. */
  async function upload(): Promise<void> {
    const file = chosenFile();
    const { upload, parts } = await call<{ upload: Upload; parts: SignedPart[] }>("POST", "/v1/uploads", {
      fingerprint: await hash(file),
      size_bytes: file.size,
      destination: { name: file.name },
    });
    const session = `/v1/uploads/${upload.id}`;
    if (parts[0]) await put(parts[0], file);
    else await sendMissing(file, session);
    await call("POST", `${session}/complete`);
  }

  /** Send the chosen file to an upload link, or what the store lacks of it. */
  async function uploadByLink(token: string): Promise<void> {
    const file = chosenFile();
    // The page remembers the secret for the next visit.
    const secret: string = (localStorage[token] ??= await hash(new Blob([crypto.getRandomValues(new Uint8Array(32))])));
    const { upload } = await call<{ upload: Upload }>("POST", `/v1/public/links/${token}/uploads`, {
      secret_sha256: await hash(new Blob([secret])),
      client_ref: `${file.name} ${file.lastModified} ${file.size}`,
      name: file.name,
      size_bytes: file.size,
    });
    credentials = { "X-Upload-Secret": secret };
    const session = `/v1/public/links/${token}/uploads/${upload.id}`;
    await sendMissing(file, session);
    await call("POST", `${session}/complete`, { fingerprint: await hash(file) });
  }

  async function sendMissing(file: File, session: string): Promise<void> {
    const upload = await call<Upload>("POST", `${session}/reconcile`);
    const numbers = readRanges(upload.missing);
    progress.found = upload.chunk_count - numbers.length;
    const lane = async () => {
      for (let number = numbers.shift(); number; number = numbers.shift()) {
        const begin = (number - 1) * upload.chunk_size_bytes;
        const chunk = file.slice(begin, begin + upload.chunk_size_bytes);
        const wanted = { parts: [{ number, sha256: await hash(chunk) }] };
        const { parts } = await call<{ parts: [SignedPart] }>("POST", `${session}/parts`, wanted);
        await put(parts[0], chunk);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
  }

  async function put({ url, headers }: SignedPart, chunk: Blob): Promise<void> {
    const answer = await fetch(url, { method: "PUT", headers, body: chunk });
    if (!answer.ok) throw new Error(`PUT to the store: ${answer.status} ${await answer.text()}`);
    progress.sent += 1;
  }

  /** Return the numbers of a set such as "1-3,7". */
  function readRanges(ranges: string): number[] {
    return ranges.split(",").flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
  }

  return { call, signIn, signInWithPasskey, refresh, signOut, addPasskey, upload, uploadByLink, hash, progress };
}
