"""One swap plan being executed at one node: its held ends, and when to look at them again.

Owns the books of an execution: which ends it holds on which side, what is known of them, whose turn it is to
swap a pair, and which ends are to be given up. Refuses measurements and words (protocols.py), and choice
(policies.py).

Taking turns. Both ends of a pair that has just come into being could swap it at once, each with a pair of its
own; the product then needs both swaps to succeed, and one failure takes both partners with it. So the end
nearer to the source goes first, and the other one waits until it would have heard of that (`wait_for_turn`).
"""

from collections.abc import Iterable, Mapping
from math import ceil, inf
from types import MappingProxyType
from typing import Final, Literal

from bellwire.core.ids import End, NodeId
from bellwire.core.plans import PurificationPlan, SwapPlan
from bellwire.core.purification import is_refined
from bellwire.core.units import NS_PER_S
from bellwire.core.view import LedgerView, SlotView
from bellwire.swapping.candidates import Held, Segment, Situation
from bellwire.swapping.policies import DEFAULT_TREE, Policy

NOBODY: Final[frozenset[NodeId]] = frozenset()
NOTHING: Final[Mapping[Segment, int]] = MappingProxyType({})

GivenUp = Literal["cutoffs", "idle"]
"""Too old, or waiting for too long: names of counters."""


