"""Golden model of the heralding decision, integers only, in fine units (fpga.md section 5).

Owns dead time, gating, folding, spread, table look-up and overrun. Refuses to know registers, rings or
frames; the same model serves the emulator and, one day, the gateware tests.
"""

from __future__ import annotations

from dataclasses import dataclass

from bellwire.drivers.frames import HeraldFlag


@dataclass(frozen=True, slots=True)
class GoldenBank:
    """What a slot of the sequencer chooses: windows (start, length) in fine units, outcome by mask."""

    windows: tuple[tuple[int, int], ...]
    table: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSettings:
    """Registers in force. Offsets and coincidence in fine units; dead and decide in ticks."""

    fine_bits: int
    offsets: tuple[int, ...]
    dead_ticks: tuple[int, ...]
    enabled: tuple[bool, ...]
    banks: tuple[GoldenBank, ...]
    decide_ticks: int
    coincidence: int


@dataclass(frozen=True, slots=True)
class Decision:
    """End of an attempt. `flags` are HeraldFlag bits (MULTI, WIDE, OVERRUN of the attempt before).

    `times`: of each channel, the first hit inside a window, after the attempt edge in fine units with the
    channel's offset; None without one.
    """

    attempt: int
    stamp: int
    mask: int
    outcome: int
    flags: int
    times: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Overrun:
    """An attempt whose successor came before its decision: nobody knows its outcome (never a fail)."""

    attempt: int


class HeraldGolden:
    """Feed edges and hits in order of their stamps; `results` gets a Decision or Overrun per attempt."""

    def __init__(self, settings: GoldenSettings) -> None:
        self.settings = settings
        self.results: list[Decision | Overrun] = []
        self.counts = [0] * len(settings.offsets)
        self.gated = [0] * len(settings.offsets)
        self.last_accepted: list[int | None] = [None] * len(settings.offsets)
        self._attempt: int | None = None
        self._edge = 0
        self._bank = settings.banks[0]
        self._first_hits: dict[int, int] = {}
        self._times: dict[int, int] = {}
        self._flags = 0

    def edge(self, attempt: int, stamp: int, bank: int = 0) -> None:
        """The edge that starts an attempt, decided with the windows and the table of a bank."""
        self.advance(stamp)
        flags = 0
        if self._attempt is not None:
            self.results.append(Overrun(self._attempt))
            flags = int(HeraldFlag.OVERRUN)
        self._attempt = attempt
        self._edge = stamp
        self._bank = self.settings.banks[bank]
        self._flags = flags
        self._first_hits = {}
        self._times = {}

    def end(self) -> int | None:
        """The run ends: the attempt that was not decided yet never will be; its number, None without one."""
        attempt, self._attempt = self._attempt, None
        return attempt

    def hit(self, channel: int, stamp: int) -> bool:
        """A detector edge; whether it was accepted."""
        self.advance(stamp)
        settings = self.settings
        if not settings.enabled[channel]:
            return False
        last = self.last_accepted[channel]
        if last is not None and stamp - last < settings.dead_ticks[channel] << settings.fine_bits:
            return False
        self.last_accepted[channel] = stamp
        self.counts[channel] += 1
        if self._attempt is None:
            return True
        relative = stamp - self._edge + settings.offsets[channel]
        windows = self._bank.windows
        inside = False
        for window, (start, length) in enumerate(windows):
            folded = relative - start
            if 0 <= folded < length:
                inside = True
                self._times.setdefault(channel, relative)
                bit = channel * len(windows) + window
                if bit in self._first_hits:
                    self._flags |= HeraldFlag.MULTI
                else:
                    self._first_hits[bit] = folded
        self.gated[channel] += inside
        return True

    def advance(self, stamp: int) -> None:
        """Decide the attempt when its decision is due at or before `stamp`."""
        if self._attempt is None or stamp < self._edge + (
            self.settings.decide_ticks << self.settings.fine_bits
        ):
            return
        hits = self._first_hits
        mask = sum(1 << bit for bit in hits)
        spread = max(hits.values()) - min(hits.values()) if hits else 0
        wide = spread > self.settings.coincidence
        outcome = 0 if wide else self._bank.table[mask]
        flags = self._flags | (int(HeraldFlag.WIDE) if wide else 0)
        times = tuple(self._times.get(channel) for channel in range(len(self.settings.offsets)))
        self.results.append(Decision(self._attempt, self._edge, mask, outcome, flags, times))
        self._attempt = None
        self._first_hits = {}
