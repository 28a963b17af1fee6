// While uploads run: the screen stays on, and the browser asks before it closes the page.

/** Return a function that turns both on and off. */
export function keepAwake(): (isOn: boolean) => void {
  let isOn = false;
  let lock: WakeLockSentinel | null = null;
  const warn = (event: BeforeUnloadEvent) => event.preventDefault();
  const acquire = async () => {
    if (!isOn || lock || document.visibilityState !== "visible" || !navigator.wakeLock) return;
    try {
      const acquired = await navigator.wakeLock.request("screen");
      acquired.addEventListener("release", () => {
        lock = null;
      });
      lock = acquired;
      if (!isOn) await acquired.release();
    } catch {
      // The battery is low, or a policy forbids it: uploads go on.
    }
  };
  const onVisible = () => void acquire(); // a hidden page loses its lock
  return (next) => {
    if (next === isOn) return;
    isOn = next;
    if (isOn) {
      addEventListener("beforeunload", warn);
      document.addEventListener("visibilitychange", onVisible);
      void acquire();
    } else {
      removeEventListener("beforeunload", warn);
      document.removeEventListener("visibilitychange", onVisible);
      void lock?.release();
    }
  };
}
