"""A specification of what devices may show of one file, and a checker of histories.

After Hughes, Pierce, Arts and Norell, "Mysteries of Dropbox: property-based testing of a distributed synchronization
service" (ICST 2016). A device uploads and downloads at any time, unseen. The checker keeps every state that explains
the history so far; an observation that none of them explains is a fault of the client.

The value of a file is its content, or its name in histories of moves; None where it is missing. Each written value is
new. A device is `fresh` if it has seen the server's value, `clean` if it has sent its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

Value = int | None


class DeviceState(NamedTuple):
    local: Value
    is_fresh: bool
    is_clean: bool


@dataclass(frozen=True)
class ModelState:
    """The server's value, those of conflict copies, and what each device has."""

    server: Value
    conflicts: frozenset[int]
    devices: tuple[DeviceState, ...]

    def put(self, number: int, device: DeviceState) -> "ModelState":
        return replace(self, devices=(*self.devices[:number], device, *self.devices[number + 1 :]))

    def send(self, number: int) -> "ModelState":
        """Let the device's value become that of the server, unseen by all others."""
        local = self.devices[number].local
        others = tuple(device._replace(is_fresh=False) for device in self.devices)
        return replace(self, server=local, devices=others).put(number, DeviceState(local, True, True))


class Unexplained(AssertionError):
    """No run of the specification shows this history."""


class Checker:
    """The states that explain a history so far."""

    def __init__(self, devices: int, value: Value, *, keeps_losers: bool = True) -> None:
        """All devices have `value`. `keeps_losers`: of two contents both survive; of two names the first one counts."""
        start = ModelState(value, frozenset(), (DeviceState(value, True, True),) * devices)
        self.states: Final[set[ModelState]] = {start}
        self._keeps_losers = keeps_losers

    def read(self, number: int, value: Value) -> None:
        """Observe the value on a device."""
        self._filter({state for state in self._close() if state.devices[number].local == value})

    def write(self, number: int, new: Value, old: Value) -> None:
        """Observe that a device's value `old` was replaced by its user."""
        self._filter(
            {
                state.put(number, state.devices[number]._replace(local=new, is_clean=False))
                for state in self._close()
                if state.devices[number].local == old
            }
        )

    def settle(self, value: Value, conflicts: frozenset[int]) -> None:
        """Observe that nothing is left to do, with this value everywhere."""
        end = DeviceState(value, True, True)
        self._filter(
            {
                state
                for state in self._close()
                if (state.server, state.conflicts) == (value, conflicts) and set(state.devices) == {end}
            }
        )

    def _filter(self, states: set[ModelState]) -> None:
        if not states:
            raise Unexplained
        self.states.clear()
        self.states.update(states)

    def _close(self) -> set[ModelState]:
        found, waiting = set(self.states), list(self.states)
        while waiting:
            for state in self._act(waiting.pop()):
                if state not in found:
                    found.add(state)
                    waiting.append(state)
        return found

    def _act(self, state: ModelState) -> Iterator[ModelState]:
        """Yield the states after one upload or download."""
        for number, device in enumerate(state.devices):
            if not device.is_clean:
                yield self._upload(state, number, device)
            elif not device.is_fresh:
                yield state.put(number, DeviceState(state.server, True, True))

    def _upload(self, state: ModelState, number: int, device: DeviceState) -> ModelState:
        clean = device._replace(is_clean=True)
        if device.is_fresh:
            return state.send(number) if device.local != state.server else state.put(number, clean)
        if device.local is None or device.local == state.server:
            return state.put(number, clean)
        if state.server is None:
            return state.send(number)
        if not self._keeps_losers:
            return state.put(number, clean)
        # The local file becomes the conflict copy; its name is free until the download.
        kept = replace(state, conflicts=state.conflicts | {device.local})
        return kept.put(number, DeviceState(None, False, True))
