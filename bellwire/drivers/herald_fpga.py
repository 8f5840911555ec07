"""Driver of the heralding FPGA of a station (fpga.md): configuration, runs, records, bounds, losses.

Owns one FPGA for one link. Refuses to know requests, qubits or the link protocol: it says which sub-attempt
had which outcome, up to which everything is decided, and which ones nobody can know. sub_attempt = attempt *
lanes + lane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.drivers.device_clock import FS_PER_NS, SECOND_NS, Clock, TimeBase
from bellwire.drivers.faults import DeviceError, DeviceRestarted
from bellwire.drivers.framed_device import FramedSettings
from bellwire.drivers.framed_instrument import FramedInstrument
from bellwire.drivers.frames import (
    HERALD_RECORDS_BYTES,
    Bound,
    Events,
    FirstHitsWords,
    HeraldWords,
    Lost,
    RecordKind,
)
from bellwire.drivers.herald_counters import HeraldCounters
from bellwire.drivers.herald_frames import Frame
from bellwire.drivers.herald_registers import HeraldRegisters
from bellwire.drivers.herald_settings import FAIL, INVALID, HeraldSettings
from bellwire.drivers.instrument import Backoff, InstrumentState
from bellwire.drivers.register_bursts import read_registers

START_MARGIN_NS = 200_000_000
"""A run whose attempt 0 is not decided this long after its time has not started."""


@dataclass(frozen=True, slots=True)
class HeraldRecord:
    """A decision of the analyser. `outcome`: 1 Psi+, 2 Psi-, 3 Phi+, 4 Phi-; 0 fail only with emit_fail.

    `flags` are bits of frames.HeraldFlag. `stamp_ns` is the unix time of the attempt edge at the station.
    `confidence`: probability that no accidental click made it; None = the device does not say.
    """

    run_short: int
    sub_attempt: int
    outcome: int
    flags: int
    stamp_ns: int
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class FirstHits:
    """When each channel fired first in an attempt, ns after the attempt edge; None without a hit in a window.

    `sub_attempt_low`: low 16 bits of the number.
    """

    run_short: int
    sub_attempt_low: int
    outcome: int
    times_ns: tuple[float | None, ...]


class HeraldFpga(FramedInstrument):
    """Heralding FPGA over a serial line with the framed protocol.

    Callbacks, in the loop, in this order for any sub-attempt: `on_record(HeraldRecord)`, then
    `on_lost(run_short, first, last, count)` for ranges that are UNKNOWN (never fail; a record that arrived
    stands), then `on_bound(run_short, decided_to)`: everything up to sub-attempt decided_to without record or
    loss has failed. With a frame, numbers are those of the sub-attempts that are made (attempt_numbers.py),
    and a bound is told again, from -1 on, while none is made: a pause is not silence. `on_reset()`: the
    device lost its state; the run is over; the configuration is asserted anew by itself.
    """

    model = "herald_fpga"
    map_name = "herald_fpga"
    record_bytes = HERALD_RECORDS_BYTES

    def __init__(
        self,
        name: str,
        path: str,
        *,
        serial_number: str | None = None,
        framed: FramedSettings | None = None,
        backoff: Backoff | None = None,
        on_state: Callable[[InstrumentState], None] | None = None,
    ) -> None:
        super().__init__(
            name, path, serial_number=serial_number, framed=framed, backoff=backoff, on_state=on_state
        )
        self.on_record: Callable[[HeraldRecord], None] = lambda record: None
        self.on_bound: Callable[[int, int], None] = lambda run_short, decided_to: None
        self.on_lost: Callable[[int, int, int, int], None] = lambda run_short, first, last, count: None
        self.counters = HeraldCounters()
        self.link.on_events = self._take_events
        self.link.on_bound = self._take_bound
        self.link.on_lost = self._take_lost
        self.link.on_gap = self._take_gap
        self.on_first_hits: Callable[[FirstHits], None] = lambda hits: None
        self.bank = HeraldRegisters(self.link)
        self._settings: HeraldSettings | None = None
        self._epoch_s: int | None = None
        self._run_short: int | None = None
        self._run_frame: Frame | None = None
        self._time_base: TimeBase | None = None
        self._gap_open = False
        self._gap_end: int | None = None
        self._lost_told = 0
        self._lost_heard: int | None = None

    # -- configuration --------------------------------------------------------------------------------------

    async def configure(self, settings: HeraldSettings) -> None:
        """Set windows, table, period and lanes together (shadow + commit) and read everything back.

        The settings are remembered and asserted at each (re)connection; without one, at the next. Raises
        ConfigError when the device cannot represent them, DeviceError when a read-back differs or a run is
        active with another period.
        """
        self._settings = settings
        await self._apply_if_open()

    def _has_configuration(self) -> bool:
        return self._settings is not None

    async def _assert_configuration(self) -> None:
        assert self._settings is not None
        settings = self._settings
        clock, channels, windows = await self.bank.sizes()
        values = settings.registers(clock, channels, windows)
        table = settings.outcome_table(channels, windows)
        fine = settings.fine_table
        if fine is not None and len(fine) != 1 << clock.fine_bits:
            raise ConfigError(f"fine_table has {len(fine)} codes, the device has {1 << clock.fine_bits}")
        await self.bank.choose_reference(settings.external_reference)
        tables = {"LUT": table} if fine is None else {"LUT": table, "FINE": fine}
        frame = settings.frame
        boundary_ns = settings.link_period_ns if frame is None else frame.length_ns
        if self._run_short is None and await self.bank.fixed_differ(values):
            await self.stop()  # of an earlier life: nobody hears of that run, and it would refuse the values
        await self.bank.assert_all(values, tables, boundary_ns / SECOND_NS)

    # -- runs -----------------------------------------------------------------------------------------------

    async def start_run(self, run_short: int, epoch_s: int) -> None:
        """Arm a run: attempt 0 starts at unix second `epoch_s` + start delay. Ends the run before, if any.

        `run_short`: 0 .. 2**32 - 1, not used before. Raises LocalMisuse without configuration, DeviceError
        when `epoch_s` is already past at the device or a register does not read back.
        """
        if self._settings is None:
            raise LocalMisuse(f"{self.name}: configure before start_run")
        await self.stop()
        if not await self.bank.is_locked():
            raise DeviceError(
                self.name,
                "not locked to its reference; connect 10 MHz or configure external_reference = False",
            )
        self._time_base = await self.bank.time_base()
        await self._set("RUN_ID", run_short)
        await self._set("ARM_PPS", epoch_s)
        self.counters = HeraldCounters()
        self._run_short, self._epoch_s = run_short, epoch_s
        self._run_frame = self._settings.frame
        self._gap_open, self._gap_end = False, None
        await self._set("CTRL", self._settings.control())

    async def stop(self) -> None:
        """End the run; attempts beyond its last bound stay undecided. Confirmed by read-back.

        What the run has still to tell (records, the last bound) goes on to be called back until the next run.
        """
        await self._set("CTRL", 0)

    async def safe_state(self) -> None:
        """No run active."""
        await self.stop()

    async def check_counters(self) -> None:
        """Compare the sum with the device's own count. Raises DeviceError when the host has counted more."""
        decided = self.counters.decided
        at_device = await self.link.read("ATT_DECIDED")
        if decided > at_device:
            raise DeviceError(
                self.name, f"host counts {decided} decided attempts, the device only {at_device}"
            )

    async def soft_reset(self) -> None:
        """Empty the device as a power cycle would; `on_reset` follows, then the configuration is asserted."""
        await self.link.write("CMD", self.link.map["CMD"].fields["soft_reset"].place(1))

    async def read_singles(self) -> tuple[int, ...]:
        """Accepted edges of each channel since the counters were cleared."""
        _, channels, _ = await self.bank.sizes()
        counts = await read_registers(self.link, [("COUNT", channel) for channel in range(channels)])
        return tuple(counts.values())

    async def measure_code_density(self) -> tuple[int, ...]:
        """Edges of each raw fine code since the counters were cleared (see code_density.fine_table)."""
        clock, _, _ = await self.bank.sizes()
        return await self.bank.read_behind("FINE_ADDR", "FINE_COUNT", 1 << clock.fine_bits)

    def _forget(self) -> None:
        self._run_short = None
        self._time_base = None
        self._lost_heard = None
        self._lost_told = 0

    # -- what the device pushes -----------------------------------------------------------------------------

    def _take_events(self, events: Events) -> None:
        base = self._time_base
        if events.run_short != self._run_short or base is None or events.time_epoch != base.epoch:
            return  # of a run that is over, or stamps of a clock that is gone: told as UNKNOWN with the bound
        for raw in events.records:
            if events.kind == RecordKind.FIRST_HITS:
                self._take_first_hits(events.run_short, FirstHitsWords.unpack(raw), base)
            elif events.kind == RecordKind.DECISION:
                self._take_decision(events.run_short, HeraldWords.unpack(raw), base)

    def _take_decision(self, run_short: int, words: HeraldWords, base: TimeBase) -> None:
        if words.outcome == INVALID:
            self.counters.lost(words.attempt, words.attempt)
            self.on_lost(run_short, words.attempt, words.attempt, 1)
            return
        stamp_ns = base.unix_ns(words.stamp)
        if not self._began_in_time(words.attempt, stamp_ns, base.clock):
            return
        if words.outcome != FAIL:
            self.counters.record(words.attempt)
        self.on_record(HeraldRecord(run_short, words.attempt, words.outcome, words.flags, stamp_ns))

    def _take_first_hits(self, run_short: int, words: FirstHitsWords, base: TimeBase) -> None:
        times = tuple(
            None if time is None else base.clock.femtoseconds(time) / FS_PER_NS for time in words.times
        )
        self.on_first_hits(FirstHits(run_short, words.attempt_low, words.outcome, times))

    def _began_in_time(self, attempt: int, stamp_ns: int, clock: Clock) -> bool:
        """Whether the stamp of an attempt is where the nodes believe it; ends the run when it is not."""
        settings = self._settings
        if settings is None or settings.external_trigger or self._epoch_s is None:
            return True
        period_ns, frame = settings.link_period_ns // settings.lanes, settings.frame
        if frame != self._run_frame:
            return True  # since it was changed within the run, numbers follow from when that was
        since_ns = attempt * period_ns if frame is None else frame.edge_ns(attempt, period_ns)
        due_ns = self._epoch_s * SECOND_NS + settings.start_delay_ns + since_ns
        if abs(stamp_ns - due_ns) * FS_PER_NS <= 2 * clock.tick_fs:
            return True
        self._end_run(
            DeviceError(
                self.name,
                f"attempt {attempt} began {stamp_ns - due_ns} ns after its time, limit two ticks of "
                f"{clock.tick_fs} fs; the run is not the one of the nodes, start another",
            )
        )
        return False

    def _end_run(self, fault: DeviceFault) -> None:
        """The run cannot be used any more; whatever was not bounded stays UNKNOWN."""
        self._run_short = None
        self._picture_lost = True
        self.link.end(fault)

    def _lose_clock(self, bound: Bound, base: TimeBase) -> None:
        """The attempts since the last bound lie in two time epochs: nobody knows which stamps to believe."""
        if bound.decided_to is not None and bound.decided_to >= self.counters.decided:
            first = self.counters.decided
            self.counters.lost(first, bound.decided_to)
            self.on_lost(bound.run_short, first, bound.decided_to, bound.decided_to - first + 1)
            self.counters.bound(bound.decided_to)
            self.on_bound(bound.run_short, bound.decided_to)
        self._end_run(
            DeviceRestarted(self.name, f"time epoch {bound.time_epoch}, was {base.epoch}: its clock was lost")
        )

    def _start_was_missed(self, bound: Bound, base: TimeBase) -> bool:
        """Whether attempt 0 should have been decided long ago; the run is ended then."""
        settings, epoch_s = self._settings, self._epoch_s
        if settings is None or epoch_s is None or settings.external_trigger:
            return False
        due_ns = settings.start_delay_ns + settings.decide_ns + settings.link_period_ns + START_MARGIN_NS
        if (bound.pps_count - epoch_s) * SECOND_NS + bound.now_ns <= due_ns:
            return False
        self._end_run(
            DeviceError(
                self.name,
                f"the run of second {epoch_s} has not started, its PPS was missing; check it, start again",
            )
        )
        return True

    def _is_pause(self, bound: Bound) -> bool:
        """Whether a bound of a run with a frame says only that nothing was made since the last one."""
        if self._run_frame is None or bound.run_short != self._run_short or self._epoch_s is None:
            return False
        decided = 0 if bound.decided_to is None else bound.decided_to + 1
        return bound.pps_count >= self._epoch_s and decided == self.counters.decided

    def _take_lost(self, lost: Lost) -> None:
        if lost.kind != RecordKind.DECISION:
            return
        self._lost_told += lost.count
        if lost.run_short == self._run_short:
            self.counters.lost(lost.first, lost.last)
            self.on_lost(lost.run_short, lost.first, lost.last, lost.count)

    def _take_gap(self, _first: int, _resumed_at: int) -> None:
        self._gap_open, self._gap_end = True, None

    def _take_bound(self, bound: Bound) -> None:
        if bound.kind != RecordKind.DECISION:
            return
        base = self._time_base
        if bound.run_short == self._run_short and base is not None:
            if bound.time_epoch != base.epoch:
                self._lose_clock(bound, base)
                return
            if bound.decided_to is None and self._start_was_missed(bound, base):
                return
        # A LOST message has no sequence number of its own; the count in the bound tells when one went
        # missing.
        if self._lost_heard is None:
            self._lost_heard = bound.lost - self._lost_told
        if bound.lost - self._lost_heard != self._lost_told:
            self._gap_open, self._gap_end = True, None
            self._lost_heard = bound.lost - self._lost_told
        decided_to, run_short = bound.decided_to, bound.run_short
        if self._is_pause(bound):
            self.on_bound(run_short, self.counters.decided - 1)
            return
        if decided_to is None or run_short != self._run_short or decided_to < self.counters.decided:
            return
        if self._gap_open:
            first = self.counters.decided
            self.counters.lost(first, decided_to)
            self.on_lost(run_short, first, decided_to, decided_to - first + 1)
            # A missing record may lie up to one link attempt beyond the bound that was sent beside it.
            if self._gap_end is None:
                self._gap_end = decided_to + (self._settings.lanes if self._settings is not None else 1)
            elif decided_to >= self._gap_end:
                self._gap_open, self._gap_end = False, None
        self.counters.bound(decided_to)
        self.on_bound(run_short, decided_to)
