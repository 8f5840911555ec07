"""How good pairs can become, and how good they must be to be of use: bounds that keep a hypergraph small.

Owns two fixed points over pairs of nodes: the best level that links, swaps and rounds can reach, and the
lowest level from which a delivered state can still be made. Refuses flows: a level between the two may still
carry nothing, but no level outside can carry anything that a limited request gets.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from bellwire.core.ids import NodeId
from bellwire.planner.batch.fidelity_grid import FidelityGrid, Gates
from bellwire.planner.topology import Node, Pair, pair_of


@dataclass(frozen=True, slots=True)
class Ground:
    """What the levels of a network depend on, besides its links."""

    grid: FidelityGrid
    nodes: Mapping[NodeId, Node]
    swaps: frozenset[NodeId]  # nodes that may swap
    rounds: int  # purification rounds one after the other, at most

    def noise(self, at: NodeId) -> float:
        """Werner parameter of a swap."""
        return max(0.0, (4.0 * self.nodes[at].swap_noise[0] - 1.0) / 3.0)

    def gates(self, pair: Pair) -> Gates:
        """Quality of a purification round between two nodes."""
        here, there = self.nodes[pair[0]], self.nodes[pair[1]]
        return (
            (here.gate_fidelity, there.gate_fidelity),
            (here.readout_fidelity, there.readout_fidelity),
        )


def best_levels(ground: Ground, links: Mapping[Pair, int]) -> dict[Pair, list[int]]:
    """The best level of every pair that can exist, after 0, 1, ... rounds. links: level of each link."""
    best: dict[Pair, list[int]] = {}
    beside: dict[NodeId, dict[NodeId, int]] = defaultdict(dict)  # best level of all rounds
    found: deque[tuple[Pair, int]] = deque(links.items())
    while found:
        pair, level = found.popleft()
        if pair in best and level <= best[pair][0]:
            continue
        best[pair] = steps = _after_rounds(ground, pair, level)
        for at, near in (pair, pair[::-1]):
            beside[at][near] = steps[-1]
            if at in ground.swaps:
                noise = ground.noise(at)
                for far, other in beside[at].items():
                    if far != near:
                        found.append((pair_of(near, far), ground.grid.swapped(steps[-1], other, noise)))
    return best


def _after_rounds(ground: Ground, pair: Pair, level: int) -> list[int]:
    steps, gates = [level], ground.gates(pair)
    for _ in range(ground.rounds):
        steps.append(max(steps[-1], ground.grid.purified(steps[-1], steps[-1], gates).level))
    return steps


def needed_levels(
    ground: Ground, best: Mapping[Pair, list[int]], goals: Mapping[Pair, int]
) -> dict[Pair, list[int]]:
    """The lowest useful level of a pair that has had 0, 1, ... rounds; pairs of no use are absent.

    goals: lowest level that serves a request, by pair.
    """
    needed: dict[Pair, list[int]] = {}
    lowered: deque[tuple[Pair, int]] = deque(goals.items())
    while lowered:
        pair, level = lowered.popleft()
        if pair not in best or level > best[pair][-1] or level >= needed.get(pair, [ground.grid.above])[-1]:
            continue
        needed[pair] = steps = _before_rounds(ground, pair, level, best[pair])
        for at in ground.swaps - set(pair):
            one, other = pair_of(pair[0], at), pair_of(at, pair[1])
            if one in best and other in best:
                noise = ground.noise(at)
                for wanted, partner in ((one, other), (other, one)):
                    least = ground.grid.swap_input(best[partner][-1], steps[0], noise)
                    lowered.append((wanted, least))
    return needed


def _before_rounds(ground: Ground, pair: Pair, level: int, best: list[int]) -> list[int]:
    steps, gates = [level], ground.gates(pair)
    for done in reversed(range(ground.rounds)):
        steps.insert(0, ground.grid.round_input(best[done], steps[0], gates))
    return steps
