"""A link kept in tolerance beside its operation: looks in granted windows, repairs where a look fails.

Owns the rounds. In each window the instruments of the looks are held by one short lease; while somebody else
holds them, the window is put off and nothing is recorded. Each look is a procedure with a record of its own.
A record that FAILED, or ran out, of a procedure that the link must have takes the link out of Ready at its
station; the keeper then runs the procedures that repair it, in order, and looks again: the record that passes
puts the link back. Repairs are limited, and everything that is done is told with its reason. Refuses to judge
links (standing.py) and to grant windows to itself (keeping_grants.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from bellwire.calibration.access import Access
from bellwire.calibration.bench import LinkBench
from bellwire.calibration.keeping_grants import Grant, Granted, GrantRefused
from bellwire.calibration.keeping_window import held_window
from bellwire.calibration.order import in_order, planned
from bellwire.calibration.procedure import Procedure, unique
from bellwire.calibration.procedures.references import References
from bellwire.calibration.records import NS_PER_S, CalibrationRecord, Outcome, Quantity
from bellwire.calibration.running import Keeper, RunTerms, run_procedure
from bellwire.calibration.trackers.clock_keeper import ClockKeeper
from bellwire.calibration.trackers.clock_look import KeepClock
from bellwire.calibration.trackers.delay_look import KeepDelay
from bellwire.calibration.trackers.polarisation_look import KeepPolarisation
from bellwire.calibration.whole_link import Ended, calibrate_link
from bellwire.core.errors import ConfigError, DeviceFault, LocalMisuse
from bellwire.drivers.leases import LeaseRefused

REPAIRS: Final[Mapping[str, tuple[str, ...]]] = {
    "keep_clock": ("clock",),
    "keep_delay": ("detector_delays", "window"),
    "keep_polarisation": ("polarisation",),
}
"""What brings back that of which a look failed."""


@runtime_checkable
class Acting(Protocol):
    """A look that may act, and ask for more than it can do itself."""

    @property
    def did(self) -> str:
        """What the last look did and why; "" for nothing."""
        ...

    @property
    def asks(self) -> str | None:
        """Why the last look wants the procedures that repair it; None: it does not."""
        ...


class NewsKind(StrEnum):
    """What is told."""

    LOOKED = "looked"
    PUT_OFF = "put_off"  # somebody else holds an instrument, or it cannot be reached
    REPAIRING = "repairing"
    REPAIRED = "repaired"  # one procedure of a repair has ended, however it did
    HELD_BACK = "held_back"  # a repair is due and its limit is reached


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that was done, or left, with its reason. `at_ns`: unix time; `procedure`: "" for none."""

    kind: NewsKind
    at_ns: int
    link: str
    reason: str
    procedure: str = ""
    outcome: str = ""
    record_id: str = ""
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    applied: Mapping[str, float | int | bool | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairLimits:
    """At most `repairs_max` repairs in `per_s`, `pause_s` between two at least. `ahead_s`: a procedure that
    the link must have is repeated so long before its record runs out.
    """

    repairs_max: int = 4
    per_s: float = 3600.0
    pause_s: float = 60.0
    ahead_s: float = 30.0

    def __post_init__(self) -> None:
        if self.repairs_max < 1 or self.pause_s < 0.0 or self.per_s < self.pause_s or self.ahead_s < 0.0:
            raise LocalMisuse(f"repairs_max >= 1 and 0 <= pause_s <= per_s must hold: {self}")


def looks_of(*, ahead_s: float = 60.0) -> tuple[Procedure, ...]:
    """The looks at a link, which share what they know of its clock. `ahead_s`: between two looks."""
    clock = ClockKeeper()
    return (
        References(),
        KeepClock(keeper=clock),
        KeepDelay(clock_keeper=clock, ahead_s=ahead_s),
        KeepPolarisation(clock_keeper=clock),
    )


class Keeping:
    """Keeps one link. `looks`: those that the link can have are made in turn. `table`: for repairs."""

    def __init__(
        self,
        bench: LinkBench,
        access: Access,
        keeper: Keeper,
        table: Mapping[str, Procedure],
        looks: Sequence[Procedure],
        grant: Grant,
        terms: RunTerms,
        *,
        limits: RepairLimits | None = None,
        on_news: Callable[[News], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bench = bench
        self._access = access
        self._keeper = keeper
        self._looks = deque(one for one in looks if one.obstacle(bench) is None)
        if not self._looks:
            why = "; ".join(f"{one.name}: {one.obstacle(bench)}" for one in looks) or "no looks are named"
            raise ConfigError(f"nothing of {bench.link} can be kept ({why})")
        self._table = {**table, **{one.name: one for one in self._looks}}
        self._look_names = frozenset(one.name for one in self._looks)
        self._grant = grant
        self._terms = terms
        self._limits = limits or RepairLimits()
        self.on_news = on_news
        self._monotonic = monotonic
        self._repaired_s: deque[float] = deque()

    async def run(self, rounds: int | None = None) -> None:
        """Rounds until there are no more windows, or so many, or until cancelled: then what was moved goes
        back, as `run_procedure` says.
        """
        done = 0
        while rounds is None or done < rounds:
            done += 1
            try:
                granted = await self._grant.next()
            except GrantRefused as refused:
                self._tell(NewsKind.PUT_OFF, str(refused))
                continue
            if granted is None:
                return
            await self.round(granted)

    async def round(self, granted: Granted) -> tuple[CalibrationRecord, ...]:
        """The looks of one window, and the repair that they call for; the records of the looks, in order."""
        began_s = self._monotonic()
        records = await self._look(tuple(self._looks), granted.length_s, ends=granted.ends)
        self._grant.used(self._monotonic() - began_s)
        self._looks.rotate(-len(records))  # those that were left out come first next time
        wanted = self._wanted(records)
        if not wanted or not await self._repair(wanted):
            return records
        failed = tuple(self._table[one.procedure] for one in records if one.outcome is not Outcome.PASSED)
        again = await self._look(failed, float("inf")) if failed else ()
        return (*records, *again)

    # -- looks ----------------------------------------------------------------------------------------------

    async def _look(
        self, looks: Sequence[Procedure], length_s: float, *, ends: bool = False
    ) -> tuple[CalibrationRecord, ...]:
        """As many as begin within `length_s`, under one lease; `ends`: what is not done by then is broken
        off, and its record says so."""
        instruments = unique(*(name for one in looks for name in one.instruments(self._bench)))
        began_s = self._monotonic()
        records: list[CalibrationRecord] = []
        try:
            holder = f"keeping of {self._bench.link}"
            if self._terms.operator:
                holder += f" ({self._terms.operator})"
            async with (
                asyncio.timeout(length_s if ends else None),
                held_window(self._access, instruments, holder, self._terms.lease_s) as window,
            ):
                for one in looks:
                    if records and self._monotonic() - began_s >= length_s:
                        break
                    record = await run_procedure(
                        one, self._bench, window, self._keeper, self._table, self._terms
                    )
                    records.append(record)
                    self._tell_look(one, record)
        except (LeaseRefused, DeviceFault, ConfigError) as refused:  # held, gone, or the store is taken
            self._tell(NewsKind.PUT_OFF, str(refused))
        except TimeoutError:
            self._tell(NewsKind.PUT_OFF, f"the window was over after {length_s:.3g} s: what was begun ended")
        return tuple(records)

    def _tell_look(self, look: Procedure, record: CalibrationRecord) -> None:
        did = look.did if isinstance(look, Acting) else ""
        reason = "; ".join(filter(None, (record.reason, did)))
        self._tell(NewsKind.LOOKED, reason, record)

    # -- repairs --------------------------------------------------------------------------------------------

    def _wanted(self, records: Sequence[CalibrationRecord]) -> dict[str, str]:
        """Procedures that are to be run, each with its reason."""
        wanted: dict[str, str] = {}
        for record in records:
            if record.outcome is Outcome.FAILED:
                for name in REPAIRS.get(record.procedure, ()):
                    wanted.setdefault(name, f"{record.procedure} failed: {record.reason}")
        for look in self._looks:
            seen = any(one.procedure == look.name and one.outcome is not Outcome.ABORTED for one in records)
            if isinstance(look, Acting) and seen and look.asks is not None:
                for name in REPAIRS.get(look.name, ()):
                    wanted.setdefault(name, f"{look.name} asks for it: {look.asks}")
            for name in look.needs:
                if self._due(name, 0.0):
                    wanted.setdefault(name, f"{look.name} needs it, and it is not in force")
        for name in self._bench.required:
            if name not in self._look_names and self._due(name, self._limits.ahead_s):
                wanted.setdefault(name, "the link must have it, and it is out of date or not in force")
        return self._with_needs(wanted)

    def _with_needs(self, wanted: Mapping[str, str]) -> dict[str, str]:
        """And what these need, as far as it is not in force."""
        found: dict[str, str] = {}

        def visit(name: str, reason: str) -> None:
            if name in found or name in self._look_names or not self._possible(name):
                return
            for need in self._table[name].needs:
                if self._due(need, 0.0):
                    visit(need, f"{name} needs it, and it is not in force")
            found[name] = reason

        for name, reason in wanted.items():
            visit(name, reason)
        return found

    def _possible(self, name: str) -> bool:
        return name in self._table and self._table[name].obstacle(self._bench) is None

    def _due(self, name: str, ahead_s: float) -> bool:
        """Whether a procedure that the link can have is not in force, or will not be in `ahead_s`."""
        if not self._possible(name):
            return False
        then_ns = self._terms.clock() + round(ahead_s * NS_PER_S)
        return self._keeper.in_force(self._bench.link, name, then_ns) is None

    async def _repair(self, wanted: Mapping[str, str]) -> bool:
        """Run them in order, within the limits; whether all passed."""
        order = [name for name in in_order(self._table) if name in wanted]
        now_s = self._monotonic()
        while self._repaired_s and now_s - self._repaired_s[0] > self._limits.per_s:
            self._repaired_s.popleft()
        if (why := self._held_back(now_s)) is not None:
            self._tell(NewsKind.HELD_BACK, f"{', '.join(order)} would repair it, but {why}")
            return False
        self._repaired_s.append(now_s)
        for name in order:
            self._tell(NewsKind.REPAIRING, wanted[name], procedure=name)
        steps = planned(self._bench, self._table, order)
        try:
            ended = await calibrate_link(
                steps, self._bench, self._access, self._keeper, self._table, self._terms, self._tell_end
            )
        except (DeviceFault, ConfigError) as problem:  # of the store; instruments are in the records
            self._tell(NewsKind.PUT_OFF, f"the repair was broken off: {problem}")
            return False
        return all(one.passed for one in ended)

    def _held_back(self, now_s: float) -> str | None:
        if len(self._repaired_s) >= self._limits.repairs_max:
            return f"{len(self._repaired_s)} repairs in {self._limits.per_s:g} s are the limit"
        if self._repaired_s and now_s - self._repaired_s[-1] < self._limits.pause_s:
            since_s = now_s - self._repaired_s[-1]
            return f"the last repair was {since_s:.0f} s ago, {self._limits.pause_s:g} s must pass"
        return None

    def _tell_end(self, ended: Ended) -> None:
        if ended.record is None:
            self._tell(NewsKind.REPAIRED, f"left out: {ended.left_out}", procedure=ended.step.procedure.name)
        else:
            self._tell(NewsKind.REPAIRED, ended.record.reason, ended.record)

    # -- news -----------------------------------------------------------------------------------------------

    def _tell(
        self, kind: NewsKind, reason: str, record: CalibrationRecord | None = None, *, procedure: str = ""
    ) -> None:
        news = News(
            kind=kind, at_ns=self._terms.clock(), link=self._bench.link, reason=reason, procedure=procedure
        )
        if record is not None:
            news = replace(
                news,
                procedure=record.procedure,
                outcome=record.outcome.value,
                record_id=record.record_id,
                quantities=record.quantities,
                applied=record.applied,
            )
        self.on_news(news)
