"""Settings of a heralding FPGA in nanoseconds, and their translation into register values.

Owns the checks that fpga.md section 5 asks for (decision after every window, period after the decision) and
the outcome table of each architecture of a link. Refuses values that the clock of the device cannot
represent: a rounded period would drift away from the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.settings import Architecture
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.herald_frames import (
    TICKS_MAX,
    Frame,
    OutputPulse,
    frame_registers,
    output_registers,
)
from bellwire.drivers.regmap import load_map

PIPELINE_TICKS = 4
"""Ticks between the end of a window and the earliest decision."""
DECISION_TICKS = 7
"""Ticks that a decision occupies before the next attempt edge may come."""

CHANNELS = 4
"""Inputs of this version of the device."""

SLOTS, OUTPUTS, BANKS = 64, 4, 2
"""The same for slots of a frame, outputs of the sequencer, and sets of windows and outcomes."""

FAIL, PSI_PLUS, PSI_MINUS, PHI_PLUS, PHI_MINUS, INVALID = 0, 1, 2, 3, 4, 15


WINDOW_NS = 48
"""Length of the window in which the light of an attempt is expected, where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class GateWindow:
    """Photons between `start_ns` and `start_ns + length_ns` after the attempt edge belong to this window."""

    start_ns: int
    length_ns: int


Patterns = Mapping[tuple[int, ...], int]
"""Outcome of each set of channels that fire in window 0, and nothing beside them."""

PATTERNS: Final[dict[Architecture, Patterns]] = {
    # A polarisation analyser: 0, 1 = left H, V and 2, 3 = right H, V (fpga.md section 5).
    "double_click": {(0, 1): PSI_PLUS, (2, 3): PSI_PLUS, (0, 3): PSI_MINUS, (1, 2): PSI_MINUS},
    # One detector behind each port of the beam splitter, and exactly one of them clicks: 0 = left, 2 = right.
    "single_click": {(0,): PSI_PLUS, (2,): PSI_MINUS},
    # The herald line of the receiver's memory.
    "sender_receiver": {(3,): PSI_PLUS},
    # The herald lines of both memories in coincidence: 0 = the first node's, 2 = the second node's.
    "midpoint_source": {(0, 2): PSI_PLUS},
}
"""What counts as success at the station of each architecture, and how its lines are wired."""

INPUT_NAMES: Final[dict[Architecture, dict[str, int]]] = {
    "double_click": {"left_h": 0, "left_v": 1, "right_h": 2, "right_v": 3},
    "single_click": {"left": 0, "right": 2},
    "sender_receiver": {"receiver": 3},
    "midpoint_source": {"first": 0, "second": 2},
}
"""What people call the inputs that an architecture uses: detectors, or herald lines of memories."""


def outcome_table(patterns: Patterns, channels: int = 4, windows: int = 2) -> tuple[int, ...]:
    """Outcome by mask, window 0 only; bit of the mask = channel * windows + window. Any other set fails."""
    outcomes = {sum(1 << channel * windows for channel in hit): code for hit, code in patterns.items()}
    return tuple(outcomes.get(mask, FAIL) for mask in range(1 << channels * windows))


