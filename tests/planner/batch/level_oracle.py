"""The programmes of algorithms.md 1.6 and 2.3, written down once more with plain loops, for scipy's linprog.

Owns the oracle of the level-based optimum: every triple of nodes, every pair of levels, and every downgrade
arc, whether useful or not. Shares nothing with the planner but the topology values. Refuses speed.
"""

from collections import defaultdict
from itertools import combinations, permutations

from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from bellwire.planner.requests import PairRequest
from bellwire.planner.topology import Topology, pair_of

State = tuple[tuple[str, str], int, int]
"""Pair, index of the fidelity on the grid, rounds in a row."""


class Programme:
    """Columns with a cost, rows that are made - used >= 0, and rows with an upper bound."""

    def __init__(self) -> None:
        self.upper: list[float | None] = []
        self.value: list[float] = []
        self.balance: dict[object, dict[int, float]] = defaultdict(lambda: defaultdict(float))
        self.limits: list[tuple[dict[int, float], float]] = []

    def column(self, upper: float | None = None, value: float = 0.0) -> int:
        self.upper.append(upper)
        self.value.append(value)
        return len(self.value) - 1

    def optimum(self) -> float:
        rows = [({column: -x for column, x in row.items()}, 0.0) for row in self.balance.values()]
        rows += self.limits
        entries = [
            (index, column, x) for index, (row, _) in enumerate(rows) for column, x in row.items() if x
        ]
        i, j, x = zip(*entries, strict=True) if entries else ((), (), ())
        answer = linprog(
            [-value for value in self.value],
            A_ub=csr_matrix((x, (i, j)), shape=(len(rows), len(self.value))),
            b_ub=[bound for _, bound in rows],
            bounds=[(0.0, upper) for upper in self.upper],
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9},
        )
        assert answer.status == 0, answer.message
        return -float(answer.fun)


def able(topology: Topology, name: str) -> bool:
    """The node can swap."""
    node = topology.nodes[name]
    return node.relays and node.memories >= 2 and node.swap_probability > 0.0


def links_of(topology: Topology, programme: Programme) -> dict[tuple[str, str], int]:
    """Columns g_e, with cap_channel, and the rows of the nodes."""
    g = {
        pair: programme.column(link.capacity_hz)
        for pair, link in topology.links.items()
        if link.success_probability > 0.0 and all(topology.nodes[name].memories for name in pair)
    }
    for name, node in topology.nodes.items():
        row = {g[pair]: 1.0 / topology.links[pair].success_probability for pair in g if name in pair}
        programme.limits.append((row, node.attempts_hz))
    return g


def wishes(programme: Programme, columns: dict[str, list[int]], asked: list[PairRequest], fair: bool) -> None:
    """Objective: sum of weighted z, or t with weight t <= z for all that can have anything."""
    t = programme.column(value=1.0) if fair else None
    for request in asked:
        own = columns[request.request]
        for column in own:
            programme.value[column] = 0.0 if fair else request.weight
        if t is not None and own:
            programme.limits.append(({t: request.weight, **dict.fromkeys(own, -1.0)}, 0.0))
        if request.rate_hz is not None:
            programme.limits.append((dict.fromkeys(own, 1.0), request.rate_hz))


def plain_optimum(topology: Topology, asked: list[PairRequest], fair: bool = False) -> float:
    """1.6: no fidelity. Requests that no way can serve do not count under `fair`."""
    programme = Programme()
    g = links_of(topology, programme)
    for pair, column in g.items():
        programme.balance[pair][column] += 1.0
    names = list(topology.nodes)
    for x, y in combinations(names, 2):
        for k in names:
            if k not in (x, y) and able(topology, k):
                s = programme.column()
                programme.balance[pair_of(x, y)][s] += 2.0 / 3.0 * topology.nodes[k].swap_probability
                programme.balance[pair_of(x, k)][s] -= 1.0
                programme.balance[pair_of(k, y)][s] -= 1.0
    columns: dict[str, list[int]] = {}
    for request in asked:
        columns[request.request] = []
        if reachable(topology, request.source, request.destination):
            z = programme.column()
            programme.balance[pair_of(request.source, request.destination)][z] -= 1.0
            columns[request.request].append(z)
    wishes(programme, columns, asked, fair)
    return programme.optimum()


