"""Time in the emulated FPGA: counter, stamps, seconds, reference (fpga.md section 3).

Owns the conversion between the lab's nanoseconds and the device's ticks and fine units, the fine code with
its uneven bins, the PPS and its absence, the 10 MHz and its loss. Refuses to know attempts. The emulated
board is locked to the lab's clock, or to one of its own whose errors it does not know; beside that, the PPS
or the reference may stay away.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from bellwire.core.errors import LocalMisuse
from bellwire.simulator_backend.devices.own_clock import OwnClock

SECOND_NS = 1_000_000_000
FS_PER_NS = 1_000_000
FS_PER_PS = 1_000
PS_PER_NS = 1_000
COUNTER_START_S = 64
"""The counter starts this long before the second of power-on, so that the PPS before has a stamp as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeraldHardware:
    """A build of the gateware and its board.

    `tick_fs`: coarse tick. `fine_bits`: 0 .. 8. `ring_log2`: 0 .. 8, records in the event ring.
    `fine_widths`: relative widths of the 2^fine_bits raw fine bins as the carry chain has them; None = even.
    """

    tick_fs: int = 8_000_000
    fine_bits: int = 3
    ring_log2: int = 8
    fine_widths: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fine_bits <= 8:
            raise LocalMisuse(f"fine_bits = {self.fine_bits} is outside 0 .. 8")
        if not 0 <= self.ring_log2 <= 8:
            raise LocalMisuse(f"ring_log2 = {self.ring_log2} is outside 0 .. 8, what the read window shows")
        if self.fine_widths is not None and len(self.fine_widths) != 1 << self.fine_bits:
            raise LocalMisuse(
                f"{len(self.fine_widths)} fine widths given, {self.fine_bits} bits have {1 << self.fine_bits}"
            )


class HeraldClock:
    """The clock of one powered device. Stamps are `coarse << fine_bits | fine code`."""

    def __init__(
        self, hardware: HeraldHardware, boot_ns: int, epoch: int, own_clock: OwnClock | None = None
    ) -> None:
        """own_clock: what the board runs on, in whose time every ns is; None: the lab's clock."""
        self.hardware = hardware
        self.epoch = epoch & 0xFFFF
        self._own_clock = own_clock
        self.zero_ns = (boot_ns // SECOND_NS - COUNTER_START_S) * SECOND_NS
        self.external_present = True
        self.uses_external = False
        self.lock_losses = 0
        codes = 1 << hardware.fine_bits
        self.fine_table = list(range(codes))
        self.fine_counts = [0] * codes
        widths = hardware.fine_widths or (1,) * codes
        self._bin_ends = list(accumulate(widths))
        self._gap_from_s: int | None = None
        self._gap_to_s: int | None = None

    # -- counter and stamps ---------------------------------------------------------------------------------

    def ticks(self, at_ns: int) -> int:
        """The coarse counter at a time."""
        return (at_ns - self.zero_ns) * FS_PER_NS // self.hardware.tick_fs

    def tick_of_second(self, second: int) -> int:
        """The coarse counter at the tick in which the PPS of a unix second is seen (at or after it)."""
        return -(-self._fs_of_second(second) // self.hardware.tick_fs)

    def stamp_at(self, at_ns: int) -> int:
        """The ideal stamp of a time: every edge with a stamp up to this one has happened."""
        since_fs = (at_ns - self.zero_ns) * FS_PER_NS
        return (since_fs << self.hardware.fine_bits) // self.hardware.tick_fs

    def ns_of(self, stamp: int) -> int:
        """The first whole nanosecond at which a stamp lies in the past or present."""
        return self.zero_ns - (-stamp * self.hardware.tick_fs // (FS_PER_NS << self.hardware.fine_bits))

    def capture(self, at_fs: int) -> int:
        """The stamp that the hardware takes of an input edge, `at_fs` femtoseconds after `zero_ns`.

        Raw fine code of uneven bins through the table of the host.
        """
        coarse, within_fs = divmod(at_fs, self.hardware.tick_fs)
        ends = self._bin_ends
        raw = bisect_right(ends, within_fs * ends[-1] // self.hardware.tick_fs)
        self.fine_counts[raw] += 1
        return (coarse << self.hardware.fine_bits) + self.fine_table[raw]

    # -- seconds --------------------------------------------------------------------------------------------

    def pps_came(self, second: int) -> bool:
        """Whether the PPS of a unix second reached the device."""
        if self._gap_from_s is None or second < self._gap_from_s:
            return True
        return self._gap_to_s is not None and second >= self._gap_to_s

    def last_pps_s(self, now_ns: int) -> int:
        """Unix second of the last PPS that came."""
        second = self.second(now_ns)
        return second if self.pps_came(second) or self._gap_from_s is None else self._gap_from_s - 1

    def second(self, now_ns: int) -> int:
        """The unix second that has begun last."""
        if self._own_clock is None:
            return now_ns // SECOND_NS
        second = self._own_clock.true_ns(now_ns) // SECOND_NS
        return second + (self.ns_of_second(second + 1) <= now_ns)

    def ns_of_second(self, second: int) -> int:
        """When a unix second begins, rounded down."""
        return self.zero_ns + self._fs_of_second(second) // FS_PER_NS

    def _fs_of_second(self, second: int) -> int:
        """When a unix second begins, in femtoseconds from `zero_ns`."""
        own = self._own_clock
        if own is None:
            return (second * SECOND_NS - self.zero_ns) * FS_PER_NS
        age_ps = (second * SECOND_NS - own.epoch_ns) * PS_PER_NS
        return ((own.epoch_ns - self.zero_ns) * PS_PER_NS + own.moment_ps(age_ps)) * FS_PER_PS

    def lose_pps(self, now_ns: int) -> None:
        """From now on no PPS comes."""
        self._gap_from_s, self._gap_to_s = self.second(now_ns) + 1, None

    def restore_pps(self, now_ns: int) -> None:
        """The next PPS comes again."""
        if self._gap_from_s is not None and self._gap_to_s is None:
            self._gap_to_s = self.second(now_ns) + 1

    # -- reference ------------------------------------------------------------------------------------------

    @property
    def locked(self) -> bool:
        """The clock is that of the chosen reference."""
        return self.external_present or not self.uses_external

    def select(self, external: bool) -> None:
        """Another reference begins another time epoch."""
        if external != self.uses_external:
            self.uses_external = external
            self._begin_epoch()

    def lose_reference(self) -> bool:
        """The 10 MHz stays away; whether the device had been running on it."""
        self.external_present = False
        if not self.uses_external:
            return False
        self.lock_losses = min(self.lock_losses + 1, 0xFFFF)
        self._begin_epoch()
        return True

    def restore_reference(self) -> None:
        """The 10 MHz is back; the epoch that began with its loss goes on."""
        self.external_present = True

    def _begin_epoch(self) -> None:
        self.epoch = (self.epoch + 1) & 0xFFFF
