"""A Time Tagger as an instrument, without any library: inputs, test signals, overflows, plug and power.

Owns what survives the library's objects, and the events of each channel. Rising edges are channels +n,
falling ones -n. Times are int64 ps since the instrument was switched on. Refuses to know the library:
swabian_standin.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bellwire.simulator_backend.devices.surroundings import Wiring
from bellwire.simulator_backend.devices.tag_cells import PULSE_PS, TagCells, sees_pulses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

RANGE_V: Mapping[str, tuple[float, float]] = {
    "Time Tagger 20": (0.0, 2.5),
    "Time Tagger Ultra": (-2.5, 2.5),
    "Time Tagger X": (-1.0, 1.0),
}
LEVEL_V = 0.5
LEVEL_STEP_V = 5.0 / 4096
TEST_PERIOD_PS = 1_111_111


class SwabianDevice:
    """One instrument with `inputs` inputs. `attached`: whether its cable is in. `served`: whether its Time
    Tagger server runs; without it a client still tells what it knew last.
    """

    def __init__(
        self,
        wiring: Wiring,
        *,
        serial_number: str = "2138000XYZ",
        model: str = "Time Tagger Ultra",
        inputs: int = 8,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.serial_number = serial_number
        self.model = model
        self.inputs = inputs
        self.attached = True
        self.served = True
        self.in_use = False
        self.overflows = 0
        self._clock = clock
        self._switched_on_ns = clock()
        self._cells = TagCells(wiring, self._switched_on_ns)
        self._overflowed: list[tuple[int, int | None]] = []
        self.reset()

    @property
    def range_v(self) -> tuple[float, float]:
        """Trigger levels that the model can do."""
        return RANGE_V[self.model]

    def reset(self) -> None:
        """The start-up state."""
        self._levels_v = dict.fromkeys(range(1, self.inputs + 1), LEVEL_V)
        self._delays_ps: dict[int, int] = {}
        self._tested: set[int] = set()

    def now_ps(self) -> int:
        """The time of the instrument."""
        return (self._clock() - self._switched_on_ns) * 1000

    def has(self, channel: int) -> bool:
        """Whether there is such an input, by the number of either edge."""
        return 1 <= abs(channel) <= self.inputs

    # -- settings -------------------------------------------------------------------------------------------

    def set_level(self, channel: int, volts: float) -> None:
        """To the nearest step of the converter, within its range."""
        low, high = self.range_v
        self._levels_v[abs(channel)] = min(max(round(volts / LEVEL_STEP_V) * LEVEL_STEP_V, low), high)

    def level(self, channel: int) -> float:
        """Trigger level in V."""
        return self._levels_v[abs(channel)]

    def set_delay(self, channel: int, delay_ps: int) -> None:
        """Of one edge."""
        self._delays_ps[channel] = delay_ps

    def delay(self, channel: int) -> int:
        """In ps."""
        return self._delays_ps.get(channel, 0)

    def set_tested(self, channel: int, on: bool) -> None:
        """Connect the test signal, or the connector."""
        (self._tested.add if on else self._tested.discard)(abs(channel))

    def is_tested(self, channel: int) -> bool:
        """Whether the test signal is connected."""
        return abs(channel) in self._tested

    # -- events ---------------------------------------------------------------------------------------------

    def begin_overflow(self) -> None:
        """From now on tags are lost on their way to the computer."""
        self.overflows += 1
        self._overflowed.append((self.now_ps(), None))

    def end_overflow(self) -> None:
        """Tags arrive again."""
        if self._overflowed and self._overflowed[-1][1] is None:
            self._overflowed[-1] = (self._overflowed[-1][0], self.now_ps())

    def overflows_between(self, start_ps: int, stop_ps: int) -> list[tuple[int, int | None]]:
        """Overflows that touch an interval; an end of None is still to come."""
        return [
            (begin, end)
            for begin, end in self._overflowed
            if begin < stop_ps and (end is None or end >= start_ps)
        ]

    def events(self, channel: int, start_ps: int, stop_ps: int) -> Times:
        """Events of a channel in [start, stop), in order."""
        late_ps = self.delay(channel) + (PULSE_PS if channel < 0 else 0)
        begin, end = start_ps - late_ps, stop_ps - late_ps
        if self.is_tested(channel):
            first = -(-begin // TEST_PERIOD_PS)
            return TEST_PERIOD_PS * np.arange(first, -(-end // TEST_PERIOD_PS), dtype=np.int64) + late_ps
        if not sees_pulses(self.level(channel)):
            return np.empty(0, np.int64)
        return self._cells.times(str(abs(channel)), begin, min(end, self.now_ps())) + late_ps
