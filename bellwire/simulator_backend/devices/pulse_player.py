"""The sequences of an emulated Pulse Streamer: held, waiting, playing, finished.

Owns time: what plays is computed from when it was started, so nothing runs while it plays. Turns the knobs
`pulse_rate_hz.0` to `pulse_rate_hz.7`: rising edges a second on each channel. Refuses the dialect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from bellwire.drivers.pulse_streamer_words import CHANNELS, Sequence
from bellwire.simulator_backend.devices.surroundings import Wiring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class State(IntEnum):
    """As the maker numbers them."""

    IDLING = 0
    STREAMING = 2
    FINISHED = 3
    ERROR = 4


class Start(IntEnum):
    """What starts a sequence, as the maker numbers it."""

    IMMEDIATE = 0
    SOFTWARE = 1


class Rearm(IntEnum):
    """Whether a sequence waits for its trigger again, as the maker numbers it."""

    AUTO = 0
    MANUAL = 1


@dataclass(frozen=True, slots=True)
class Playing:
    """A sequence that was started; `ends_ns` None: it plays for ever."""

    started_ns: int
    ends_ns: int | None


class PulsePlayer:
    """What one powered instrument plays. `start`, `rearm`: of the trigger."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self.start: int = Start.IMMEDIATE
        self.rearm: int = Rearm.AUTO
        self.constant_mask = 0
        self.underflow = False
        self.sequence: Sequence | None = None
        self._playing: Playing | None = None
        self._armed = False
        self._rates_hz: dict[int, float] = {}
        self._shining = False

    def take(self, sequence: Sequence, now_ns: int) -> None:
        """Hold a sequence, and play it at once if the trigger says so."""
        self.sequence, self._playing, self.underflow = sequence, None, False
        self._rates_hz = _rates_hz(self.steps())
        self._armed = True
        if self.start == Start.IMMEDIATE:
            self._begin(now_ns)
        self.look(now_ns)

    def software_trigger(self, now_ns: int) -> bool:
        """Begin if it waits for that; whether it did."""
        if self.start != Start.SOFTWARE or not self._armed or self.streams(now_ns):
            return False
        self._begin(now_ns)
        self.look(now_ns)
        return True

    def arm(self) -> bool:
        """Let a held sequence wait for its trigger once more; whether there is one."""
        self._armed = self.sequence is not None
        return self._armed

    def halt(self, mask: int, now_ns: int) -> None:
        """Forget the sequence; the outputs stay at `mask`."""
        self.sequence, self._playing, self.constant_mask = None, None, mask
        self._armed = False
        self.look(now_ns)

    def starve(self, now_ns: int) -> None:
        """Steps came too late: it stops, and says so."""
        self.underflow = True
        self._playing = None
        self.look(now_ns)

    def steps(self) -> NDArray[np.void]:
        """The steps: duration_ns, mask, analog 0, analog 1."""
        import numpy as np

        kind = np.dtype([("duration_ns", "<u4"), ("mask", "u1"), ("a0", "<i2"), ("a1", "<i2")])
        return np.frombuffer(b"" if self.sequence is None else self.sequence.steps, kind)

    def duration_ns(self) -> int:
        """Of one run."""
        return int(self.steps()["duration_ns"].sum(dtype="u8"))

    def streams(self, now_ns: int) -> bool:
        """Whether it plays at that time."""
        playing = self._playing
        return playing is not None and (playing.ends_ns is None or now_ns < playing.ends_ns)

    def state(self, now_ns: int) -> State:
        """In the maker's words."""
        if self.underflow:
            return State.ERROR
        if self.streams(now_ns):
            return State.STREAMING
        return State.FINISHED if self._playing is not None else State.IDLING

    def look(self, now_ns: int) -> None:
        """Tell the World what comes out now."""
        shines = self.streams(now_ns)
        if shines or self._shining:
            for channel in CHANNELS:
                rate_hz = self._rates_hz.get(channel, 0.0) if shines else 0.0
                self._wiring.turn(f"pulse_rate_hz.{channel}", rate_hz, now_ns)
        self._shining = shines

    def _begin(self, now_ns: int) -> None:
        assert self.sequence is not None
        self._armed = self.rearm == Rearm.AUTO
        runs = self.sequence.runs
        self._playing = Playing(now_ns, None if runs < 0 else now_ns + runs * self.duration_ns())


def _rates_hz(steps: Any) -> dict[int, float]:
    """Rising edges a second of each channel of a sequence that repeats."""
    import numpy as np

    duration_ns = int(steps["duration_ns"].sum(dtype="u8"))
    if duration_ns == 0:
        return {}
    masks = steps["mask"][steps["duration_ns"] > 0]
    rising = masks & ~np.roll(masks, 1)
    return {channel: float((rising >> channel & 1).sum()) * 1e9 / duration_ns for channel in CHANNELS}
