"""The slotted chain of algorithms.md 7.1 with the cutoff of plans: the exact delivery time of swap-asap.

A plan's cutoff (`NodePlan.cutoff_ns`) is run by each inner node on its own qubit, from that qubit's birth.
So a swapped pair does not take over the age of its older part, as in 7.1, and the two ends of a pair have
ages of their own. Solved independently of bellwire.study.optimum_slots, whose rule is that of 7.1.
"""

from itertools import combinations, product

import numpy as np

Pair = tuple[int, int, int, int]
"""Left node, right node, ages of the left and of the right qubit in slots."""
Pairs = frozenset[Pair]


def swap_asap_slots(nodes: int, success: float, swap_success: float, cutoff: int) -> float:
    """Expected delivery time from the empty chain, in slots."""
    states: list[Pairs] = [frozenset()]
    number = {states[0]: 0}
    rows: list[dict[int, float]] = []
    while len(rows) < len(states):
        row: dict[int, float] = {}
        for after, weight in _swapped(states[len(rows)], swap_success):
            if any(one == 0 and other == nodes - 1 for one, other, _, _ in after):
                continue
            kept = [pair for pair in after if not _too_old(pair, nodes, cutoff)]
            aged = [(one, other, left + 1, right + 1) for one, other, left, right in kept]
            free = [
                at
                for at in range(nodes - 1)
                if all(one != at for one, _, _, _ in aged) and all(other != at + 1 for _, other, _, _ in aged)
            ]
            for made in (some for size in range(len(free) + 1) for some in combinations(free, size)):
                share = success ** len(made) * (1 - success) ** (len(free) - len(made))
                state = frozenset(aged) | {(at, at + 1, 0, 0) for at in made}
                if state not in number:
                    number[state] = len(states)
                    states.append(state)
                row[number[state]] = row.get(number[state], 0.0) + weight * share
        rows.append(row)
    moves = np.zeros((len(states), len(states)))
    for at, row in enumerate(rows):
        for to, weight in row.items():
            moves[at, to] = weight
    return float(np.linalg.solve(np.eye(len(states)) - moves, moves.sum(axis=1))[0])


def _too_old(pair: Pair, nodes: int, cutoff: int) -> bool:
    one, other, left, right = pair
    return (one > 0 and left >= cutoff) or (other < nodes - 1 and right >= cutoff)


def _swapped(state: Pairs, swap_success: float) -> list[tuple[Pairs, float]]:
    """Every node with two pairs swaps; a run of joined pairs is one pair, or lost."""
    starting = {pair[0]: pair for pair in state}
    ending = {pair[1]: pair for pair in state}
    runs: list[list[Pair]] = []
    for pair in state:
        if pair[0] not in ending:
            runs.append([pair])
            while runs[-1][-1][1] in starting:
                runs[-1].append(starting[runs[-1][-1][1]])
    found: list[tuple[Pairs, float]] = []
    for fine in product((True, False), repeat=len(runs)):
        weight, pairs = 1.0, set[Pair]()
        for run, succeeds in zip(runs, fine, strict=True):
            chance = swap_success ** (len(run) - 1)
            weight *= chance if succeeds else 1.0 - chance
            if succeeds:
                pairs.add((run[0][0], run[-1][1], run[0][2], run[-1][3]))
        if weight > 0.0:
            found.append((frozenset(pairs), weight))
    return found
