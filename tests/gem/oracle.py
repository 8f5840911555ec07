"""What the view is, by definition: a walk over the set of facts, with no regard to the order of arrival.

Owns a slow, plain answer to compare the fold with. Refuses shortcuts: nothing is kept between questions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bellwire.core.bell import COST_MAX, Walsh
from bellwire.core.facts import Began, Born, Corrected, Fact, Released, Sacrificed, Swapped, Verdict
from bellwire.core.ids import End, LinkId, NodeId

Story = Mapping[NodeId, Sequence[tuple[int, Fact]]]
"""Each author's facts in its own order, with the incarnation in which it wrote them."""

SAMPLE_NS = 10_000_000


class Group(NamedTuple):
    """What the facts say about one end that has not ended."""

    far: End
    born: bool
    dead: bool
    complete: bool
    estimate: tuple[object, ...] | None  # None: the chain is dead, and nothing else about it counts


def view_of(story: Story, owner_of: Callable[[LinkId, int], NodeId]) -> dict[End, Group]:
    """Every end that some fact makes known and that has not ended, with its group."""
    born: dict[End, tuple[int, Born]] = {}
    first_ns: dict[End, int] = {}
    released: dict[End, Released] = {}
    swap_of: dict[End, Swapped] = {}
    paulis: dict[End, int] = {}
    sacrificed: set[End] = set()
    verdicts: dict[End, list[Verdict]] = {}
    begans: dict[NodeId, list[Began]] = {}
    for author, told in story.items():
        for incarnation, fact in told:
            if isinstance(fact, Born):
                born[fact.end] = (incarnation, fact)
                first_ns.setdefault(fact.end, fact.at_ns if fact.oldest_ns is None else fact.oldest_ns)
            elif isinstance(fact, Swapped):
                swap_of[fact.left] = swap_of[fact.right] = fact
            elif isinstance(fact, Released):
                released[fact.end] = fact
                first_ns.setdefault(fact.end, fact.at_ns)
            elif isinstance(fact, Corrected):
                paulis[fact.end] = paulis.get(fact.end, 0) ^ fact.pauli
            elif isinstance(fact, Sacrificed):
                sacrificed.add(fact.end)
            elif isinstance(fact, Verdict):
                verdicts.setdefault(fact.end, []).append(fact)
            else:
                assert isinstance(fact, Began)
                begans.setdefault(author, []).append(fact)
    known = {half for end in (*born, *released) for half in (end, end.partner)}

    def closed(end: End) -> bool:
        if end in swap_of or end in released or end in sacrificed:
            return False
        for began in begans.get(owner_of(end.link, end.side), []):
            if end in began.survivors:
                continue
            if end in born:
                if born[end][0] < began.incarnation:
                    return True
            elif end.side == 0:
                if end.run < began.incarnation << 20:
                    return True
            elif first_ns[end.partner] < began.at_ns:
                return True
        return False

    shut = {end for end in known if closed(end)}
    ended = shut | set(released) | set(swap_of) | sacrificed
    view: dict[End, Group] = {}
    for end in known - ended:
        pairs: list[End] = []
        swaps: list[Swapped] = []
        here = end
        while True:
            pairs.append(here)
            there = here.partner
            swap = swap_of.get(there)
            if swap is None:
                break
            swaps.append(swap)
            here = swap.right if swap.left == there else swap.left
        halves = [half for one in pairs for half in (one, one.partner)]
        tellers = [born[half][1] for half in halves if half in born and half.side == 0]
        labels = {teller.request for teller in tellers if teller.request is not None}
        dead = (
            any(half in shut or half in sacrificed for half in halves)
            or any(not each.passed for half in halves for each in verdicts.get(half, ()))
            or any(half in released and released[half].reason != "delivered" for half in halves)
            or any(swap.result != "ok" for swap in swaps)
            or len(labels) > 1
            or any(
                one in born and one.partner in born and born[one][1].frame != born[one.partner][1].frame
                for one in pairs
            )
        )
        taken = there in released and released[there].reason == "delivered"
        view[end] = Group(
            far=there,
            born=end in born,
            dead=dead,
            complete=not dead and not taken and end in born and there in born,
            estimate=None if dead else _estimate(end, there, pairs, swaps, born, released, paulis, verdicts),
        )
    return view


def _estimate(
    end: End,
    far: End,
    pairs: list[End],
    swaps: list[Swapped],
    born: dict[End, tuple[int, Born]],
    released: dict[End, Released],
    paulis: dict[End, int],
    verdicts: dict[End, list[Verdict]],
) -> tuple[object, ...]:
    frame = 0
    signs = 0
    costs = [0, 0, 0]
    births_ns: tuple[list[int], list[int]] = ([], [])
    labels: list[tuple[str, int]] = []
    for one in pairs:
        for half in (one, one.partner):
            frame ^= paulis.get(half, 0)
            for verdict in verdicts.get(half, ()):
                frame ^= verdict.frame
                signs ^= verdict.signs
                costs = [a + b for a, b in zip(costs, verdict.cost, strict=True)]
                births_ns[0].append(verdict.oldest_ns)
            if half in born:
                fact = born[half][1]
                births_ns[half.side].append(fact.at_ns if fact.oldest_ns is None else fact.oldest_ns)
                if half.side == 0:
                    signs ^= fact.signs
                    costs = [a + b for a, b in zip(costs, fact.cost, strict=True)]
                    if fact.request is not None:
                        labels.append((fact.request, fact.tree))
        frame ^= (born.get(one) or born[one.partner])[1].frame
    for swap in swaps:
        frame ^= swap.outcome
        signs ^= swap.signs
        costs = [a + b for a, b in zip(costs, swap.cost, strict=True)]
    for half in (end, far):
        if half in born:
            fact = born[half][1]
            until_ns = released[half].at_ns if half in released else SAMPLE_NS
            waited_ns = max(0, until_ns - fact.at_ns)
            costs = [a + r * waited_ns for a, r in zip(costs, fact.rates, strict=True)]
    for place in range(3):
        costs[place] = max(0, costs[place])
        if costs[place] >= COST_MAX:
            costs[place] = COST_MAX
            signs &= ~(1 << place)
    label = min(labels) if labels else (None, 0)
    oldest_ns = min(births_ns[0] or births_ns[1])
    state = Walsh(signs, (costs[0], costs[1], costs[2]))
    latest = [(half, verdicts[half][-1]) for half in (end, far) if half in verdicts]
    told = [each for half, each in latest if {half, each.far} == {end, far}]
    return (frame, state, *label, oldest_ns, len(pairs), max((each.rounds for each in told), default=0))
