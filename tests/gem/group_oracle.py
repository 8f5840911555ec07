"""What groups are, by definition: components of the graph of facts, whatever the order of arrival.

Owns a slow, plain answer for histories with fusions. Refuses noise: the tree of a group is compared with
density matrices in test_group_noise.py.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bellwire.core.facts import Began, Born, Corrected, Fused, Released, Swapped
from bellwire.core.ids import End, LinkId, NodeId
from tests.gem.oracle import Story


class GroupSeen(NamedTuple):
    """What the facts say about one end that has not ended."""

    ends: frozenset[End]  # all leaves, delivered ones included
    dead: bool
    complete: bool
    bits: tuple[int, ...] | None  # X errors of the sorted leaves relative to this end; None: dead
    phase: int | None


class _Ties:
    """Which qubits share X errors, as a graph with a bit on every tie."""

    def __init__(self) -> None:
        self.beside: dict[End, list[tuple[End, int]]] = {}

    def tie(self, one: End, other: End, bit: int) -> None:
        self.beside.setdefault(one, []).append((other, bit))
        self.beside.setdefault(other, []).append((one, bit))

    def reach(self, start: End) -> dict[End, int]:
        """Every qubit of the component with its bit relative to `start`, found by walking."""
        bits, waiting = {start: 0}, [start]
        while waiting:
            here = waiting.pop()
            for there, bit in self.beside.get(here, []):
                if there not in bits:
                    bits[there] = bits[here] ^ bit
                    waiting.append(there)
        return bits


def groups_of(story: Story, owner_of: Callable[[LinkId, int], NodeId]) -> dict[End, GroupSeen]:
    """Every end that some fact makes known and that has not ended, with its group."""
    born: dict[End, tuple[int, Born]] = {}
    since_ns: dict[End, int] = {}
    released: dict[End, Released] = {}
    joins: list[Swapped | Fused] = []
    corrections: list[Corrected] = []
    begans: dict[NodeId, list[Began]] = {}
    for author, told in story.items():
        for incarnation, fact in told:
            if isinstance(fact, Born):
                born[fact.end] = (incarnation, fact)
                since_ns.setdefault(fact.end, fact.since_ns)
            elif isinstance(fact, Released):
                released[fact.end] = fact
                since_ns.setdefault(fact.end, fact.at_ns)
            elif isinstance(fact, Corrected):
                corrections.append(fact)
            elif isinstance(fact, Began):
                begans.setdefault(author, []).append(fact)
            elif isinstance(fact, Swapped | Fused):
                joins.append(fact)
    used = {end for join in joins for end in _used(join)}
    known = {half for end in (*born, *released) for half in (end, end.partner)}

    def closed(end: End) -> bool:
        if end in used or end in released:
            return False
        for began in begans.get(owner_of(end.link, end.side), []):
            if end not in began.survivors and (
                born[end][0] < began.incarnation
                if end in born
                else end.run < began.incarnation << 20
                if end.side == 0
                else since_ns[end.partner] < began.at_ns
            ):
                return True
        return False

    shut = {end for end in known if closed(end)}
    ties = _Ties()
    for pair in {min(end, end.partner) for end in known}:
        told = born.get(pair) or born.get(pair.partner)
        ties.tie(pair, pair.partner, 0 if told is None else told[1].frame >> 1)
    for join in joins:
        one, other = _joined(join)
        ties.tie(one, other, join.outcome >> 1 if isinstance(join, Swapped) else join.bit)
    seen: dict[End, GroupSeen] = {}
    for end in known - used - shut - set(released):
        reached = ties.reach(end)
        turned = _turned(end, reached, corrections, joins)
        leaves = sorted(
            other
            for other in reached
            if other not in used and (other not in released or _delivered(released[other]))
        )
        dead = _dead(reached, joins, born, released, shut)
        taken = any(other in released for other in leaves)
        seen[end] = GroupSeen(
            ends=frozenset(leaves),
            dead=dead,
            complete=not dead and not taken and all(leaf in born for leaf in leaves),
            bits=None if dead else tuple(turned[leaf] ^ turned[end] for leaf in leaves),
            phase=None if dead else _phase(reached, joins, born, corrections),
        )
    return seen


def _used(join: Swapped | Fused) -> tuple[End, ...]:
    if isinstance(join, Swapped):
        return (join.left, join.right)
    return (join.measured,) if join.result == "ok" else (join.kept, join.measured)


def _joined(join: Swapped | Fused) -> tuple[End, End]:
    return (join.left, join.right) if isinstance(join, Swapped) else (join.kept, join.measured)


def _delivered(fact: Released) -> bool:
    return fact.reason == "delivered"


def _turned(
    end: End, reached: dict[End, int], corrections: Iterable[Corrected], joins: Iterable[Swapped | Fused]
) -> dict[End, int]:
    """X errors with physical Paulis: a Pauli before a join moves what is joined later all the same."""
    turned = dict(reached)
    for each in corrections:
        if each.end in turned and each.pauli >> 1:
            for other in _side(each, reached, joins):
                turned[other] ^= 1
    return turned


def _side(each: Corrected, reached: dict[End, int], joins: Iterable[Swapped | Fused]) -> set[End]:
    """Qubits whose X error the Pauli turned: those that hang on the end by fusions later than the Pauli.

    A Pauli on a kept or measured qubit before the join is undone by the outcome, which reads the difference
    of both: all that lies beyond the join turns with it.
    """
    ties = _Ties()
    for end in reached:
        if end.side == 0 and end.partner in reached:
            ties.tie(end, end.partner, 0)
    later: list[tuple[End, End]] = []
    for join in joins:
        one, other = _joined(join)
        if each.end in (one, other) and join.at_ns >= each.at_ns:
            later.append((one, other))
        elif one in reached:
            ties.tie(one, other, 0)
    beyond = {each.end}
    for one, other in later:
        start = other if one == each.end else one
        beyond |= set(ties.reach(start))
    return beyond


def _phase(
    reached: dict[End, int],
    joins: Iterable[Swapped | Fused],
    born: dict[End, tuple[int, Born]],
    corrections: Iterable[Corrected],
) -> int:
    phase = 0
    for end in reached:
        if end.side == 0:
            told = born.get(end) or born.get(end.partner)
            phase ^= 0 if told is None else told[1].frame & 1
    for each in corrections:
        phase ^= each.pauli & 1 if each.end in reached else 0
    for join in joins:
        if isinstance(join, Swapped) and join.left in reached:
            phase ^= join.outcome & 1
    return phase


def _dead(
    reached: dict[End, int],
    joins: Iterable[Swapped | Fused],
    born: dict[End, tuple[int, Born]],
    released: dict[End, Released],
    shut: set[End],
) -> bool:
    labels = {
        born[end][1].request
        for end in reached
        if end.side == 0 and end in born and born[end][1].request is not None
    }
    inside = [join for join in joins if _joined(join)[0] in reached]
    pairs = sum(end.side == 0 for end in reached)
    frames = any(
        end in born and end.partner in born and born[end][1].frame != born[end.partner][1].frame
        for end in reached
    )
    return (
        any(end in shut for end in reached)
        or any(end in released and not _delivered(released[end]) for end in reached)
        or any(join.result != "ok" for join in inside)
        or len(inside) >= pairs  # more joins than a tree of these pairs has: a loop
        or len(labels) > 1
        or frames
    )
