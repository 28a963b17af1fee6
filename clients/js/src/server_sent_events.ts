// The format of server-sent events, as far as this server uses it. `EventSource` cannot send a token.

export interface ServerSentEvent {
  id: string;
  event: string;
  data: string;
}

/** Read events until the connection ends, whether the server ended it or it was cut. `onBytes` is called whenever something arrives, comments included. */
export async function* readServerSentEvents(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void = () => {},
): AsyncGenerator<ServerSentEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader();
  let [text, fields] = ["", { id: "", event: "message", data: [] as string[] }];
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      if (done) return; // without its empty line the last event is incomplete
      onBytes();
      const lines = (text + value).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
        if (line === "") {
          if (fields.data.length > 0) yield { ...fields, data: fields.data.join("\n") };
          fields = { id: fields.id, event: "message", data: [] };
        }
        const [, name, content = ""] = /^(\w+)(?:: ?(.*))?$/s.exec(line) ?? [];
        if (name === "data") fields.data.push(content);
        else if (name === "id" || name === "event") fields[name] = content;
      }
    }
  } finally {
    await reader.cancel().catch(() => {}); // the connection may have ended already
  }
}
