"""A Ctrl-C is heard while we wait: for a lock, for the network, for a part to land."""

import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def awake(look: Callable[[], None] = lambda: None, each_s: float = 1) -> Iterator[None]:
    """Let the interpreter look for signals now and then, while the context lasts; for the main thread.

    A signal that comes on the way into a call that waits is handled when that call returns, which it may never do: to
    be interrupted once more, by a timer, is what the call needs. `look` is called each time, and may raise.
    """
    handler = signal.signal(signal.SIGALRM, lambda *_: look())
    timer = signal.setitimer(signal.ITIMER_REAL, each_s, each_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)
