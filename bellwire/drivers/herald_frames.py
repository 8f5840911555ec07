"""Frames of slots and output pulses of the heralding FPGA in nanoseconds, and their register values.

Owns the checks that keep a frame honest: what does not fit is refused here, because the device would cut it.
Refuses to know which link gets how many attempts: that is the planner's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.drivers.device_clock import Clock
from bellwire.drivers.regmap import RegisterMap

ATTEMPTS_MAX: Final = 0xFFFF
"""Of one slot: the width of its field."""
TICKS_MAX: Final = 0xFFFF_FFFF
"""Of a frame and of a start delay: the width of their registers, 34 s of 8 ns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSlot:
    """`attempts` attempts of link number `link` (0 .. 255), then a pause of `gap_ns`.

    `outputs`: numbers of the outputs that pulse in these attempts when they follow the slots. `bank`: 0 or 1,
    windows and outcome table.
    """

    link: int
    attempts: int
    gap_ns: int = 0
    outputs: frozenset[int] = frozenset()
    bank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Slots that follow each other from the start of each frame; the rest of `length_ns` is quiet."""

    length_ns: int
    slots: tuple[FrameSlot, ...]

    def edge_ns(self, attempt: int, period_ns: int) -> int:
        """Where an attempt begins, from the start of the first frame; `period_ns`: of the device."""
        frames, within = divmod(attempt, sum(slot.attempts for slot in self.slots))
        offset_ns = frames * self.length_ns
        for slot in self.slots:
            if within < slot.attempts:
                break
            within -= slot.attempts
            offset_ns += slot.attempts * period_ns + slot.gap_ns
        return offset_ns + within * period_ns


class OutputSource(IntEnum):
    """What drives an output of the sequencer."""

    LOW = 0
    EACH_ATTEMPT = 1
    SLOTS = 2
    HIGH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPulse:
    """An output that is active from `start_ns` to `stop_ns` after the attempt edge, to the fine unit."""

    source: OutputSource
    start_ns: int = 0
    stop_ns: int = 0
    inverted: bool = False


def frame_registers(
    frame: Frame | None, clock: Clock, register_map: RegisterMap, period_ticks: int, slots: int
) -> dict[tuple[str, int], int]:
    """Slot table and frame length of a device with `slots` slots; without a frame only the length 0.

    Raises ConfigError naming the slot, the value and the limit.
    """
    if frame is None:
        return {("FRAME_LEN", 0): 0}
    if not 1 <= len(frame.slots) <= slots:
        raise ConfigError(f"a frame of {len(frame.slots)} slots, the device has 1 .. {slots}")
    fields = register_map["SLOT"].fields
    length = clock.ticks(frame.length_ns, "frame length_ns")
    if length > TICKS_MAX:
        raise ConfigError(f"a frame of {length} ticks, the device counts {TICKS_MAX}; use a shorter one")
    values: dict[tuple[str, int], int] = {("FRAME_LEN", 0): length}
    used = 0
    for index in range(slots):
        slot = frame.slots[index] if index < len(frame.slots) else FrameSlot(link=0, attempts=0)
        if index < len(frame.slots) and not 1 <= slot.attempts <= ATTEMPTS_MAX:
            raise ConfigError(f"slot {index}: attempts = {slot.attempts} is outside 1 .. {ATTEMPTS_MAX}")
        if not 0 <= slot.link <= 0xFF:
            raise ConfigError(f"slot {index}: link = {slot.link} is outside 0 .. 255")
        if not 0 <= slot.bank <= 1:
            raise ConfigError(f"slot {index}: bank = {slot.bank} is neither 0 nor 1")
        if not slot.outputs <= {0, 1, 2, 3}:
            raise ConfigError(f"slot {index}: outputs {sorted(slot.outputs)} are not all in 0 .. 3")
        gap = clock.ticks(slot.gap_ns, f"gap_ns of slot {index}")
        used += slot.attempts * period_ticks + gap
        values["SLOT", index] = (
            fields["attempts"].place(slot.attempts)
            | fields["link"].place(slot.link)
            | fields["outputs"].place(sum(1 << output for output in slot.outputs))
            | fields["bank"].place(slot.bank)
        )
        values["SLOT_GAP", index] = gap
    if used > length:
        raise ConfigError(
            f"the slots take {used} ticks, the frame has {length}; fewer attempts or a longer frame"
        )
    return values


def output_registers(
    outputs: Mapping[int, OutputPulse], clock: Clock, register_map: RegisterMap, count: int, period_ticks: int
) -> dict[tuple[str, int], int]:
    """Registers of all `count` outputs; those not named are low.

    Raises ConfigError when a pulse is empty, or longer than an attempt.
    """
    if not set(outputs) <= set(range(count)):
        raise ConfigError(f"outputs {sorted(outputs)} are named, the device has 0 .. {count - 1}")
    mode = register_map["OUT_MODE"].fields
    values: dict[tuple[str, int], int] = {}
    for number in range(count):
        output = outputs.get(number, OutputPulse(source=OutputSource.LOW))
        start, stop = clock.fine(output.start_ns), clock.fine(output.stop_ns)
        if output.source in (OutputSource.EACH_ATTEMPT, OutputSource.SLOTS) and not (
            0 <= start < stop <= period_ticks << clock.fine_bits
        ):
            raise ConfigError(
                f"output {number}: {output.start_ns} .. {output.stop_ns} ns is no pulse within the attempt "
                f"of {period_ticks} ticks"
            )
        values["OUT_START", number] = start
        values["OUT_STOP", number] = stop
        values["OUT_MODE", number] = mode["source"].place(output.source) | mode["invert"].place(
            int(output.inverted)
        )
    return values
