"""Random lives of a small network, written down as its nodes would write them.

Owns the generator. Refuses the view: what it means is the oracle's business.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import get_args

from bellwire.core.bell import COST_MAX, Cost
from bellwire.core.facts import (
    Began,
    Born,
    Corrected,
    Fact,
    Fused,
    Released,
    ReleaseReason,
    Sacrificed,
    Swapped,
    Verdict,
)
from bellwire.core.ids import End, LinkId, NodeId, run_number

REASONS: tuple[ReleaseReason, ...] = get_args(ReleaseReason)
STEP_NS = 1_000


@dataclass
class Node:
    """One node's memory and notebook."""

    name: NodeId
    incarnation: int = 0
    held: list[End] = field(default_factory=list)
    heard: list[Born] = field(default_factory=list)  # heralds that are not written down yet
    written: list[tuple[int, Fact]] = field(default_factory=list)
    generation: int = 0


@dataclass
class Net:
    """Nodes on a ring, so that chains may close, or on a line."""

    nodes: list[Node]
    links: dict[LinkId, tuple[NodeId, NodeId]]

    def owner_of(self, link: LinkId, side: int) -> NodeId:
        """The link map."""
        return self.links[link][side]


def net_of(size: int, ring: bool) -> Net:
    """`size` nodes in a row; on a ring the last is linked to the first. Side 0 is not always the left."""
    nodes = [Node(name=f"n{place}") for place in range(size)]
    links: dict[LinkId, tuple[NodeId, NodeId]] = {}
    for place in range(size if ring else size - 1):
        pair = (nodes[place].name, nodes[(place + 1) % size].name)
        links[f"link{place}"] = pair if place % 3 else (pair[1], pair[0])
    return Net(nodes, links)


def story_of(net: Net) -> dict[NodeId, list[tuple[int, Fact]]]:
    """What everybody wrote."""
    return {node.name: node.written for node in net.nodes}


def live(
    random: Random,
    size: int,
    steps: int,
    *,
    ring: bool = False,
    clean: bool = False,
    restarts: bool = True,
    fusing: float = 0.0,
    purifying: float = 0.0,
) -> Net:
    """Let a network live. clean: every half is told, nothing is lost, and in the end all is released.
    fusing: share of the joins that are fusions; purifying: share of them that are rounds of purification."""
    net = net_of(size, ring)
    by_name = {node.name: node for node in net.nodes}
    for node in net.nodes:
        _begin(random, node, at_ns=0, clean=True)
    for step in range(1, steps + 1):
        now_ns = step * STEP_NS
        draw = random.random()
        node = random.choice(net.nodes)
        if draw < 0.32:
            _herald(random, net, by_name, step, clean)
        elif draw < 0.78 and node.heard:
            for _ in range(random.randrange(1, 4)):
                if node.heard:
                    _hear(random, node, now_ns)
        elif draw < 0.90 and len(node.held) > 1:
            if purifying and random.random() < purifying:
                _purify(random, net, node, now_ns)
            elif fusing and random.random() < fusing:
                _fuse(random, node, now_ns)
            else:
                _swap(random, node, now_ns)
        elif draw < 0.94 and node.held:
            _release(node, random.choice(node.held), random.choice(REASONS), now_ns)
        elif draw < 0.97 and node.held:
            pauli = random.randrange(4)
            node.written.append(
                (node.incarnation, Corrected(end=random.choice(node.held), pauli=pauli, at_ns=now_ns))
            )
        elif draw > 0.98 and restarts:
            _begin(random, node, now_ns, clean)
    if clean:
        for node in net.nodes:
            while node.heard:
                _hear(random, node, (steps + 1) * STEP_NS)
            for end in list(node.held):
                _release(node, end, random.choice(REASONS), (steps + 2) * STEP_NS)
    return net


def interleaved(
    random: Random, story: Mapping[NodeId, Sequence[tuple[int, Fact]]]
) -> Iterator[tuple[NodeId, int, Fact]]:
    """All facts, every author in its own order, authors mixed at random, at times one far ahead."""
    left = {author: iter(told) for author, told in story.items() if told}
    while left:
        author = random.choice(sorted(left))
        for _ in range(random.choice((1, 1, 2, 10))):
            written = next(left[author], None)
            if written is None:
                del left[author]
                break
            yield author, written[0], written[1]


def _cost(random: Random, ceiling: int) -> Cost:
    return (random.randrange(ceiling), random.randrange(ceiling), random.randrange(ceiling))


