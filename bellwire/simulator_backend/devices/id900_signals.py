"""Events inside an emulated Time Controller: inputs, delays, combiners, generators, as sorted times.

Owns what each block makes of the events that its links bring, by looking back at an interval that is over.
Times are int64 ps since the instrument was switched on. Refuses the future: whoever asks names an end that
has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bellwire.simulator_backend.devices.scpi_parameters import Value
from bellwire.simulator_backend.devices.surroundings import Wiring
from bellwire.simulator_backend.devices.tag_cells import PULSE_PS, TagCells, sees_pulses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

LOOK_BACK_PS = 1_000_000_000
DEPTH_MAX = 8
"""Blocks in a row; links in a circle end here."""


class Signals:
    """Events of the blocks of one instrument; `read(key, number)` gives a setting.

    The falling edge of a detector's pulse comes later than its rising one (tag_cells.py).
    """

    def __init__(self, wiring: Wiring, switched_on_ns: int, read: Callable[[str, int], Value]) -> None:
        self._origin_ns = switched_on_ns
        self._read = read
        self._cells = TagCells(wiring, switched_on_ns)
        self._played: dict[int, int] = {}

    def since_start_ps(self, now_ns: int) -> int:
        """A moment in the time of the instrument."""
        return (now_ns - self._origin_ns) * 1000

    def generator(self, number: int, playing_since_ps: int | None) -> None:
        """A generator starts, or stops (None)."""
        if playing_since_ps is None:
            self._played.pop(number, None)
        else:
            self._played[number] = playing_since_ps

    def events(self, link: str, start_ps: int, stop_ps: int, depth: int = 0) -> Times:
        """Events of a block in [start, stop), in order."""
        if link == "NONE" or depth > DEPTH_MAX or stop_ps <= start_ps:
            return np.empty(0, np.int64)
        if link == "STAR":
            return self._input("STAR", 1, "start", start_ps, stop_ps)
        name, number = link.rstrip("0123456789"), int(link.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") or 0)
        if name == "INPU":
            return self._input("INPU", number, str(number), start_ps, stop_ps)
        if name == "DELA":
            delay_ps = self._whole("DELA.value", number)
            source = str(self._read("DELA.link", number))
            return self.events(source, start_ps - delay_ps, stop_ps - delay_ps, depth + 1) + delay_ps
        if name == "TSCO":
            return self._combined(number, start_ps, stop_ps, depth)
        if name == "GEN":
            return self._generated(number, start_ps, stop_ps)
        return np.empty(0, np.int64)

    def _whole(self, key: str, number: int) -> int:
        value = self._read(key, number)
        assert isinstance(value, int)
        return value

    def _combined(self, number: int, start_ps: int, stop_ps: int, depth: int) -> Times:
        first = self.events(str(self._read("TSCO.first", number)), start_ps, stop_ps, depth + 1)
        outside = self._read("TSCO.outside", number)
        if not self._read("TSCO.window", number):
            return first if outside == "ONLYFIR" else np.empty(0, np.int64)
        inside = self._is_inside(number, first, start_ps, stop_ps, depth)
        passed = np.zeros(len(first), np.bool_)
        if self._read("TSCO.inside", number) == "ONLYFIR":
            passed |= inside
        if outside == "ONLYFIR":
            passed |= ~inside
        return first[passed]

    def _is_inside(
        self, number: int, times: Times, start_ps: int, stop_ps: int, depth: int
    ) -> NDArray[np.bool_]:
        """Whether the window was open: the last edge that concerns it has opened it."""
        begin_ps = self._whole("TSCO.begin_delay", number)
        end_ps = self._whole("TSCO.end_delay", number)
        opener = str(self._read("TSCO.begin_link", number))
        closer = str(self._read("TSCO.end_link", number))
        back_ps = max(begin_ps, end_ps) + (0 if opener == closer else LOOK_BACK_PS)
        opened = self.events(opener, start_ps - back_ps, stop_ps, depth + 1) + begin_ps
        latest = np.searchsorted(opened, times, side="right") - 1
        inside = latest >= 0
        if opener == closer:  # each edge opens a window of its own
            inside[inside] = times[inside] - opened[latest[inside]] < end_ps - begin_ps
            return inside
        closed = self.events(closer, start_ps - back_ps, stop_ps, depth + 1) + end_ps
        shut = np.searchsorted(closed, times, side="right") - 1
        both = inside & (shut >= 0)
        inside[both] = opened[latest[both]] > closed[shut[both]]
        return inside

    def _generated(self, number: int, start_ps: int, stop_ps: int) -> Times:
        since_ps = self._played.get(number)
        if since_ps is None or not self._read("GEN.enabled", number):
            return np.empty(0, np.int64)
        period_ps, pulses = self._whole("GEN.period", number), self._whole("GEN.number", number)
        first = max(0, -((since_ps - start_ps) // period_ps))
        past = max(first, -((since_ps - stop_ps) // period_ps))
        if pulses >= 0:
            first, past = min(first, pulses), min(past, pulses)
        return since_ps + period_ps * np.arange(first, past, dtype=np.int64)

    def _input(self, key: str, number: int, word: str, start_ps: int, stop_ps: int) -> Times:
        level_v = self._read(f"{key}.threshold", number)
        assert isinstance(level_v, float | int)
        if not self._read(f"{key}.enabled", number) or not sees_pulses(level_v):
            return np.empty(0, np.int64)
        late_ps = PULSE_PS if self._read(f"{key}.edge", number) == "FALLING" else 0
        return self._cells.times(word, start_ps - late_ps, stop_ps - late_ps) + late_ps
