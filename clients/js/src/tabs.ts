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

/** Hold the lock of a tab, or of a part of one, until it ends; resolves when it is held. Without locks do nothing. */
export async function holdTab(tab: string, ended: Promise<void>): Promise<void> {
  await new Promise<void>((held) => {
    const hold = () => {
      held();
      return ended;
    };
    if (getLocks()?.request(lockOf(tab), hold) === undefined) held();
  });
}

/** Wait until a tab has ended; return whether it did before the signal. Without locks no tab is known to live. */
export async function waitUntilEnded(tab: string, signal: AbortSignal): Promise<boolean> {
  try {
    await getLocks()?.request(lockOf(tab), { signal }, () => undefined);
    return true;
  } catch {
    return false;
  }
}

function lockOf(tab: string): string {
  return `dropbox-api-tab-${tab}`;
}