class Execution:
    """Held ends of each side, in the order in which they were born."""

    def __init__(self, plan: SwapPlan, policy: Policy) -> None:
        self.plan = plan
        self.policy = policy
        self.left: dict[End, Held] = {}
        self.right: dict[End, Held] = {}
        self.purifications: dict[NodeId, PurificationPlan] = {}  # by partner
        self.look_ns: int | None = None  # when something changes by time alone; None: nothing will
        self._positions = {name: position for position, name in enumerate(plan.route)}

    def hold(self, slot: SlotView, end: End, now_ns: int) -> Held:
        """A new own end. A link pair's far end is the neighbour: known without a look at the ledger."""
        held = Held(slot, end, now_ns)
        table = self.plan.table
        if slot.link == self.plan.left_link:
            self.left[end] = held
            held.far = -1 if table is None else table.position - 1
        else:
            self.right[end] = held
            held.far = -1 if table is None else table.position + 1
        held.known = table is not None and not self.purifications
        return held

    def drop(self, end: End) -> None:
        """An end that is held no more."""
        if self.left.pop(end, None) is None:
            self.right.pop(end, None)

    def held(self, end: End) -> Held | None:
        """The end, if it is held."""
        return self.left.get(end) or self.right.get(end)

    def read(self, view: LedgerView, now_ns: int) -> list[Held]:
        """What the ledger has of the ends whose chains have changed. Ends that a round of purification has
        used up are dropped. Returns those that have another far end than before: these are new pairs."""
        renewed: list[Held] = []
        for side in (self.left, self.right):
            if self.purifications:
                for end in [end for end, held in side.items() if held.slot.end != end]:
                    del side[end]
            for end, held in side.items():
                if held.known:
                    continue
                owner, before = view.far_owner(end), held.far
                held.far = -1 if owner is None else self._positions.get(owner, -1)
                chain = view.chain(end)
                if chain is None or chain.dead:
                    held.far = -1
                else:
                    held.oldest_ns = chain.oldest_ns
                    if chain.claimed_ns > 0:  # time in store does not count
                        held.oldest_ns = max(chain.oldest_ns, chain.claimed_ns)
                    purification = self.purifications.get(owner or "")
                    # Rounds of a tree come before its swaps; where the ledger decides, a pair that could be
                    # better is swapped when it can be: holding it back costs more than it gains.
                    held.refined = (
                        purification is None
                        or purification.fidelity_min is not None
                        or is_refined(view, end, purification, now_ns)
                    )
                held.known = True
                if held.far != before:
                    held.since_ns = held.news_ns
                    renewed.append(held)
        return renewed

    def wait_for_turn(self, held: Held, until_ns: int) -> None:
        """The far end of a new pair may swap it first, if it lies nearer to the source and swaps at all."""
        policy = self.policy
        if policy.adaptive and policy.pace is None and held.end in self.left:
            held.ready_ns = until_ns if held.far != 0 else held.since_ns

    def present(self, view: LedgerView, now_ns: int) -> Mapping[Segment, int]:
        """Segments of the route of which the ledger has a pair of this plan, with the birth of the oldest
        constituent of the youngest such pair."""
        usage = f"{self.plan.request}/{self.plan.tree}"
        places = self._positions
        found: dict[Segment, int] = {}
        for row in view.available(now_ns):
            one, other = (places.get(name, -1) for name in row.end_nodes)
            if row.usage == usage and min(one, other) >= 0:
                segment = (min(one, other), max(one, other))
                found[segment] = max(row.created_ns, found.get(segment, row.created_ns))
        return found

    def situation(self, occupancy: float, now_ns: int, present: Mapping[Segment, int] = NOTHING) -> Situation:
        """What the policy is shown."""
        if not self.policy.needs_view:
            return Situation(
                self.plan, tuple(self.left.values()), tuple(self.right.values()), occupancy, now_ns
            )
        return Situation(
            self.plan,
            _ready(self.left.values(), now_ns),
            _ready(self.right.values(), now_ns),
            occupancy,
            now_ns,
            present,
        )

    def policy_for(self, suspects: frozenset[NodeId]) -> Policy:
        """The policy, or the default tree while the host doubts a node of the route: the ledger is stale."""
        if self.policy.adaptive and not suspects.isdisjoint(self._positions):
            return DEFAULT_TREE
        return self.policy

    def given_up(self, now_ns: int) -> list[tuple[Held, GivenUp]]:
        """Ends that are older, or have waited longer, than the policy allows."""
        found: list[tuple[Held, GivenUp]] = []
        if self.policy.adaptive:
            for side in (self.left, self.right):
                for held in side.values():
                    if held.known and held.far >= 0 and held.here:
                        oldest_ns, idle_ns = self._limits_ns(held)
                        if min(oldest_ns, idle_ns) <= now_ns:
                            found.append((held, "cutoffs" if oldest_ns <= now_ns else "idle"))
        return found

    def plan_look(self, now_ns: int, *, waiting: bool) -> None:
        """Work out `look_ns`. waiting: candidates were turned down, and ageing may change that."""
        look = inf
        if self.policy.adaptive:
            table = self.plan.table
            assert table is not None
            pace = self.policy.pace
            if pace is not None:
                if self.left and self.right:
                    look = pace.next_ns(next(iter(self.left.values())).slot.born_ns, now_ns)
            elif waiting:
                look = now_ns + table.wait_s * NS_PER_S
            for side in (self.left, self.right):
                for held in side.values():
                    if not held.here:
                        continue
                    look = min(look, *self._limits_ns(held))
                    if held.ready_ns > now_ns and self.right:
                        look = min(look, held.ready_ns)
        self.look_ns = None if look == inf else max(now_ns + 1, ceil(look))

    def _limits_ns(self, held: Held) -> tuple[float, float]:
        """When an end is given up for its age, and for waiting, if nothing happens to it; inf: never."""
        table, cutoffs = self.plan.table, self.policy.cutoffs
        if table is None or held.far < 0:
            return inf, inf
        here = table.position
        segment = (held.far, here) if held.far < here else (here, held.far)
        return (
            held.oldest_ns + cutoffs.segment_s(table, *segment) * NS_PER_S,
            held.since_ns + cutoffs.patience_s(table, *segment) * NS_PER_S,
        )


def _ready(side: Iterable[Held], now_ns: int) -> tuple[Held, ...]:
    return tuple(
        held
        for held in side
        if held.known and held.far >= 0 and held.ready_ns <= now_ns and held.refined and held.here
    )
