"""Swapping on a homogeneous chain with cutoffs, in slots: exact delivery times of policies, and the optimum.

Owns the Markov decision process of algorithms.md 7.1 and its solution by policy iteration. Refuses times
shorter than a slot, delays, and unequal links.

Source: Inesta, Vardoyan, Scavuzzo, Wehner, npj Quantum Information 9, 46 (2023). A state is the set of links
with their ages before swaps. One slot: swap at a chosen set of nodes, deliver, remove links with age at or
above the cutoff, age by one, attempt every physical link whose two memories are free.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, identity
from scipy.sparse.linalg import spsolve

from bellwire.core.errors import ConfigError, LocalMisuse

Link = tuple[int, int, int]
"""Left node, right node, age in slots."""

State = tuple[Link, ...]
"""Sorted links."""

Swaps = tuple[int, ...]
"""Nodes that swap in this slot, sorted."""

STATES_MAX: Final = 20_000
"""States of a chain beyond which it is refused."""

ROUNDS_MAX: Final = 100
"""Improvements of a policy; each is strict, and some ten are enough."""

SAME: Final = 1e-11
"""Relative gain below which another choice is no improvement."""


@dataclass(frozen=True, slots=True)
class SlotChain:
    """nodes: 2 or more. success: of one link in one slot. swap_success: of one swap. cutoff: in slots."""

    nodes: int
    success: float
    swap_success: float
    cutoff: int

    def __post_init__(self) -> None:
        if self.nodes < 2 or self.cutoff < 1:
            raise ConfigError(f"{self.nodes} nodes and cutoff {self.cutoff}: at least 2 and 1")
        if not (0.0 < self.success <= 1.0 and 0.0 < self.swap_success <= 1.0):
            raise ConfigError(f"probabilities {self.success}, {self.swap_success} are not in (0, 1]")


class Choice(NamedTuple):
    """One possible set of swaps: expected next states, and what is left over is delivered."""

    swaps: Swaps
    next: dict[int, float]


@dataclass(frozen=True, slots=True)
class Solution:
    """slots: expected delivery time from the empty state. choices: what the policy does, by state."""

    slots: float
    choices: dict[State, Swaps]


Pick = Callable[[State, Swaps], Swaps]
"""A policy: from a state and the nodes that hold two links to those that swap."""


def swap_asap(state: State, able: Swaps) -> Swaps:
    """Every node that can."""
    return able


def nested(state: State, able: Swaps) -> Swaps:
    """Five nodes: with all four links there, 1 and 3 swap and 2 waits for them; else every node that can."""
    return (1, 3) if able == (1, 2, 3) else able


class SlotProcess:
    """All states of a chain that can be reached, with every choice in each."""

    def __init__(self, chain: SlotChain) -> None:
        """Raises ConfigError for a chain of more than STATES_MAX states."""
        self.chain = chain
        self.states: list[State] = [()]
        self._number: dict[State, int] = {(): 0}
        self.choices: list[list[Choice]] = []
        while len(self.choices) < len(self.states):
            state = self.states[len(self.choices)]
            self.choices.append([self._choice(state, swaps) for swaps in _subsets(able(state))])
            if len(self.states) > STATES_MAX:
                raise ConfigError(
                    f"{chain.nodes} nodes with cutoff {chain.cutoff} have more than {STATES_MAX} states"
                )

    def solve(self, pick: Pick) -> Solution:
        """Expected delivery time of a policy. Raises LocalMisuse when it picks nodes that cannot swap."""
        picked: list[int] = []
        for state, choices in zip(self.states, self.choices, strict=True):
            wanted = pick(state, able(state))
            found = [index for index, choice in enumerate(choices) if choice.swaps == wanted]
            if not found:
                raise LocalMisuse(f"{wanted} cannot swap in {state}, only {able(state)}")
            picked.append(found[0])
        return self._solution(picked, self._times(picked))

    def optimum(self) -> Solution:
        """The fastest policy: policy iteration from swap-asap."""
        picked = [len(choices) - 1 for choices in self.choices]
        for _ in range(ROUNDS_MAX):
            times = self._times(picked)
            changed = False
            for state, choices in enumerate(self.choices):
                costs = [_cost(choice, times) for choice in choices]
                best = min(range(len(costs)), key=costs.__getitem__)
                if costs[best] < costs[picked[state]] - SAME * max(1.0, costs[picked[state]]):
                    picked[state], changed = best, True
            if not changed:
                return self._solution(picked, times)
        raise LocalMisuse(f"policy iteration did not end in {ROUNDS_MAX} rounds")

    def _solution(self, picked: list[int], times: NDArray[np.float64]) -> Solution:
        swaps = {
            state: choices[index].swaps
            for state, choices, index in zip(self.states, self.choices, picked, strict=True)
        }
        return Solution(float(times[0]), swaps)

    def _times(self, picked: list[int]) -> NDArray[np.float64]:
        """V = stay (1 + V'), 0 once delivered."""
        rows: list[int] = []
        columns: list[int] = []
        weights: list[float] = []
        for state, index in enumerate(picked):
            for other, weight in self.choices[state][index].next.items():
                rows.append(state)
                columns.append(other)
                weights.append(weight)
        number = len(self.states)
        moves = csr_matrix((weights, (rows, columns)), shape=(number, number))
        stay = np.asarray(moves.sum(axis=1)).ravel()
        return np.asarray(spsolve((identity(number) - moves).tocsc(), stay))

    def _choice(self, state: State, swaps: Swaps) -> Choice:
        found: dict[int, float] = {}
        for links, weight in self._swapped(state, swaps):
            if weight == 0.0 or (links and links[0][:2] == (0, self.chain.nodes - 1)):
                continue
            kept = [(a, b, age + 1) for a, b, age in links if age < self.chain.cutoff]
            for after, share in self._generated(kept):
                number = self._number.setdefault(after, len(self.states))
                if number == len(self.states):
                    self.states.append(after)
                found[number] = found.get(number, 0.0) + weight * share
        return Choice(swaps, found)

    def _swapped(self, state: State, swaps: Swaps) -> Iterator[tuple[State, float]]:
        """Runs of links that are joined at swapping nodes, each as a whole. Links are followed by node:
        between the ends of a long link shorter ones may lie that have nothing to do with it."""
        starting = {link[0]: link for link in state}
        ending = {link[1]: link for link in state}
        alone = [link for link in state if link[0] not in swaps and link[1] not in swaps]
        runs: list[list[Link]] = []
        for link in state:
            if link[0] in swaps or link[1] not in swaps:
                continue
            run = [link]
            while run[-1][1] in swaps:
                run.append(starting[run[-1][1]])
            runs.append(run)
        assert sum(len(run) for run in runs) + len(alone) == len(ending)
        for outcomes in product((True, False), repeat=len(runs)):
            weight, links = 1.0, list(alone)
            for run, fine in zip(runs, outcomes, strict=True):
                chance = self.chain.swap_success ** (len(run) - 1)
                weight *= chance if fine else 1.0 - chance
                if fine:
                    links.append((run[0][0], run[-1][1], max(link[2] for link in run)))
            yield tuple(sorted(links, key=lambda link: (link[0], -link[1]))), weight

    def _generated(self, links: list[Link]) -> Iterator[tuple[State, float]]:
        starts, ends = {link[0] for link in links}, {link[1] for link in links}
        free = [at for at in range(self.chain.nodes - 1) if at not in starts and at + 1 not in ends]
        p = self.chain.success
        for number in range(len(free) + 1):
            share = p**number * (1.0 - p) ** (len(free) - number)
            for made in combinations(free, number):
                yield tuple(sorted([*links, *((at, at + 1, 0) for at in made)])), share


def able(state: State) -> Swaps:
    """Nodes that hold two links."""
    return tuple(sorted({link[1] for link in state} & {link[0] for link in state}))


def _subsets(nodes: Swaps) -> list[Swaps]:
    """The largest last."""
    return [each for number in range(len(nodes) + 1) for each in combinations(nodes, number)]


def _cost(choice: Choice, times: NDArray[np.float64]) -> float:
    return sum(weight * (1.0 + float(times[state])) for state, weight in choice.next.items())
