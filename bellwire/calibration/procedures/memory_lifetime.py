"""How long the memories of a link keep a bit (T1) and a phase (T2): states stored for a while, and measured.

Each memory prepares |0> and |1> for the one, |+> and |-> for the other, alternately, so that neither readout
errors nor decay towards one of them pass for a lifetime; it stores them in slots that no link uses, beside
entanglement, and tells by its own clock how long. First a ladder of storage times finds where the state is
lost, then the times that tell most are measured, by chance in order, so that drift of the memory is noise and
no slope.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np

from bellwire.calibration.bench import LinkBench, MemoryPlace
from bellwire.calibration.estimates.curves import Curve
from bellwire.calibration.estimates.memory import Decay, MemoryLifetime, NoDecay, lifetime_from_trials
from bellwire.calibration.procedure import Finding, Unfit
from bellwire.calibration.procedures import pictures
from bellwire.calibration.records import Check, Quantity
from bellwire.calibration.work import Work
from bellwire.drivers.qubit_storage import Preparation

T = TypeVar("T")

QUARTER, HALF = 64, 128
"""Of a full turn, in 1/256."""

STATES: Final = {
    "t1": (Preparation((0, 0, 0), "Z", 0), Preparation((HALF, 0, 0), "Z", 1)),
    "t2": (Preparation((0, QUARTER, 0), "X", 0), Preparation((0, 3 * QUARTER, 0), "X", 1)),
}
DECAYS: Final = {"t1": (Decay.EXPONENTIAL,), "t2": (Decay.EXPONENTIAL, Decay.GAUSSIAN)}
"""A bit flips at a constant rate; a phase is lost to fast noise or to slow."""
STEP: Final = 3.0
"""Of the ladder, from one storage time to the next."""
HALF_LOST: Final = 0.8
"""The ladder ends where so few outcomes are still right."""
TIMES: Final[tuple[float, ...]] = (0.0, 0.4, 0.7, 1.0, 1.0, 1.5)
"""In lifetimes. A trial tells most of the lifetime near one of it; one at none tells the contrast."""
LEFT_MIN, LEFT_MAX = 0.05, 0.9
"""Of the contrast at the end of the ladder, which a few states tell badly."""
UNSEEN_TIMES: Final[tuple[float, ...]] = (0.0, 0.5, 0.8, 1.0)
"""In longest times, where no end of it is seen. One round of that is enough for a bound."""
ROUNDS: Final = 3
"""What a round has found says where the next looks."""
SEEN_TIMES: Final = 5.0
"""A lifetime of more of the longest times is told by the least that it may be."""
BELOW: Final = 3.0
"""Standard errors below the figure of plans that a lifetime may lie."""
LOST_MAX: Final = 0.1
"""More states lost than this share: the memory, or the way to it, is in no order."""


@dataclass(frozen=True, slots=True)
class _Trials:
    """Of one kind of state: seconds by the memory's clock, whether it was right, and how many were lost."""

    stored_s: list[float]
    right: list[bool]
    lost: int

    def __add__(self, other: _Trials) -> _Trials:
        return _Trials(self.stored_s + other.stored_s, self.right + other.right, self.lost + other.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLifetimes:
    """`first_s`, `longest_s`: of the ladder. `pilots`: states at each of its steps; `states`: of the
    measurement of one lifetime. One of more than five of the longest times is told by the least it may be.
    """

    first_s: float = 0.002
    longest_s: float = 3.0
    pilots: int = 40
    states: int = 720
    name: str = "memory_lifetime"
    meaning: str = "how long the memories at both ends keep a bit (T1) and a phase (T2)"
    needs: tuple[str, ...] = ()
    valid_for_s: float = 7 * 24 * 3600.0

    def obstacle(self, bench: LinkBench) -> str | None:
        if not bench.memories:
            return "no memory at its ends, reached through its agent, has slots of its own (own_slots)"
        return None

    def instruments(self, bench: LinkBench) -> tuple[str, ...]:
        """None: slots of the memories are lent state by state, by their agents."""
        return ()

    async def run(self, work: Work) -> Finding:
        kinds = [(place, kind) for place in work.bench.memories for kind in STATES]
        lent = {place.node: asyncio.Semaphore(place.slots) for place in work.bench.memories}
        ended = 0

        async def measured(place: MemoryPlace, kind: str) -> _Trials:
            nonlocal ended
            found = await self._measured(work, lent[place.node], place.node, kind)
            ended += 1
            work.tell(f"{kind} of {place.node} measured", ended / len(kinds))
            return found

        found = await _together([measured(*one) for one in kinds])
        return self._finding(work, dict(zip(kinds, found, strict=True)))

    def _finding(self, work: Work, trials: dict[tuple[MemoryPlace, str], _Trials]) -> Finding:
        quantities: dict[str, Quantity] = {}
        checks: list[Check] = []
        curves: dict[str, dict[str, Curve]] = {kind: {} for kind in STATES}
        for (place, kind), one in trials.items():
            node, what = place.node, f"{kind} of {place.node}"
            lost = one.lost / (one.lost + len(one.right))
            checks.append(Check(f"states lost, {what}", lost, None, LOST_MAX))
            found = _lifetime(one, kind)
            if not isinstance(found, MemoryLifetime):
                quantities[f"{kind}_at_least_s.{node}"] = _bound(found)
                continue
            curves[kind][node] = found.curve
            shape = found.goodness.check(None, 2.5, of=len(trials))
            checks.append(replace(shape, quantity=f"reduced deviance, {what}"))
            wanted_s = place.t2_s if kind == "t2" else place.t1_s
            if wanted_s is not None:  # plans rest on it: with less, too much would be promised
                most_s = found.lifetime.value * math.exp(BELOW * found.lifetime.sigma / found.lifetime.value)
                checks.append(Check(f"{kind}_at_most_s.{node}", most_s, wanted_s, None, "s"))
            if found.lifetime.value > SEEN_TIMES * found.longest:
                quantities[f"{kind}_at_least_s.{node}"] = _bound(found.lifetime.interval[0])
                continue
            contrast = Quantity(2.0 * found.start.value - 1.0, 2.0 * found.start.sigma)
            quantities |= {f"{kind}_s.{node}": found.lifetime, f"{kind}_contrast.{node}": contrast}
            checks.append(Check(f"{kind}_s.{node}", found.lifetime.value, None, None, "s"))
        return Finding(
            quantities=quantities,
            checks=tuple(checks),
            arrays={
                f"{kind}_{place.node}": np.array([one.stored_s, one.right], np.float64)
                for (place, kind), one in trials.items()
            },
            draw=pictures.families(
                {kind.upper(): family for kind, family in curves.items() if family},
                title=f"Memories of {work.bench.link}",
            ),
        )

    # -- one lifetime of one memory -------------------------------------------------------------------------

    async def _measured(self, work: Work, lent: asyncio.Semaphore, node: str, kind: str) -> _Trials:
        """Without those of the ladder: it ends where many were wrong, which would shorten the lifetime."""
        scale_s = await self._ladder(work, lent, node, kind)
        trials = _Trials([], [], 0)
        for _ in range(ROUNDS):
            seen = scale_s <= self.longest_s
            factors = TIMES if seen else UNSEEN_TIMES
            unit_s = min(scale_s, self.longest_s / max(factors))
            each = self.states // ROUNDS // len(factors)
            chosen_s = [factor * unit_s for factor in factors for _ in range(each)]
            work.chance.shuffle(chosen_s)
            trials += await _stored(work, lent, node, kind, chosen_s)
            found = _lifetime(trials, kind)
            scale_s = found.lifetime.value if isinstance(found, MemoryLifetime) else found
            if scale_s > self.longest_s:
                break
        return trials

    async def _ladder(self, work: Work, lent: asyncio.Semaphore, node: str, kind: str) -> float:
        """About how long it keeps a state, in s; infinite where that is not seen. Raises Unfit."""
        storage_s = self.first_s
        while True:
            found = await _stored(work, lent, node, kind, [storage_s] * self.pilots)
            if not found.right:
                raise Unfit(f"the memory of {node} lost {found.lost} of {self.pilots} states")
            share = sum(found.right) / len(found.right)
            if share <= HALF_LOST:
                return storage_s / -math.log(min(max(2.0 * share - 1.0, LEFT_MIN), LEFT_MAX))
            if storage_s >= self.longest_s:
                return math.inf
            storage_s = min(STEP * storage_s, self.longest_s)


def _bound(shortest_s: float) -> Quantity:
    return Quantity(shortest_s, 0.0, "s", shortest_s, math.inf)


async def _together(parts: Sequence[Coroutine[None, None, T]]) -> list[T]:
    """All of them at once; the first that fails ends the others, and its failure is ours."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def _stored(
    work: Work, lent: asyncio.Semaphore, node: str, kind: str, storages_s: Sequence[float]
) -> _Trials:
    """As many at a time as the memory has slots; each state of the kind in turn."""
    states = STATES[kind]

    async def trial(number: int, storage_s: float) -> tuple[float | None, bool]:
        state = states[number % len(states)]
        async with lent:
            stored = await work.held.store(node, state, storage_s)
        return (None if stored.bit is None else stored.stored_s), stored.bit == state.bit

    told = await _together([trial(*one) for one in enumerate(storages_s)])
    whole = [(stored_s, right) for stored_s, right in told if stored_s is not None]
    return _Trials([stored_s for stored_s, _ in whole], [right for _, right in whole], len(told) - len(whole))


def _lifetime(trials: _Trials, kind: str) -> MemoryLifetime | float:
    """The fit, or what the lifetime exceeds where nothing is lost within the times measured."""
    try:
        return lifetime_from_trials(trials.stored_s, trials.right, decays=DECAYS[kind], unit="s")
    except NoDecay as none:
        return none.shortest
