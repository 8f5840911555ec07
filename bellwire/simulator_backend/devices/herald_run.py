"""The run of the emulated FPGA: from its arming to its end, how far it is decided, what it tells.

Owns start and end of the run, the working through of light and attempts, and the bounds. Sans I/O: `now_ns`
is set by the core. Refuses to interpret writes to registers (`herald_core.py`) and to decide
(`herald_golden.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from bellwire.drivers.frames import Bound, HeraldWords, RecordKind, TagWords
from bellwire.simulator_backend.devices.event_ring import EventRing
from bellwire.simulator_backend.devices.herald_clock import HeraldClock
from bellwire.simulator_backend.devices.herald_engine import HeraldEngine
from bellwire.simulator_backend.devices.herald_golden import Decision, HeraldGolden, Overrun
from bellwire.simulator_backend.devices.herald_records import HeraldRecords
from bellwire.simulator_backend.devices.herald_registers import (
    CHANNELS,
    HeraldSets,
    golden_settings,
    sequencer_settings,
)
from bellwire.simulator_backend.devices.herald_sequencer import AttemptEdge, Sequencer
from bellwire.simulator_backend.devices.register_file import RegisterFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PIN_TICKS = 7
"""The herald pins follow the decision by this."""
PULSE_FS = 20_000_000
"""Length of a detector pulse: where its falling edge lies."""
PHOTONS_BACK_NS = 1_000_000_000
"""Light that came while nobody asked for longer than this is never looked at."""
NOW_NS_MAX = (1 << 32) - 1


class Photons(Protocol):
    """Where the inputs get single photons from; see `Surroundings.tags`."""

    def tags(
        self, channels: Sequence[str], start_ns: int, stop_ns: int, /
    ) -> tuple[NDArray[np.int64], NDArray[np.int16]]: ...


class HeraldRun:
    """The run that goes on, is armed, or has ended last. Stamps are fine units of the clock."""

    def __init__(
        self,
        registers: RegisterFile,
        clock: HeraldClock,
        sets: HeraldSets,
        ring: EventRing,
        photons: Photons | None,
        inputs: tuple[str, ...],
        now_ns: int,
    ) -> None:
        self.now_ns = now_ns
        self.armed_s: int | None = None
        self.expected_clicks: Callable[[], Iterable[tuple[int, int]]] = tuple
        self.on_pins: Callable[[int, int, int], None] = lambda stamp, outcome, parity: None
        self.records = HeraldRecords(ring, registers)
        self.engine = HeraldEngine(HeraldGolden(golden_settings(registers, sets, clock)))
        self.engine.on_accepted = self._tag
        self._registers = registers
        self._clock = clock
        self._ring = ring
        self._photons = photons
        self._inputs = inputs[:CHANNELS]
        self._photons_to_ns = now_ns
        self._start: int | None = None
        self._stop: int | None = None
        self._decided_to: int | None = None

    # -- start and end --------------------------------------------------------------------------------------

    @property
    def now_stamp(self) -> int:
        """Every edge with a stamp up to this has happened."""
        return self._clock.stamp_at(self.now_ns)

    @property
    def is_active(self) -> bool:
        """Armed or running."""
        return self._start is not None and self._stop is None

    @property
    def is_running(self) -> bool:
        """Attempt 0 has begun, and the run has not ended."""
        return (
            self._start is not None
            and self._stop is None
            and self.armed_s is None
            and self.now_stamp >= self._start
        )

    @property
    def start_stamp(self) -> int:
        """The edge of attempt 0; 0 before it, and with attempts that the trigger input begins."""
        begun = self.is_running or self._stop is not None
        return self._start if begun and self._start is not None and self.engine.sequencer is not None else 0

    def begin(self, wanted: dict[str, bool]) -> None:
        """Arm, or begin at once, with the fields of CTRL and the registers in force."""
        registers, clock = self._registers, self._clock
        arm_s = registers.value("ARM_PPS")
        first_tick = clock.tick_of_second(arm_s) if wanted["pps_arm"] else clock.ticks(self.now_ns) + 1
        self.catch_up()
        self._start = first_tick + registers.value("START_DELAY") << clock.hardware.fine_bits
        self.armed_s = arm_s if wanted["pps_arm"] else None
        self._stop = None
        self._decided_to = None
        self.records.begin(registers.value("RUN_ID"))
        sequencer = None
        if wanted["src_int"]:
            sequencer = Sequencer(sequencer_settings(registers, clock), self._start)
        mask = registers.value("TEST_MASK") if wanted["self_test"] else 0
        self.engine.begin(
            sequencer,
            each=wanted["emit_fail"],
            test_channels=tuple(c for c in range(CHANNELS) if mask >> c & 1),
            test_delay=registers.value("TEST_DELAY"),
        )

    def arm_second_came(self) -> bool:
        """The second of ARM_PPS is here; without its PPS there is no run. Whether there is one."""
        came = self.armed_s is not None and self._clock.pps_came(self.armed_s)
        self.armed_s = None
        if not came:
            self._start = None
        return came

    def end(self) -> None:
        """The run ends now; an attempt without decision never gets one."""
        self.catch_up()
        self.engine.end(self.now_stamp)
        self.collect()
        self.armed_s = None
        self._stop = self.now_stamp

    # -- light ----------------------------------------------------------------------------------------------

    @property
    def period(self) -> int:
        """Fine units of an attempt period."""
        return self._registers.value("PERIOD") << self._clock.hardware.fine_bits

    def attempt_of(self, at_ns: int, lane: int) -> AttemptEdge | None:
        """The attempt into which light at `at_ns` of a lane falls; None when there is none.

        Lanes take turns: the light of lane k comes k device periods after that of lane 0.
        """
        if self._start is None or self.engine.sequencer is None:
            return None
        return self.engine.sequencer.last_at(self._clock.stamp_at(at_ns) + lane * self.period)

    def capture(self, channel: int, at_ps: int) -> int:
        """The stamp that a pulse at an input gets, `at_ps` unix picoseconds."""
        falls = self._falls(channel)
        return self._clock.capture(at_ps * 1000 - self._clock.zero_ns * 1_000_000 + falls * PULSE_FS)

    def _falls(self, channel: int) -> bool:
        enable = self._registers.value("ENABLE", channel)
        return bool(self._registers.map["ENABLE"].fields["falling"].extract(enable))

    def catch_up(self) -> None:
        """Work through everything that has happened and that nothing before it can still follow."""
        limit = self.now_stamp
        if self.is_active and self.engine.works_through:
            for at_ns, lane in self.expected_clicks():
                edge = self.attempt_of(at_ns, lane)
                if edge is not None:
                    limit = min(limit, edge.stamp - 1)
        self.run_to(limit)

    def run_to(self, limit: int) -> None:
        """Work through everything up to a stamp."""
        if self._photons is not None and self._inputs:
            to_ns = self._clock.ns_of(limit)
            from_ns = max(self._photons_to_ns, to_ns - PHOTONS_BACK_NS)
            if to_ns > from_ns:
                times_ps, numbers = self._photons.tags(self._inputs, from_ns, to_ns)
                for time_ps, number in zip(times_ps.tolist(), numbers.tolist(), strict=True):
                    self.engine.hit(number, self.capture(number, from_ns * 1000 + time_ps))
                self._photons_to_ns = to_ns
        self.engine.run_to(limit)
        self.collect()

    # -- results --------------------------------------------------------------------------------------------

    def _control(self, name: str) -> bool:
        return bool(self._registers.map["CTRL"].fields[name].extract(self._registers.value("CTRL")))

    def collect(self) -> dict[int, int]:
        """Turn the results of the models into records and losses; outcome by attempt."""
        outcomes: dict[int, int] = {}
        emit_fail, first_hits = self._control("emit_fail"), self._control("first_hits")
        pins_after = self._registers.value("DECIDE") + PIN_TICKS << self._clock.hardware.fine_bits
        for result in self.engine.take_results():
            match result:
                case Overrun():
                    self._registers.raise_sticky("STICKY", "attempt_overrun")
                    self.records.lose_attempts(result.attempt, result.attempt)
                case Decision():
                    outcomes[result.attempt] = result.outcome
                    if result.outcome:
                        self.on_pins(result.stamp + pins_after, result.outcome, result.attempt & 1)
                    if result.outcome or emit_fail:
                        self.records.decision(result, self._clock.epoch)
                    if first_hits and result.mask:
                        self.records.first_hits(result, self._clock.epoch)
        for first, last in self.engine.skipped:
            self.records.lose_attempts(first, last)
        self.engine.skipped.clear()
        return outcomes

    def _tag(self, channel: int, stamp: int) -> None:
        if self._control("tags"):
            self.records.tag(channel, stamp, self._falls(channel), self._clock.epoch)

    # -- bounds ---------------------------------------------------------------------------------------------

    def decided_by_clock(self) -> int | None:
        """Last attempt whose decision time has passed; None before the first."""
        if self._start is None or self.armed_s is not None:
            return None
        until = self.now_stamp if self._stop is None else self._stop
        return self.engine.decided_by(until) if until >= self._start else None

    def bound(self, first_unsent: int, boot_count: int) -> Bound:
        """BOUND(N) only after every record with attempt <= N has left (fpga.md section 8)."""
        self.catch_up()
        limit = self.decided_by_clock()
        run_short = self.records.run_short
        if limit is not None:
            for at_ns, lane in self.expected_clicks():
                edge = self.attempt_of(at_ns, lane)
                if edge is not None and self._stop is None:
                    limit = min(limit, edge.attempt - 1)
            for sequence in range(first_unsent, self._ring.next):
                entry = self._ring.entry(sequence)
                if entry.run_short == run_short and entry.kind == RecordKind.DECISION:
                    limit = min(limit, HeraldWords.unpack(entry.record).attempt - 1)
            if limit >= 0:
                self._decided_to = limit if self._decided_to is None else max(self._decided_to, limit)
        return self._bound(
            RecordKind.DECISION,
            run_short,
            self._decided_to,
            first_unsent,
            self.records.lost_attempts,
            boot_count,
        )

    def tag_bound(self, first_unsent: int, boot_count: int) -> Bound | None:
        """The stamp up to which every tag has left; None when no tags are wanted."""
        if not self._control("tags"):
            return None
        self.catch_up()
        limit = self.now_stamp - 1
        for sequence in range(first_unsent, self._ring.next):
            entry = self._ring.entry(sequence)
            if entry.kind == RecordKind.TAG:
                limit = min(limit, TagWords.unpack(entry.record).stamp - 1)
                break
        return self._bound(RecordKind.TAG, 0, limit, first_unsent, self.records.lost_tags, boot_count)

    def _bound(
        self,
        kind: RecordKind,
        run_short: int,
        decided_to: int | None,
        first_unsent: int,
        lost: int,
        boot_count: int,
    ) -> Bound:
        pps_s = self._clock.last_pps_s(self.now_ns)
        since_ns = min(self.now_ns - self._clock.ns_of_second(pps_s), NOW_NS_MAX)
        following = min(first_unsent, self._ring.next)
        return Bound(
            run_short, self._clock.epoch, decided_to, following, lost, boot_count, pps_s, since_ns, kind
        )
