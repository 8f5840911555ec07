"""Taggers on an empty table: a Time Controller with its driver, and events on a grid that tests can predict.

Owns what the tests of several taggers share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bellwire.drivers.id900 import Id900
from bellwire.drivers.instrument import Backoff
from bellwire.drivers.session import SessionSettings
from bellwire.simulator_backend.devices.emulators import EmulatorOrder, make_emulator
from bellwire.simulator_backend.devices.id900_emulator import Id900Model
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Alone, Wiring

GRID_PS = 10_000_000


@dataclass
class Grid:
    """One event each 10 us and channel, `offset_ps` after the beat."""

    offset_ps: dict[str, int] = field(default_factory=dict[str, int])

    def turn(self, knob: str, value: float, now_ns: int) -> None:
        return

    def gauge(self, name: str, now_ns: int) -> float:
        return 0.0

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
        times: list[NDArray[np.int64]] = []
        for channel in channels:
            if channel not in self.offset_ps:
                times.append(np.empty(0, np.int64))
                continue
            phase_ps = (self.offset_ps[channel] - start_ns * 1000) % GRID_PS
            times.append(np.arange(phase_ps, (stop_ns - start_ns) * 1000, GRID_PS, dtype=np.int64))
        index = np.repeat(np.arange(len(channels), dtype=np.int16), [len(part) for part in times])
        merged = np.concatenate(times)
        order = np.argsort(merged, kind="stable")
        return merged[order], index[order]


@dataclass
class Table:
    """A driver, its instrument and what the instrument sees."""

    driver: Id900
    device: InstrumentEmulator

    @property
    def model(self) -> Id900Model:
        assert isinstance(self.device.model, Id900Model)
        return self.device.model


def on_a_table(surroundings: Grid | Alone, *, address: str, timeout_s: float = 0.5) -> Table:
    order = EmulatorOrder(
        name="tagger", address=address, serial_number="1908029T010", wiring=Wiring(surroundings)
    )
    driver = Id900(
        "tagger",
        address,
        serial_number="1908029T010",
        settings=SessionSettings(timeout_s=timeout_s),
        backoff=Backoff(first_s=0.02, longest_s=0.05, refused_s=0.05),
        probe_s=0.1,
    )
    return Table(driver, make_emulator("idq_id900", order))


GRID = Grid({"1": 0, "2": 3_000, "3": 5_000, "4": 1_000_000})
