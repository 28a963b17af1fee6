// What the tabs of one browser share: locks and messages. Pages over http on a local network have no locks.

/** Messages to the other tabs that opened a channel of the same name. */
export interface Channel<Message> {
  post(message: Message): void;
  close(): void;
}

export function openChannel<Message>(name: string, onMessage: (message: Message) => void): Channel<Message> {
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }: MessageEvent<Message>) => onMessage(data);
  return { post: (message) => channel.postMessage(message), close: () => channel.close() };
}

/** The locks of the browser, or undefined where it has none. */
export function getLocks(): LockManager | undefined {
  return globalThis.navigator?.locks;
}

/** Do some work while no other tab does work under the same name. Without locks do it at once. */
export async function runAlone<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  const locks = getLocks();
  return locks ? locks.request(name, work) : work();
}
