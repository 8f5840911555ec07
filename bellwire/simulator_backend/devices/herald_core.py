"""The heralding FPGA behind its registers: clock, run, commit, clicks through the golden model, ring, bounds,
losses.

Owns the volatile state of one powered device; a power cycle makes a new core. Sans I/O: time is passed in.
Refuses to count an overrun or a dropped record as a fail: those are LOST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bellwire.core.settings import Architecture
from bellwire.drivers.frames import Bound, HeraldFlag, HeraldWords, Lost
from bellwire.drivers.framing import Status
from bellwire.drivers.regmap import load_map
from bellwire.simulator_backend.devices.event_ring import EventRing, RingEntry
from bellwire.simulator_backend.devices.herald_golden import Decision, GoldenSettings, HeraldGolden, Overrun
from bellwire.simulator_backend.devices.register_file import RegisterFile

SECOND_NS = 1_000_000_000
TICK_NS = 8
FINE_BITS = 3
CHANNELS = 4
WINDOWS = 2
RING_LOG2 = 8
COUNTER_START_NS = 64 * SECOND_NS
COMMIT_SETUP_TICKS = 8
"""A commit closer than this to the next attempt edge misses it."""
LOST_RANGES_MAX = 16
FIXED_IN_RUN = ("PERIOD", "START_DELAY", "LANES")
FiredPatterns = Mapping[int, tuple[tuple[int, ...], ...]]
"""Sets of channels that a success of each code may fire, in turn."""

FIRED: Final[dict[Architecture, FiredPatterns]] = {
    # Two of the four detectors of a polarisation analyser: left H, left V, right H, right V.
    "double_click": {1: ((0, 1), (2, 3)), 2: ((0, 3), (1, 2))},
    # The detector behind the left or the right port of a beam splitter.
    "single_click": {1: ((0,),), 2: ((2,),)},
    # The herald line of the receiver's memory, on the last input.
    "sender_receiver": {1: ((3,),)},
    # The herald lines of both memories: the first node's on the left, the second's on the right.
    "midpoint_source": {1: ((0, 2),)},
}
"""What the hardware at the station of each architecture does, whatever the device was told to look for."""


class HeraldCore:
    """One powered FPGA.

    8 ns ticks and 3 fine bits: the fine unit is 1 ns. `boot_count` also is the time epoch. `fired`: which
    inputs a success of the link fires.
    """

    def __init__(
        self,
        *,
        serial_number: int,
        boot_count: int,
        boot_ns: int,
        identity: int | None = None,
        ring_log2: int = RING_LOG2,
        fired: FiredPatterns = FIRED["double_click"],
    ) -> None:
        self.registers = RegisterFile(load_map("herald_fpga"))
        self.ring = EventRing(1 << ring_log2)
        self.boot_count = boot_count
        self.time_epoch = boot_count & 0xFFFF
        self._fired = fired
        self.expected_clicks: Callable[[], Iterable[tuple[int, int]]] = tuple
        self.now_ns = boot_ns
        # The counter starts at COUNTER_START_NS, so that the PPS before power-on has a stamp as well.
        self._boot_ns = boot_ns - boot_ns % TICK_NS - COUNTER_START_NS
        self._start_ns: int | None = None
        self._stop_ns: int | None = None
        self._run_short = 0  # of the run that goes on, or of the last one: RUN_ID may already name the next
        self._decided_to: int | None = None
        self._lost: list[Lost] = []
        self._lost_count = 0
        self._lost_before = False
        self._table = [0] * (1 << CHANNELS * WINDOWS)
        self._shadow_table = list(self._table)
        self._commit: tuple[int, dict[tuple[str, int], int], list[int]] | None = None
        self._golden = HeraldGolden(self._golden_settings())
        self._wire(serial_number, identity)

    def _wire(self, serial_number: int, identity: int | None) -> None:
        registers, register_map = self.registers, self.registers.map
        fields = register_map["CAPS"].fields
        caps = {
            "channels": CHANNELS,
            "windows": WINDOWS,
            "fine_bits": FINE_BITS,
            "ring_log2": self.ring.depth.bit_length() - 1,
        }
        registers.put("ID", register_map.identity if identity is None else identity)
        registers.put("ABI", register_map.abi)
        registers.put("MAP_HASH", register_map.hash)
        registers.put("BUILD", 1)
        registers.put("CAPS", sum(fields[name].place(value) for name, value in caps.items()))
        registers.put("TICK_FS", TICK_NS * 1_000_000)
        registers.put("SERIAL", serial_number)
        registers.put("BOOT_COUNT", self.boot_count)
        registers.put("TIME_EPOCH", self.time_epoch)
        registers.put("PPS_TICKS", SECOND_NS // TICK_NS)
        registers.readers.update(
            {
                "TIME": lambda _: (self.now_ns - self._boot_ns) // TICK_NS,
                "PPS_TIME": lambda _: (self._pps_s() * SECOND_NS - self._boot_ns) // TICK_NS,
                "PPS_COUNT": lambda _: self._pps_s(),
                "STATUS": lambda _: self._status(),
                "COUNT": lambda channel: self._golden.counts[channel],
                "GATED": lambda channel: self._golden.gated[channel],
                "ATT_DECIDED": lambda _: 0 if (decided := self._decided_by_clock()) is None else decided + 1,
                "LUT_DATA": self._read_table,
                "EV_WR": lambda _: self.ring.next,
                "EV_RD": lambda _: self.ring.oldest,
                "EV_LEVEL": lambda _: len(self.ring),
                "LOST": lambda _: self._lost_count,
            }
        )
        registers.writers.update(
            {
                "CTRL": self._write_control,
                "CMD": self._write_command,
                "RUN_ID": self._write_fixed_in_run,
                "ARM_PPS": self._write_fixed_in_run,
                **dict.fromkeys(FIXED_IN_RUN, self._write_fixed_in_run),
                "LUT_DATA": self._write_table,
                "EV_RD": self._write_acknowledge,
            }
        )

    # -- time and run ---------------------------------------------------------------------------------------

    def set_now(self, now_ns: int) -> None:
        """Time goes on; a commit whose boundary has passed comes into force."""
        self.now_ns = max(self.now_ns, now_ns)
        if self._commit is not None and self.now_ns >= self._commit[0]:
            self._apply_commit()

    def heard(self, now_ns: int) -> None:
        """The FPGA has no lease: photons hurt nobody."""

    def write_block(self, address: int, words: tuple[int, ...]) -> Status | None:
        """No mailbox."""
        return None

    def _pps_s(self) -> int:
        return self.now_ns // SECOND_NS

    @property
    def _active(self) -> bool:
        return self._start_ns is not None and self._stop_ns is None

    def _running_at(self, at_ns: int) -> bool:
        return self._start_ns is not None and at_ns >= self._start_ns and self._stop_ns is None

    def _status(self) -> int:
        fields = self.registers.map["STATUS"].fields
        running = self._running_at(self.now_ns)
        return (
            fields["running"].place(int(running))
            | fields["armed"].place(int(self._active and not running))
            | fields["commit_pending"].place(int(self._commit is not None))
            | fields["ref_locked"].place(1)
        )

    @property
    def _period_ns(self) -> int:
        return self.registers.value("PERIOD") * TICK_NS

    def _write_control(self, _: int, value: int) -> Status:
        fields = self.registers.map["CTRL"].fields
        wanted = bool(fields["run"].extract(value))
        if wanted and not self._active:
            arm_s = self.registers.value("ARM_PPS")
            if not fields["pps_arm"].extract(value) or arm_s <= self._pps_s() or self._period_ns == 0:
                return Status.RANGE
            self._start_ns = arm_s * SECOND_NS + self.registers.value("START_DELAY") * TICK_NS
            self._stop_ns = None
            self._run_short = self.registers.value("RUN_ID")
            self._decided_to = None
            self._lost_before = False
            self._golden = HeraldGolden(self._golden_settings())
        elif not wanted and self._active:
            self._stop_ns = self.now_ns
        return Status.OK

    def _write_fixed_in_run(self, _: int, __: int) -> Status:
        return Status.BUSY if self._active else Status.OK

    # -- configuration --------------------------------------------------------------------------------------

    def _golden_settings(self) -> GoldenSettings:
        value = self.registers.value
        return GoldenSettings(
            fine_bits=FINE_BITS,
            offsets=tuple(value("OFFS", c) for c in range(CHANNELS)),
            dead_ticks=tuple(value("DEAD", c) for c in range(CHANNELS)),
            enabled=tuple(bool(value("ENABLE", c)) for c in range(CHANNELS)),
            windows=tuple((value("WIN_START", w), value("WIN_LEN", w)) for w in range(WINDOWS)),
            decide_ticks=value("DECIDE"),
            coincidence=value("COINC"),
            table=tuple(self._table),
        )

    def _write_command(self, _: int, value: int) -> Status:
        fields = self.registers.map["CMD"].fields
        if fields["commit"].extract(value):
            boundary_ns = self._next_edge_ns()
            if boundary_ns - self.now_ns < COMMIT_SETUP_TICKS * TICK_NS and boundary_ns > self.now_ns:
                self.registers.raise_sticky("STICKY", "late_commit")
                return Status.OK
            self._commit = (boundary_ns, self.registers.snapshot_shadow(), list(self._shadow_table))
            self.set_now(self.now_ns)
        if fields["clear_counters"].extract(value):
            self._golden.counts = [0] * CHANNELS
            self._golden.gated = [0] * CHANNELS
        return Status.OK

    def _next_edge_ns(self) -> int:
        """The next attempt edge after now; now itself when no attempts go on (nothing can be torn then)."""
        if not self._running_at(self.now_ns) or self._start_ns is None or self._period_ns == 0:
            return self.now_ns
        return self._start_ns + ((self.now_ns - self._start_ns) // self._period_ns + 1) * self._period_ns

    def _apply_commit(self) -> None:
        assert self._commit is not None
        _, values, table = self._commit
        self._commit = None
        self.registers.apply(values)
        self._table = table
        self._golden.settings = self._golden_settings()

    def _read_table(self, _: int) -> int:
        entry = self.registers.value("LUT_ADDR")
        self.registers.put("LUT_ADDR", (entry + 1) % len(self._table))
        return self._table[entry]

    def _write_table(self, _: int, value: int) -> Status:
        entry = self.registers.value("LUT_ADDR")
        self.registers.put("LUT_ADDR", (entry + 1) % len(self._table))
        self._shadow_table[entry] = value
        return Status.OK

    def _write_acknowledge(self, _: int, value: int) -> Status:
        self.ring.acknowledge(value)
        return Status.OK

    # -- light ----------------------------------------------------------------------------------------------

    def sub_attempt_of(self, at_ns: int, lane: int) -> tuple[int, int] | None:
        """(sub-attempt, ns after its edge) into which light at `at_ns` of a lane falls; None when no run goes
        on.

        Lanes take turns: the light of lane k comes k device periods after that of lane 0.
        """
        if self._start_ns is None or self._period_ns == 0:
            return None
        since_ns = at_ns + lane * self._period_ns - self._start_ns
        return divmod(since_ns, self._period_ns) if since_ns >= 0 else None

    def click(self, at_ns: int, lane: int, code: int, now_ns: int) -> int:
        """The pulses of a success with this code arrive. The outcome on the herald pins (0 = none)."""
        self.set_now(now_ns)
        place = self.sub_attempt_of(at_ns, lane) if self._active else None
        if place is None:
            return 0
        attempt, after_ns = place
        assert self._start_ns is not None
        edge = self._start_ns + attempt * self._period_ns - self._boot_ns
        self._golden.edge(attempt, edge)
        patterns = self._fired[code]
        for channel in patterns[attempt % len(patterns)]:
            self._golden.hit(channel, edge + after_ns)
        decided = edge + (self.registers.value("DECIDE") << FINE_BITS)
        if edge + self._period_ns < decided:
            self._golden.edge(attempt + 1, edge + self._period_ns)
        self._golden.advance(decided)
        return self._collect(attempt)

    def _collect(self, attempt: int) -> int:
        """Turn the results of the model into records and losses; the outcome of `attempt`."""
        outcome = 0
        emit_fail = self.registers.map["CTRL"].fields["emit_fail"].extract(self.registers.value("CTRL"))
        for result in self._golden.results:
            if isinstance(result, Overrun):
                self.registers.raise_sticky("STICKY", "attempt_overrun")
                self._lose(result.attempt)
                continue
            if result.attempt == attempt:
                outcome = result.outcome
            if result.outcome or emit_fail:
                self._write_record(result)
        self._golden.results.clear()
        return outcome

    def _write_record(self, decision: Decision) -> None:
        flags = decision.flags | (int(HeraldFlag.LOST_BEFORE) if self._lost_before else 0)
        words = HeraldWords(decision.attempt, decision.mask, decision.outcome, flags, decision.stamp)
        if self.ring.push(RingEntry(self._run_short, self.time_epoch, words.pack())):
            self._lost_before = False
        else:
            self._lose(decision.attempt)

    def _lose(self, attempt: int) -> None:
        self._lost_count += 1
        self._lost_before = True
        self.registers.raise_sticky("STICKY", "lost")
        run_short = self._run_short
        if len(self._lost) >= LOST_RANGES_MAX and self._lost[-1].run_short == run_short:
            last = self._lost.pop()
            self._lost.append(Lost(last.first, max(last.last, attempt), last.count + 1, run_short))
        else:
            self._lost.append(Lost(attempt, attempt, 1, run_short))

    def take_lost(self) -> list[Lost]:
        """Losses not reported yet."""
        lost, self._lost = self._lost, []
        return lost

    # -- bounds ---------------------------------------------------------------------------------------------

    def _decided_by_clock(self) -> int | None:
        """Last sub-attempt whose decision time has passed; None before the first."""
        if self._start_ns is None or self._period_ns == 0:
            return None
        until_ns = self.now_ns if self._stop_ns is None else self._stop_ns
        last = (until_ns - self._start_ns - self.registers.value("DECIDE") * TICK_NS) // self._period_ns
        return last if last >= 0 else None

    def bound(self, first_unsent: int) -> Bound:
        """BOUND(N) only after every record with attempt <= N has left (fpga.md section 8)."""
        limit = self._decided_by_clock()
        run_short = self._run_short
        if limit is not None:
            for at_ns, lane in self.expected_clicks():
                place = self.sub_attempt_of(at_ns, lane)
                if place is not None and self._stop_ns is None:
                    limit = min(limit, place[0] - 1)
            for sequence in range(first_unsent, self.ring.next):
                entry = self.ring.entry(sequence)
                if entry.run_short == run_short:
                    limit = min(limit, HeraldWords.unpack(entry.record).attempt - 1)
            if limit >= 0:
                self._decided_to = limit if self._decided_to is None else max(self._decided_to, limit)
        return Bound(
            run_short,
            self.time_epoch,
            self._decided_to,
            min(first_unsent, self.ring.next),
            self._lost_count,
            self.boot_count,
            self._pps_s(),
            self.now_ns % SECOND_NS,
        )
