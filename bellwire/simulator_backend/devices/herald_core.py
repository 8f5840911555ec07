"""The heralding FPGA behind its registers: commands, commits, reference and PPS, light that comes in.

Owns the volatile state of one powered device; a power cycle makes a new core, a soft reset empties this one.
Sans I/O: time is passed in. Refuses to judge light (`herald_golden.py`) and to sum up a run
(`herald_run.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.frames import Bound, Lost
from bellwire.drivers.framing import Status
from bellwire.drivers.herald_registers import FIXED_IN_RUN
from bellwire.drivers.regmap import load_map
from bellwire.simulator_backend.devices.event_ring import EventRing
from bellwire.simulator_backend.devices.faults import Fault
from bellwire.simulator_backend.devices.herald_clock import HeraldClock, HeraldHardware
from bellwire.simulator_backend.devices.herald_engine import HeraldEngine
from bellwire.simulator_backend.devices.herald_fired import FIRED, FiredPatterns
from bellwire.simulator_backend.devices.herald_registers import (
    CHANNELS,
    HeraldSets,
    golden_settings,
    identify,
    sequencer_settings,
)
from bellwire.simulator_backend.devices.herald_run import HeraldRun, Photons
from bellwire.simulator_backend.devices.herald_sequencer import Pulse
from bellwire.simulator_backend.devices.own_clock import OwnClock
from bellwire.simulator_backend.devices.register_file import RegisterFile

COMMIT_SETUP_TICKS = 8
"""A commit closer than this to the next boundary misses it."""
SECONDS_BACK = 64
"""How far a missing PPS is looked for when nobody talked to the device for long."""


class HeraldCore:
    """One powered FPGA. `fired`: which inputs a success of the link fires. `photons`: where the inputs get
    single photons from, by the names `inputs`; None when there are none. `own_clock`: times in ns are those
    of this clock; None: unix time.

    `expected_clicks()`: (time in ns, lane) of light on its way. `on_pins(stamp, outcome, parity)`: the herald
    pins, at a fixed time after each attempt that succeeded.
    """

    def __init__(
        self,
        *,
        serial_number: int,
        boot_count: int,
        boot_ns: int,
        identity: int | None = None,
        hardware: HeraldHardware | None = None,
        fired: FiredPatterns = FIRED["double_click"],
        photons: Photons | None = None,
        inputs: tuple[str, ...] = (),
        own_clock: OwnClock | None = None,
    ) -> None:
        self.boot_count = boot_count
        self.now_ns = boot_ns
        self.expected_clicks: Callable[[], Iterable[tuple[int, int]]] = tuple
        self.on_pins: Callable[[int, int, int], None] = lambda stamp, outcome, parity: None
        self._serial_number = serial_number
        self._identity = identity
        self._hardware = hardware or HeraldHardware()
        self._fired = fired
        self._photons = photons
        self._inputs = inputs
        self._own_clock = own_clock
        self._external_present = True
        self._power_up()

    def _power_up(self) -> None:
        hardware = self._hardware
        self.registers = RegisterFile(load_map("herald_fpga"))
        self.ring = EventRing(1 << hardware.ring_log2)
        # Room for sixteen losses of the clock before the epochs of the next start begin.
        self.clock = HeraldClock(hardware, self.now_ns, own_clock=self._own_clock, epoch=self.boot_count << 4)
        self.clock.external_present = self._external_present
        self.sets = HeraldSets(self.registers, self.clock)
        self.run = HeraldRun(
            self.registers, self.clock, self.sets, self.ring, self._photons, self._inputs, self.now_ns
        )
        self.run.expected_clicks = lambda: self.expected_clicks()
        self.run.on_pins = lambda stamp, outcome, parity: self.on_pins(stamp, outcome, parity)
        self._commit_at: int | None = None
        self._pps_seen_s = self.clock.second(self.now_ns)
        identify(self.registers, hardware, self._serial_number, self.boot_count, self._identity)
        self._wire()

    def _wire(self) -> None:
        registers, clock, run = self.registers, self.clock, self.run
        registers.readers.update(
            {
                "TIME": lambda _: clock.ticks(self.now_ns),
                "PPS_TIME": lambda _: clock.tick_of_second(self._pps_s()),
                "PPS_COUNT": lambda _: self._pps_s(),
                "PPS_TICKS": lambda _: (
                    clock.tick_of_second(self._pps_s()) - clock.tick_of_second(self._pps_s() - 1)
                ),
                "TIME_EPOCH": lambda _: clock.epoch,
                "START_STAMP": lambda _: run.start_stamp,
                "REF_STATUS": lambda _: self._reference_status(),
                "STATUS": lambda _: self._status(),
                "COUNT": lambda channel: self._settled().golden.counts[channel],
                "GATED": lambda channel: self._settled().golden.gated[channel],
                "LAST": lambda channel: self._settled().last_stamp(channel),
                "ATT_DECIDED": lambda _: 0 if (decided := run.decided_by_clock()) is None else decided + 1,
                "EV_WR": lambda _: self.ring.next,
                "EV_RD": lambda _: self.ring.oldest,
                "EV_LEVEL": lambda _: len(self.ring),
                "LOST": lambda _: run.records.lost_attempts,
                "RING": self.ring.window_word,
            }
        )
        registers.writers.update(
            {
                "CTRL": self._write_control,
                "CMD": self._write_command,
                "EV_RD": self._write_acknowledge,
                **dict.fromkeys(FIXED_IN_RUN, self._write_fixed_in_run),
                "REF_SEL": self._write_reference,
            }
        )

    # -- time -----------------------------------------------------------------------------------------------

    def set_now(self, now_ns: int) -> None:
        """Time goes on: the PPS comes or stays away, a run starts or ends, a commit comes into force."""
        self.now_ns = self.run.now_ns = max(self.now_ns, now_ns)
        second = self.clock.second(self.now_ns)
        if second > self._pps_seen_s:
            since = max(self._pps_seen_s + 1, second - SECONDS_BACK)
            if not all(self.clock.pps_came(one) for one in range(since, second + 1)):
                self.registers.raise_sticky("STICKY", "pps_missing")
            self._pps_seen_s = second
        if self.run.armed_s is not None and second >= self.run.armed_s and not self.run.arm_second_came():
            self.registers.raise_sticky("STICKY", "start_missed")
            self._clear_run()
        if self._commit_at is not None and self.run.now_stamp >= self._commit_at:
            self._apply_commit(self._commit_at)
        limit = self.registers.value("ATT_MAX")
        decided = self.run.decided_by_clock() if self.run.is_active and limit else None
        if decided is not None and decided + 1 >= limit:
            self._end_run()

    def heard(self, now_ns: int) -> None:
        """The FPGA has no lease: photons hurt nobody."""

    def write_block(self, address: int, words: tuple[int, ...]) -> Status | None:
        """No mailbox."""
        return None

    def _pps_s(self) -> int:
        return self.clock.last_pps_s(self.now_ns)

    def _settled(self) -> HeraldEngine:
        self.run.catch_up()
        return self.run.engine

    def _status(self) -> int:
        fields, running = self.registers.map["STATUS"].fields, self.run.is_running
        return (
            fields["running"].place(int(running))
            | fields["armed"].place(int(self.run.is_active and not running))
            | fields["commit_pending"].place(int(self._commit_at is not None))
            | fields["ref_locked"].place(int(self.clock.locked))
            | fields["pps_present"].place(int(self.clock.pps_came(self.clock.second(self.now_ns))))
        )

    def _reference_status(self) -> int:
        fields = self.registers.map["REF_STATUS"].fields
        return (
            fields["external_present"].place(int(self.clock.external_present))
            | fields["locked"].place(int(self.clock.locked))
            | fields["lock_losses"].place(self.clock.lock_losses)
        )

    # -- what happens around the board ----------------------------------------------------------------------

    def afflict(self, fault: Fault, on: bool, now_ns: int) -> None:
        """The PPS or the 10 MHz stays away, or comes back; the ring takes no record, or does again.

        Without the 10 MHz that it runs on, the run ends here and a new time epoch begins. Raises LocalMisuse
        for a fault that the device does not have.
        """
        self.set_now(now_ns)
        match fault:
            case Fault.PPS_MISSING:
                if on:
                    self.clock.lose_pps(now_ns)
                else:
                    self.clock.restore_pps(now_ns)
            case Fault.REFERENCE_LOST:
                self._external_present = not on
                if on:
                    self._lose_reference()
                else:
                    self.clock.restore_reference()
            case Fault.OVERFLOW:
                self.ring.is_blocked = on
            case _:
                raise LocalMisuse(f"a heralding FPGA has no fault {fault.value}")

    def _lose_reference(self) -> None:
        if self.clock.uses_external and self.clock.external_present:
            self.registers.raise_sticky("STICKY", "ref_lost")
            if self.run.is_active:
                self._end_run()
        self.clock.lose_reference()

    # -- writes ---------------------------------------------------------------------------------------------

    def _write_control(self, _: int, value: int) -> Status:
        fields = self.registers.map["CTRL"].fields
        wanted = {name: bool(field.extract(value)) for name, field in fields.items()}
        if wanted["run"] and not self.run.is_active:
            period, arm_s = self.registers.value("PERIOD"), self.registers.value("ARM_PPS")
            if not self.clock.locked or (wanted["src_int"] and period == 0):
                return Status.RANGE
            if wanted["pps_arm"] and arm_s <= self.clock.second(self.now_ns):
                return Status.RANGE
            self.run.begin(wanted)
        elif not wanted["run"] and self.run.is_active:
            self._end_run()
        return Status.OK

    def _end_run(self) -> None:
        self.run.end()
        self._clear_run()

    def _clear_run(self) -> None:
        run = self.registers.map["CTRL"].fields["run"].place(1)
        self.registers.put("CTRL", self.registers.value("CTRL") & ~run)

    def _write_fixed_in_run(self, _: int, __: int) -> Status:
        return Status.BUSY if self.run.is_active else Status.OK

    def _write_reference(self, _: int, value: int) -> Status:
        if self.run.is_active:
            return Status.BUSY
        self.clock.select(bool(value))
        return Status.OK

    def _write_acknowledge(self, _: int, value: int) -> Status:
        self.ring.acknowledge(value)
        return Status.OK

    def _write_command(self, _: int, value: int) -> Status:
        fields = self.registers.map["CMD"].fields
        if fields["latch"].extract(value):
            self.registers.latch_pairs()
            self.registers.put("SNAP_TIME", self.clock.ticks(self.now_ns))
            for channel, count in enumerate(self._settled().golden.counts):
                self.registers.put("SNAP_COUNT", count, channel)
        if fields["clear_counters"].extract(value):
            golden = self._settled().golden
            golden.counts = [0] * CHANNELS
            golden.gated = [0] * CHANNELS
            self.clock.fine_counts = [0] * len(self.clock.fine_counts)
        if fields["clear_sticky"].extract(value):
            self.registers.put("STICKY", 0)
        if fields["commit"].extract(value):
            self._accept_commit()
        if fields["soft_reset"].extract(value):
            self.boot_count += 1
            self._power_up()
        return Status.OK

    def _accept_commit(self) -> None:
        now = self.run.now_stamp
        boundary = None
        if self.run.is_running and self.run.engine.sequencer is not None:
            boundary = self.run.engine.sequencer.next_boundary(now)
        if boundary is None:  # no attempts go on: nothing can be torn
            self.sets.take(without=FIXED_IN_RUN if self.run.is_active else frozenset())
            self._apply_commit(now)
            return
        if boundary - now < COMMIT_SETUP_TICKS << self.clock.hardware.fine_bits:
            self.registers.raise_sticky("STICKY", "late_commit")
            return
        self.sets.take(without=FIXED_IN_RUN)
        self._commit_at = boundary

    def _apply_commit(self, boundary: int) -> None:
        self._commit_at = None
        self.run.run_to(boundary - 1)
        self.sets.apply()
        self.run.engine.golden.settings = golden_settings(self.registers, self.sets, self.clock)
        sequencer = self.run.engine.sequencer
        if self.run.is_running and sequencer is not None:
            settings = sequencer_settings(self.registers, self.clock)
            if settings != sequencer.settings:
                sequencer.change(settings, boundary)

    # -- light ----------------------------------------------------------------------------------------------

    def click(self, at_ns: int, lane: int, code: int, now_ns: int) -> int:
        """The pulses of a success with this code arrive. The outcome on the herald pins (0 = none)."""
        self.set_now(at_ns)
        run, outcome = self.run, 0
        edge = run.attempt_of(at_ns, lane) if run.is_active else None
        if edge is not None:
            patterns = self._fired[code]
            channels = patterns[edge.attempt % len(patterns)]
            hits = [(c, run.capture(c, at_ns * 1000) + lane * run.period) for c in channels]
            if run.engine.judge(edge, hits):
                outcome = run.collect().get(edge.attempt, 0)
        self.set_now(now_ns)
        return outcome

    def hit(self, channel: int, at_ps: int, now_ns: int) -> None:
        """A pulse at one input, `at_ps` unix picoseconds; not before the last one."""
        self.set_now(now_ns)
        self.run.engine.hit(channel, self.run.capture(channel, at_ps))
        self.run.collect()

    def trigger(self, at_ps: int, now_ns: int) -> None:
        """An edge at the trigger input, which begins an attempt when CTRL.src_int is clear."""
        self.set_now(now_ns)
        stamp = self.clock.capture(at_ps * 1000 - self.clock.zero_ns * 1_000_000)
        if self.run.is_running:
            self.run.engine.trigger(stamp)
            self.run.collect()

    def pulses(self, attempt: int) -> tuple[Pulse, ...]:
        """What the sequencer's outputs do in an attempt of the present run; nothing when it is not made."""
        sequencer = self.run.engine.sequencer
        edge = None if sequencer is None or not self.run.is_active else sequencer.edge_of(attempt)
        return () if sequencer is None or edge is None else sequencer.pulses(edge)

    # -- what the endpoint asks -----------------------------------------------------------------------------

    def take_lost(self) -> list[Lost]:
        """Losses not reported yet."""
        self.run.catch_up()
        return self.run.records.take_lost()

    def bound(self, first_unsent: int) -> Bound:
        """How far the run is decided and told."""
        return self.run.bound(first_unsent, self.boot_count)

    def tag_bound(self, first_unsent: int) -> Bound | None:
        """How far all time tags are told; None when none are wanted."""
        return self.run.tag_bound(first_unsent, self.boot_count)
