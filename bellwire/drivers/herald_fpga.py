"""Driver of the heralding FPGA of a station (fpga.md): configuration, runs, records, bounds, losses.

Owns one FPGA for one link. Refuses to know requests, qubits or the link protocol: it says which sub-attempt
had which outcome, up to which everything is decided, and which ones nobody can know. sub_attempt = attempt *
lanes + lane.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.faults import DeviceError
from bellwire.drivers.framed_device import READ_WORDS_MAX, WRITE_WORDS_MAX, FramedSettings
from bellwire.drivers.framed_instrument import FramedInstrument
from bellwire.drivers.frames import HERALD_RECORD_BYTES, Bound, Events, HeraldWords, Lost
from bellwire.drivers.herald_counters import HeraldCounters
from bellwire.drivers.herald_settings import FAIL, INVALID, Clock, HeraldSettings
from bellwire.drivers.instrument import Backoff, InstrumentState

SECOND_NS = 1_000_000_000
COMMIT_POLLS = 50


@dataclass(frozen=True, slots=True)
class HeraldRecord:
    """A decision of the analyser. `outcome`: 1 Psi+, 2 Psi-, 3 Phi+, 4 Phi-; 0 fail only with emit_fail.

    `flags` are bits of frames.HeraldFlag. `stamp_ns` is the unix time of the attempt edge at the station.
    """

    run_short: int
    sub_attempt: int
    outcome: int
    flags: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class TimeBase:
    """One PPS: at unix second `pps_s` the coarse counter stood at `pps_ticks`.

    Valid within one time epoch.
    """

    pps_s: int
    pps_ticks: int
    epoch: int
    clock: Clock

    def unix_ns(self, stamp: int) -> int:
        """Unix nanoseconds of a stamp in fine units."""
        return self.pps_s * SECOND_NS + self.clock.nanoseconds(
            stamp - (self.pps_ticks << self.clock.fine_bits)
        )


class HeraldFpga(FramedInstrument):
    """Heralding FPGA over a serial line with the framed protocol.

    Callbacks, in the loop, in this order for any sub-attempt: `on_record(HeraldRecord)`, then
    `on_lost(run_short, first, last, count)` for ranges that are UNKNOWN (never fail; a record that arrived
    stands), then `on_bound(run_short, decided_to)`: everything up to sub-attempt decided_to without record or
    loss has failed. `on_reset()`: the device lost its state; the run is over; the configuration is asserted
    anew by itself.
    """

    model = "herald_fpga"
    map_name = "herald_fpga"
    record_bytes = HERALD_RECORD_BYTES

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
        self._settings: HeraldSettings | None = None
        self._run_short: int | None = None
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

    async def _sizes(self) -> tuple[Clock, int, int]:
        fields = self.link.map["CAPS"].fields
        caps = await self.link.read("CAPS")
        clock = Clock(await self.link.read("TICK_FS"), fields["fine_bits"].extract(caps))
        return clock, fields["channels"].extract(caps), fields["windows"].extract(caps)

    async def _assert_configuration(self) -> None:
        assert self._settings is not None
        clock, channels, windows = await self._sizes()
        values = self._settings.registers(clock, channels, windows)
        table = self._settings.outcome_table(channels, windows)
        if await self._matches(values, table):
            return  # nothing is written to a device that a running attempt train depends on
        for (name, index), value in values.items():
            await self.link.write(name, value, index)
        await self.link.write("LUT_ADDR", 0)
        address = self.link.map["LUT_DATA"].address
        for start in range(0, len(table), WRITE_WORDS_MAX):
            await self.link.write_words(address, table[start : start + WRITE_WORDS_MAX], fixed=True)
        await self._commit()
        for (name, index), value in values.items():
            kept = await self.link.read(name, index)
            if kept != value:
                raise DeviceError(self.name, f"{name}[{index}] was set to {value} but reads {kept}")
        if await self._read_table(len(table)) != table:
            raise DeviceError(self.name, "the outcome table reads back differently")

    async def _matches(self, values: dict[tuple[str, int], int], table: tuple[int, ...]) -> bool:
        for (name, index), value in values.items():
            if await self.link.read(name, index) != value:
                return False
        return await self._read_table(len(table)) == table

    async def _read_table(self, entries: int) -> tuple[int, ...]:
        await self.link.write("LUT_ADDR", 0)
        address = self.link.map["LUT_DATA"].address
        words: tuple[int, ...] = ()
        for start in range(0, entries, READ_WORDS_MAX):
            words += await self.link.read_words(address, min(READ_WORDS_MAX, entries - start), fixed=True)
        return words

    async def _commit(self) -> None:
        """Make the shadow set the active one; a commit that missed its boundary is given once more."""
        late = self.link.map["STICKY"].fields["late_commit"].place(1)
        pending = self.link.map["STATUS"].fields["commit_pending"].place(1)
        for _ in range(2):
            await self.link.write("STICKY", late)
            await self.link.write("CMD", self.link.map["CMD"].fields["commit"].place(1))
            for _ in range(COMMIT_POLLS):
                if not await self.link.read("STATUS") & pending:
                    break
            else:
                raise DeviceError(self.name, f"commit still pending after {COMMIT_POLLS} polls")
            if not await self.link.read("STICKY") & late:
                return
        raise DeviceError(self.name, "commit missed its boundary twice; the old configuration is in force")

    # -- runs -----------------------------------------------------------------------------------------------

    async def start_run(self, run_short: int, epoch_s: int) -> None:
        """Arm a run: attempt 0 starts at unix second `epoch_s` + start delay. Ends the run before, if any.

        `run_short`: 0 .. 2**32 - 1, not used before. Raises LocalMisuse without configuration, DeviceError
        when `epoch_s` is already past at the device or a register does not read back.
        """
        if self._settings is None:
            raise LocalMisuse(f"{self.name}: configure before start_run")
        await self.stop()
        clock, _, _ = await self._sizes()
        low = self.link.map["PPS_TIME"].address
        words = await self.link.read_words(
            low, 5
        )  # PPS_TIME (2), PPS_COUNT, PPS_TICKS, TIME_EPOCH: one burst
        self._time_base = TimeBase(words[2], words[0] | words[1] << 32, words[4], clock)
        await self._set("RUN_ID", run_short)
        await self._set("ARM_PPS", epoch_s)
        self.counters = HeraldCounters()
        self._run_short = run_short
        self._gap_open, self._gap_end = False, None
        fields = self.link.map["CTRL"].fields
        control = fields["run"].place(1) | fields["pps_arm"].place(1)
        control |= fields["emit_fail"].place(int(self._settings.emit_fail))
        await self._set("CTRL", control)

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

    def _forget(self) -> None:
        self._run_short = None
        self._time_base = None
        self._lost_heard = None
        self._lost_told = 0

    # -- what the device pushes -----------------------------------------------------------------------------

    def _take_events(self, events: Events) -> None:
        base = self._time_base
        if events.run_short != self._run_short or base is None or events.time_epoch != base.epoch:
            return  # a run that is over, or stamps of a clock that is gone: nobody may use them
        for raw in events.records:
            words = HeraldWords.unpack(raw)
            if words.outcome == INVALID:
                self.counters.lost(words.attempt, words.attempt)
                self.on_lost(events.run_short, words.attempt, words.attempt, 1)
                continue
            if words.outcome != FAIL:
                self.counters.record(words.attempt)
            stamp_ns = base.unix_ns(words.stamp)
            self.on_record(
                HeraldRecord(events.run_short, words.attempt, words.outcome, words.flags, stamp_ns)
            )

    def _take_lost(self, lost: Lost) -> None:
        self._lost_told += lost.count
        if lost.run_short == self._run_short:
            self.counters.lost(lost.first, lost.last)
            self.on_lost(lost.run_short, lost.first, lost.last, lost.count)

    def _take_gap(self, _first: int, _resumed_at: int) -> None:
        self._gap_open, self._gap_end = True, None

    def _take_bound(self, bound: Bound) -> None:
        # A LOST message has no sequence number of its own; the count in the bound tells when one went
        # missing.
        if self._lost_heard is None:
            self._lost_heard = bound.lost - self._lost_told
        if bound.lost - self._lost_heard != self._lost_told:
            self._gap_open, self._gap_end = True, None
            self._lost_heard = bound.lost - self._lost_told
        decided_to, run_short = bound.decided_to, bound.run_short
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
