// The format of server-sent events, as far as this server uses it. `EventSource` cannot send a token.

export interface ServerSentEvent {
  id: string;
  event: string;
  data: string;
}

/** Read events from the pieces of a body. The last one, without the empty line at its end, is incomplete and left out. */
export async function* readServerSentEvents(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let [text, fields] = ["", { id: "", event: "message", data: [] as string[] }];
  for await (const piece of pieces) {
    const lines = (text + decoder.decode(piece, { stream: true })).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines.map((line) => line.replace(/\r$/, ""))) {
      if (line === "") {
        if (fields.data.length > 0) yield { ...fields, data: fields.data.join("\n") };
        fields = { id: fields.id, event: "message", data: [] };
      }
      const [, name, content = ""] = /^(\w+)(?:: ?(.*))?$/.exec(line) ?? [];
      if (name === "data") fields.data.push(content);
      else if (name === "id" || name === "event") fields[name] = content;
    }
  }
}