def _herald(random: Random, net: Net, by_name: dict[NodeId, Node], step: int, clean: bool) -> None:
    link = random.choice(sorted(net.links))
    frame = random.choice((2, 3))
    request = random.choice((None, "r1", "r1", "r1", "r1", "r1", "r2" if random.random() < 0.3 else "r1"))
    heavy = random.random() < 0.05
    purified = random.random() < 0.2
    run = run_number(by_name[net.links[link][0]].incarnation, 1)
    for side in (0, 1):
        owner = by_name[net.links[link][side]]
        if not clean and random.random() < 0.03:
            continue  # this side never hears of it
        owner.generation += 1
        herald_ns = step * STEP_NS + random.randrange(10)
        owner.heard.append(
            Born(
                end=End(link, run, step, 0, side),
                slot=owner.generation % 4,
                generation=owner.generation,
                request=request,
                tree=random.randrange(3),
                frame=frame if random.random() > 0.02 else frame ^ 1,
                signs=random.randrange(8),
                cost=_cost(random, COST_MAX if heavy else 1 << 50),
                rates=_cost(random, 1 << 20),
                at_ns=herald_ns + (STEP_NS * random.randrange(3) if purified else 0),
                sigma_ns=random.randrange(10),
                oldest_ns=herald_ns if purified else None,
            )
        )


def _hear(random: Random, node: Node, now_ns: int) -> None:
    born = node.heard.pop(random.randrange(len(node.heard)))
    if random.random() < 0.04:
        _release(node, born.end, "unusable", born.since_ns)
        return
    node.written.append((node.incarnation, born))
    node.held.append(born.end)


def _swap(random: Random, node: Node, now_ns: int) -> None:
    left, right = random.sample(node.held, 2)
    node.held.remove(left)
    node.held.remove(right)
    ok = random.random() < 0.85
    fact = Swapped(
        left=left,
        right=right,
        result="ok" if ok else random.choice(("failed", "unknown")),
        outcome=random.randrange(4) if ok else 0,
        signs=random.randrange(8),
        cost=_cost(random, 1 << 50),
        at_ns=now_ns,
    )
    node.written.append((node.incarnation, fact))


def _fuse(random: Random, node: Node, now_ns: int) -> None:
    kept, measured = random.sample(node.held, 2)
    ok = random.random() < 0.85
    node.held.remove(measured)
    if not ok:
        node.held.remove(kept)
    fact = Fused(
        kept=kept,
        measured=measured,
        result="ok" if ok else random.choice(("failed", "unknown")),
        bit=random.randrange(2) if ok else 0,
        kept_cost=_cost(random, 1 << 50),
        measured_cost=_cost(random, 1 << 50),
        mixed_cost=random.randrange(1 << 50),
        at_ns=now_ns,
    )
    node.written.append((node.incarnation, fact))


def _purify(random: Random, net: Net, node: Node, now_ns: int) -> None:
    """Any two own ends: what a fold makes of a round does not depend on where the pairs lead."""
    kept, measured = random.sample(node.held, 2)
    node.held.remove(measured)
    bit = random.choice((0, 1, None))
    node.written.append((node.incarnation, Sacrificed(end=measured, kept=kept, bit=bit, at_ns=now_ns)))
    passed = random.random() < 0.9
    others = [end for one in net.nodes for end in one.held if one is not node]
    fact = Verdict(
        end=kept,
        far=kept.partner if random.random() < 0.6 or not others else random.choice(others),
        passed=passed,
        rounds=random.randrange(1, 4),
        frame=random.randrange(4) if passed else 0,
        signs=random.randrange(8) if passed else 0,
        cost=_difference(random) if passed else (0, 0, 0),
        oldest_ns=random.randrange(now_ns),
        at_ns=now_ns,
    )
    node.written.append((node.incarnation, fact))


def _difference(random: Random) -> Cost:
    one, other = _cost(random, 1 << 50), _cost(random, 1 << 50)
    return (one[0] - other[0], one[1] - other[1], one[2] - other[2])


def _release(node: Node, end: End, reason: ReleaseReason, now_ns: int) -> None:
    if end in node.held:
        node.held.remove(end)
    node.written.append((node.incarnation, Released(end=end, reason=reason, at_ns=now_ns)))


def _begin(random: Random, node: Node, at_ns: int, clean: bool) -> None:
    if not clean and random.random() < 0.4:
        for _ in range(random.randrange(4)):  # the last facts of the old incarnation were never published
            if node.written and not isinstance(node.written[-1][1], Began):
                node.written.pop()
    told = {fact.end for _, fact in node.written if isinstance(fact, Born)}
    survivors = () if clean else tuple(end for end in node.held if end in told and random.random() < 0.2)
    node.incarnation += 1
    node.held = list(survivors)
    node.heard.clear()
    if not clean and random.random() < 0.5:
        at_ns = max(0, at_ns - STEP_NS * random.randrange(60))  # its clock is behind that of others
    began = Began(incarnation=node.incarnation, survivors=survivors, at_ns=at_ns)
    node.written.append((node.incarnation, began))