def polarisation_table(channels: int = 4, windows: int = 2) -> tuple[int, ...]:
    """Outcome by mask for a polarisation analyser (fpga.md section 5)."""
    return outcome_table(PATTERNS["double_click"], channels, windows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Another set of windows and outcomes, for the slots that choose it."""

    windows: tuple[GateWindow, ...]
    table: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PulsePattern:
    """Pulses that the device makes itself in each attempt, to commission it without photons."""

    channels: frozenset[int]
    delay_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeraldSettings:
    """What a station has to know about its link.

    `link_period_ns`: attempt period of the link; the device's period is link_period_ns / lanes, because lanes
    take turns: sub_attempt = attempt * lanes + lane. `start_delay_ns`: calibrated delay between the start of
    attempt 0 at the nodes and the attempt edge at the station; photons must arrive inside a window after that
    edge, so it is the travel time minus about the middle of window 0. `decide_ns`: decision after the edge.
    `coincidence_ns`: largest spread between two photons. `offsets_ns`: delay correction of each channel.
    `enabled`: channels that count; noise on a line that leads nowhere must not veto. `falling`: channels
    whose falling edges count. `table`: None = that of a polarisation analyser.

    `frame`: attempts in slots; None = attempts for ever. `second_bank`: for slots of bank 1. `outputs`: by
    number; the others are low. `attempts_max`: None = the run has no end. `external_reference`: run on the
    10 MHz input. `external_trigger`: attempts begin with the trigger input instead of the period.
    `test_pattern`: None = inputs come from outside. `fine_table`: linear code of each raw fine code
    (code_density.py); None = leave what the device has. `emit_fail`, `first_hits`: further records, for
    commissioning: the line carries some ten thousand a second.
    """

    link_period_ns: int
    lanes: int = 1
    start_delay_ns: int = 0
    windows: tuple[GateWindow, ...] = (GateWindow(80, WINDOW_NS),)
    decide_ns: int = 256
    coincidence_ns: int = 20
    dead_time_ns: int = 40
    offsets_ns: tuple[int, ...] = (0, 0, 0, 0)
    enabled: tuple[bool, ...] = (True, True, True, True)
    table: tuple[int, ...] | None = None
    emit_fail: bool = False
    first_hits: bool = False
    falling: frozenset[int] = frozenset()
    frame: Frame | None = None
    second_bank: Bank | None = None
    outputs: Mapping[int, OutputPulse] = field(default_factory=dict[int, OutputPulse])
    attempts_max: int | None = None
    external_reference: bool = True
    external_trigger: bool = False
    test_pattern: PulsePattern | None = None
    fine_table: tuple[int, ...] | None = None

    def registers(self, clock: Clock, channels: int, windows: int) -> dict[tuple[str, int], int]:
        """Value of each shadow register by (name, index), the tables behind address registers excepted.

        Raises ConfigError naming the value, the limit and what to do.
        """
        if not 1 <= self.lanes <= 255:
            raise ConfigError(f"lanes = {self.lanes} is outside 1 .. 255")
        if self.link_period_ns % self.lanes:
            raise ConfigError(
                f"link_period_ns = {self.link_period_ns} is not a multiple of lanes = {self.lanes}"
            )
        if not 1 <= len(self.windows) <= windows:
            raise ConfigError(f"{len(self.windows)} windows given, the device has {windows}")
        if len(self.offsets_ns) != channels:
            raise ConfigError(f"{len(self.offsets_ns)} offsets given, the device has {channels} channels")
        if len(self.enabled) != channels:
            raise ConfigError(f"{len(self.enabled)} channels enabled or not, the device has {channels}")
        period = clock.ticks(self.link_period_ns // self.lanes, "link_period_ns / lanes")
        decide = clock.ticks(self.decide_ns, "decide_ns")
        if self.second_bank is not None and not 1 <= len(self.second_bank.windows) <= windows:
            raise ConfigError(
                f"{len(self.second_bank.windows)} windows in the second bank, not 1 .. {windows}"
            )
        if self.attempts_max is not None and not 1 <= self.attempts_max < 1 << 48:
            raise ConfigError(f"attempts_max = {self.attempts_max} is outside 1 .. 2^48 - 1; None has no end")
        banks = [self.windows, () if self.second_bank is None else self.second_bank.windows]
        window_end = max(clock.fine(w.start_ns + w.length_ns) for bank in banks for w in bank)
        largest_offset = max(0, *(abs(clock.fine(offset)) for offset in self.offsets_ns))
        earliest = ((window_end + largest_offset) >> clock.fine_bits) + 1 + PIPELINE_TICKS
        if decide < earliest:
            raise ConfigError(
                f"decide_ns = {self.decide_ns} is {decide} ticks, before windows, offsets and pipeline end "
                f"({earliest} ticks); decide later"
            )
        if period <= decide + DECISION_TICKS:
            raise ConfigError(
                f"link_period_ns / lanes is {period} ticks, must exceed decide_ns + {DECISION_TICKS} ticks = "
                f"{decide + DECISION_TICKS}; use fewer lanes or decide earlier"
            )
        start_delay = clock.ticks(self.start_delay_ns, "start_delay_ns")
        if not 0 <= start_delay <= TICKS_MAX:
            raise ConfigError(f"start_delay_ns is {start_delay} ticks, outside 0 .. {TICKS_MAX}")
        values: dict[tuple[str, int], int] = {
            ("PERIOD", 0): period,
            ("LANES", 0): self.lanes,
            ("START_DELAY", 0): start_delay,
            ("DECIDE", 0): decide,
            ("COINC", 0): clock.fine(self.coincidence_ns),
        }
        for number, bank in enumerate(banks):
            for index in range(windows):
                window = bank[index] if index < len(bank) else GateWindow(0, 0)
                values["WIN_START", number * windows + index] = clock.fine(window.start_ns)
                values["WIN_LEN", number * windows + index] = clock.fine(window.length_ns)
        register_map = load_map("herald_fpga")
        input_bits = register_map["ENABLE"].fields
        for channel in range(channels):
            values["OFFS", channel] = clock.fine(self.offsets_ns[channel])
            values["DEAD", channel] = clock.ticks(self.dead_time_ns, "dead_time_ns")
            values["ENABLE", channel] = input_bits["on"].place(int(self.enabled[channel])) | input_bits[
                "falling"
            ].place(int(channel in self.falling))
        values["ATT_MAX", 0] = self.attempts_max or 0
        pattern = self.test_pattern or PulsePattern(channels=frozenset(), delay_ns=0)
        values["TEST_MASK", 0] = sum(1 << channel for channel in pattern.channels)
        values["TEST_DELAY", 0] = clock.fine(pattern.delay_ns)
        values |= frame_registers(self.frame, clock, register_map, period, SLOTS)
        values |= output_registers(self.outputs, clock, register_map, OUTPUTS, period)
        return values

    def control(self) -> int:
        """The run-control word that starts a run with these settings at its PPS."""
        fields = load_map("herald_fpga")["CTRL"].fields
        wanted = {
            "run": True,
            "pps_arm": True,
            "src_int": not self.external_trigger,
            "emit_fail": self.emit_fail,
            "first_hits": self.first_hits,
            "self_test": self.test_pattern is not None,
        }
        return sum(fields[name].place(int(on)) for name, on in wanted.items())

    def outcome_table(self, channels: int, windows: int) -> tuple[int, ...]:
        """The outcome tables of all banks that are used, one after the other; by default that of a
        polarisation analyser.

        Raises ConfigError on a wrong length.
        """
        tables = [self.table if self.table is not None else polarisation_table(channels, windows)]
        if self.second_bank is not None:
            tables.append(self.second_bank.table)
        for table in tables:
            if len(table) != 1 << channels * windows:
                raise ConfigError(
                    f"outcome table has {len(table)} entries, the device has {1 << channels * windows}"
                )
        return tuple(outcome for table in tables for outcome in table)


NOMINAL_CLOCK = Clock(8_000_000, 3)
"""8 ns ticks and 3 fine bits: the clock of this version of the device.

A connected device announces its own.
"""


def settings_for_travel(
    link_period_ns: int,
    lanes: int,
    travel_ns: int,
    clock: Clock = NOMINAL_CLOCK,
    *,
    architecture: Architecture = "double_click",
    window_ns: int = WINDOW_NS,
) -> HeraldSettings:
    """Settings whose window 0, `window_ns` long, is centred on what arrives `travel_ns` after the start of an
    attempt: light, or the herald pulses of memories. The outcome table and the channels are those of the
    architecture.

    The start delay is rounded down to a tick of the device and the window takes up the rest; light that
    travels less than half a window finds the window cut at the edge. Raises ConfigError when
    travel_ns is negative, or when a textbook link has an analyser: it says nothing of its hardware.
    """
    if architecture not in PATTERNS:
        raise ConfigError(
            f"a {architecture} link says nothing of its hardware, and an analyser cannot serve it"
        )
    if travel_ns < 0:
        raise ConfigError(f"travel_ns = {travel_ns} must not be negative")
    middle_ns = HeraldSettings(link_period_ns=link_period_ns).windows[0].start_ns + window_ns // 2
    start_delay_ns = clock.whole_ticks_ns(max(0, travel_ns - middle_ns))
    start_ns = travel_ns - start_delay_ns - window_ns // 2
    cut = GateWindow(max(0, start_ns), window_ns + min(0, start_ns))
    patterns = PATTERNS[architecture]
    wired = {channel for hit in patterns for channel in hit}
    return HeraldSettings(
        link_period_ns=link_period_ns,
        lanes=lanes,
        start_delay_ns=start_delay_ns,
        windows=(cut,),
        enabled=tuple(channel in wired for channel in range(CHANNELS)),
        table=outcome_table(patterns),
    )