def reachable(topology: Topology, source: str, destination: str) -> bool:
    """Some way of links with capacity leads there, over nodes that can swap."""
    seen, open_names = {source}, [source]
    while open_names:
        name = open_names.pop()
        if name != source and not able(topology, name):
            continue
        for pair, link in topology.links.items():
            if name in pair and all(topology.nodes[end].memories for end in pair) and link.capacity_hz > 0.0:
                there = pair[0] if pair[1] == name else pair[1]
                if there not in seen:
                    seen.add(there)
                    open_names.append(there)
    return destination in seen


def levels_optimum(
    topology: Topology, asked: list[PairRequest], values: list[float], rounds: int, fair: bool = False
) -> float:
    """2.3 with every downgrade arc: fidelities in `values` (rising), at most `rounds` rounds in a row."""
    programme = Programme()
    g = links_of(topology, programme)
    levels, steps = range(len(values)), range(rounds + 1)
    names = list(topology.nodes)

    def floor(fidelity: float) -> int | None:
        below = [index for index in levels if values[index] <= fidelity + 1e-12]
        return below[-1] if below else None

    def made(state: State, column: int, rate: float) -> None:
        programme.balance[state][column] += rate

    for pair, column in g.items():
        level = floor(topology.links[pair].fidelity)
        if level is not None:
            made((pair, level, 0), column, 1.0)
    for pair in combinations(sorted(names), 2):
        for level in levels:  # downgrade arcs: a lower fidelity, or more rounds behind it
            for done in steps:
                for worse in ((level - 1, done), (level, done + 1)):
                    if worse[0] in levels and worse[1] in steps:
                        column = programme.column()
                        made((pair, level, done), column, -1.0)
                        made((pair, *worse), column, 1.0)
        for one, other in [(i, j) for i in levels for j in levels if i <= j]:
            f, h = values[one], values[other]
            chance = f * h + f * (1 - h) / 3 + h * (1 - f) / 3 + 5 * (1 - f) * (1 - h) / 9
            level = floor((f * h + (1 - f) * (1 - h) / 9) / chance)
            for first in steps:
                for second in steps:
                    after = max(first, second) + 1
                    if level is not None and after in steps:
                        column = programme.column()
                        made((pair, one, first), column, -1.0)
                        made((pair, other, second), column, -1.0)
                        made((pair, level, after), column, 2.0 / 3.0 * chance)
    for x, k, y in permutations(names, 3):
        if x > y or not able(topology, k):
            continue
        node = topology.nodes[k]
        noise = (4.0 * node.swap_noise[0] - 1.0) / 3.0
        for one in levels:
            for other in levels:
                w = (4 * values[one] - 1) / 3 * (4 * values[other] - 1) / 3 * noise
                level = floor((1 + 3 * w) / 4)
                if level is None:
                    continue
                column = programme.column()  # from the most permissive rounds; arcs above lead there
                made((pair_of(x, k), one, rounds), column, -1.0)
                made((pair_of(k, y), other, rounds), column, -1.0)
                made((pair_of(x, y), level, 0), column, 2.0 / 3.0 * node.swap_probability)
    columns: dict[str, list[int]] = {}
    for request in asked:
        columns[request.request] = []
        for level in levels:
            limit = request.limits.fidelity
            if limit is None or values[level] >= limit - 1e-12:
                z = programme.column()
                made((pair_of(request.source, request.destination), level, rounds), z, -1.0)
                columns[request.request].append(z)
    wishes(programme, columns, asked, fair)
    return programme.optimum()
