"""Emulated Qubitekk CC1: two inputs, their coincidences, acknowledgements, and two dialects (instruments.md
2.6).

Owns the dialect and the counting. Light comes as time tags of the World's channels "1" and "2"; the gate
input is open, so that nothing is counted while it decides. Formats, defaults, overflow and the repetition of
counts are those of an early firmware that the maker has published; it also does not listen while it counts,
which is left out here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.device_model import Answer, LineModel
from bellwire.simulator_backend.devices.emulators import EmulatorOrder
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.instrument_emulator import InstrumentEmulator
from bellwire.simulator_backend.devices.surroundings import Wiring

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAUD_RATE = 19_200
FIRMWARE = "2.010"
FIRMWARE_OLD = "2.001"
CHANNELS = ("1", "2")
COUNTERS = ("C1", "C2", "CO")
WINDOW_NS_MAX = 7
DELAYS_NS = range(0, 15, 2)
DWELL_MS = (100, 30_000)
ANSWER_S = 0.01
HOLD_MS = 2_000
COUNT_MAX = (1 << 21) - 1
OVERFLOWED = 3_000_000_000
UNKNOWN, UNABLE = "Unknown Command.", "Unable to comply."
ORDER = re.compile(r":(?P<name>[A-Z]{4})(?P<mark>[: ])(?P<value>[A-Z0-9. ]+)")


class Cc1Model(LineModel):
    """One powered counter. Firmware from 2.2 on starts with its acknowledgements on.

    `unknown_counts`: so many questions for counts will not be understood.
    """

    terminator = b"\n"
    line_bytes_max = 64

    def __init__(self, wiring: Wiring, firmware: str = FIRMWARE) -> None:
        self._wiring = wiring
        self._firmware = firmware
        self._new = tuple(int(part) for part in firmware.split(".")[:2]) >= (2, 2)
        self.echoes = self._new
        self.window_ns = 1
        self.delay_ns = 0
        self.dwell_ms = 2000
        self.switches = {"GATE": False, "SUBT": False}
        self.repeats = True
        self.unknown_counts = 0
        self._on_ns = 0
        self._began_ns: int | None = None
        self._overflowing = False
        self._counted: tuple[int, int, tuple[int, int, int]] = (0, 0, (0, 0, 0))

    def power_on(self, now_ns: int) -> None:
        self._on_ns = now_ns

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        if fault is not Fault.OVERFLOW:
            raise LocalMisuse(f"a CC1 has no {fault.value}")
        self._overflowing = on  # light from elsewhere

    def delay_s(self, request: bytes) -> float:
        return ANSWER_S

    def reply(self, line: str, now_ns: int) -> str | None:
        echo = f"{line}\n" if self.echoes else ""  # as it was before the command
        told = self._told(line, now_ns)
        if told is None:
            return echo.removesuffix("\n") or None
        return echo + told

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [Answer(request.strip() + self.terminator, ANSWER_S)] if self.echoes else []

    def _told(self, line: str, now_ns: int) -> str | None:
        if line in ("CLEA", ":CLEA"):
            self._on_ns = now_ns
            self._began_ns = None if self._began_ns is None else now_ns
            self._counted = (now_ns, now_ns, (0, 0, 0))
            return None
        if line.endswith("?"):
            return self._value(line[:-1].removeprefix(":"), now_ns)
        order = ORDER.fullmatch(line)
        return UNKNOWN if order is None else self._obey(order["name"], order["mark"], order["value"], now_ns)

    def _value(self, name: str, now_ns: int) -> str:
        new = self._new
        match name:
            case "FIRM":
                return f"Firmware v{self._firmware}"
            case "WIND":
                return f"{self.window_ns} ns"
            case "DELA":
                return f"{self.delay_ns} ns"
            case "DWEL":
                return f"{self.dwell_ms} {'ms' if new else 's'}"  # the old firmware is wrong about its unit
            case "GATE" | "SUBT":
                on = self.switches[name]
                return ("ON" if on else "OFF") if new else str(int(on))
            case "TRIG":
                return f"MODE {'CONT' if self.repeats else 'STOP'}" if new else str(int(not self.repeats))
            case "COUN:C1" | "COUN:C2" | "COUN:CO" if self.unknown_counts == 0:
                return str(self._counts(now_ns)[COUNTERS.index(name[-2:])])
            case _:
                self.unknown_counts = max(0, self.unknown_counts - name.startswith("COUN"))
                return UNKNOWN

    def _obey(self, name: str, mark: str, value: str, now_ns: int) -> str | None:
        words = {"ON": True, "OFF": False} if self._new else {"1": True, "0": False}
        switched = words.get(value) if mark == (":" if self._new else " ") else None
        match name:
            case "WIND" if value.isdigit() and int(value) <= WINDOW_NS_MAX:
                self.window_ns = int(value)
            case "DELA" if value.isdigit() and int(value) in DELAYS_NS:
                self.delay_ns = int(value)
            case "DWEL" if _is_number(value) and DWELL_MS[0] <= round(1000 * float(value)) <= DWELL_MS[1]:
                self.dwell_ms = round(1000 * float(value))
            case "WIND" | "DELA" | "DWEL":
                return UNABLE
            case "GATE" | "SUBT" if switched is not None:
                self.switches[name] = switched
            case "TRIG" if self._new and value in ("MODE CONT", "MODE STOP"):
                self.repeats = value == "MODE CONT"
            case "TRIG" if not self._new and value in ("0", "1"):
                self.repeats = value == "0"
            case "COUN" if mark == ":" and value in ("ON", "OFF"):
                if value == "OFF" or self._began_ns is None:  # who asks twice does not begin anew
                    self._began_ns = now_ns if value == "ON" else None
            case "ACKN" if self._new and value in ("ON", "OF"):
                self.echoes = value == "ON"
            case _:
                return UNKNOWN
        return None

    # -- counting -------------------------------------------------------------------------------------------

    def _counts(self, now_ns: int) -> tuple[int, int, int]:
        """Of the last dwell time that is over while counts repeat; else of the one that was begun, which is
        kept for two seconds before the next begins by itself.
        """
        dwell_ns = self.dwell_ms * 1_000_000
        if self.repeats:
            over = (now_ns - self._on_ns) // dwell_ns
            if over == 0:
                return self._counted[2]
            start_ns = self._on_ns + (over - 1) * dwell_ns
            stop_ns = start_ns + dwell_ns
        elif self._began_ns is None:
            return self._counted[2]
        else:
            cycle_ns = dwell_ns + HOLD_MS * 1_000_000
            start_ns = self._began_ns + (now_ns - self._began_ns) // cycle_ns * cycle_ns
            stop_ns = min(now_ns, start_ns + dwell_ns)
        if self._counted[:2] != (start_ns, stop_ns):
            self._counted = (start_ns, stop_ns, self._tally(start_ns, stop_ns))
        return self._counted[2]

    def _tally(self, start_ns: int, stop_ns: int) -> tuple[int, int, int]:
        if self.switches["GATE"] or stop_ns <= start_ns:
            return 0, 0, 0
        at_ps, channel = self._wiring.tags(CHANNELS, start_ns, stop_ns)
        one, two = at_ps[channel == 0] + 1000 * self.delay_ns, at_ps[channel == 1]
        both = with_partner(one, two, 1000 * self.window_ns)
        if self.switches["SUBT"]:
            chance = len(one) * len(two) * 2 * self.window_ns / (stop_ns - start_ns)
            both = max(0, both - round(chance))
        most = 0 if self._overflowing else COUNT_MAX
        one_count, two_count, both = (
            OVERFLOWED if count > most else count for count in (len(one), len(two), both)
        )
        return one_count, two_count, both


def with_partner(one: NDArray[np.int64], two: NDArray[np.int64], within_ps: int) -> int:
    """How many of `one` have one of `two` no farther than `within_ps`; both do not fall."""
    first = np.searchsorted(two, one - within_ps, side="left")
    last = np.searchsorted(two, one + within_ps, side="right")
    return int(np.count_nonzero(last > first))


def _is_number(value: str) -> bool:
    return re.fullmatch(r"\d+(\.\d*)?", value) is not None


def make(order: EmulatorOrder, *, firmware: str = FIRMWARE) -> InstrumentEmulator:
    """A CC1 on a serial line."""
    return InstrumentEmulator(
        order.name,
        lambda: Cc1Model(order.wiring, firmware),
        [order.terminal(BAUD_RATE)],
        pace=order.pace,
        seed=order.seed,
        clock=order.now_ns,
    )
