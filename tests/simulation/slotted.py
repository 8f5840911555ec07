"""The slotted chain of algorithms.md 7.1 on the machines, followed slot by slot in the simulated world.

The world is looked at once a slot, between the clicks and the decisions, by nobody's ledger: every state must
follow from the one before by the exact process under the play's own choice. Chains start anew with each
delivery; rounds that begin with a pair left inside the delivered one are known, and set apart.
"""

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import NamedTuple

import msgspec
import pytest

from bellwire.core import modes
from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.plans import Circumstances
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.node.machines import Compute
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.clock import HOUSEKEEPING
from bellwire.simulator_backend.host import VirtualHost
from bellwire.study.optimum_slots import Choice, SlotChain, State, Swaps
from bellwire.study.slot_policy import PLAYS, SLOTTED, choices_of, process_of
from bellwire.swapping.policies import policy_of
from tests.simulation.textbook import SLOT_US, chain_lab

SLOT_NS = SLOT_US * 1000
CLICK_NS = SLOT_NS - 1_000
"""From the start of an attempt to its click."""
LOOK_NS = 50
"""The world is looked at so long after a click. A swap changes it when its measurement is over: whoever
decides at the click is seen too late to have done so."""
DECIDE_NS = 60
"""From a click to the decisions of the plug-in's policy: sooner than the turn of either end would be over."""
BSM_NS = 100
CUT_NS = 800
"""From a click to the end of what is too old: swaps in turn take a measurement each."""

Segments = tuple[tuple[int, int, int | None], ...]
"""Left, right, age in slots of a link pair; None: a longer one, whose age the world does not tell."""


@contextmanager
def slotted_plugin() -> Iterator[None]:
    """The policy as an entry point would bring it."""
    caches = (
        modes.parse_mode,
        modes._added,
        modes.follows_tree,
        modes.needs_table,
        modes.is_foreign,
        modes.paces_links,
        policy_of,
    )
    point = SimpleNamespace(name="slotted", load=lambda: SLOTTED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modes, "entry_points", lambda group: [point] if group == modes.ENTRY_POINTS else [])
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


def slotted_lab(chain: SlotChain, mode: str) -> Lab:
    """A textbook chain with time between the click and the end of its slot."""
    lab = chain_lab(chain.nodes - 1, chain.success, chain.swap_success, mode=mode, rounds=False)
    network = lab.network
    links = {
        name: msgspec.structs.replace(link, click_delay_ns=CLICK_NS) for name, link in network.links.items()
    }
    nodes = {
        name: msgspec.structs.replace(
            node, memory=msgspec.structs.replace(node.memory, bsm_duration_ns=BSM_NS)
        )
        for name, node in network.nodes.items()
        if node.memory is not None
    }
    return dataclasses.replace(lab, network=msgspec.structs.replace(network, links=links, nodes=nodes))


class Rounds(NamedTuple):
    """waits: slots from the start of each round that began with an empty chain to its delivery.

    steps: slots whose state followed from the one before. visited: states seen.
    """

    waits: list[int]
    steps: int
    visited: set[State]


class Follower:
    """Holds every slot of a host's world against the process."""

    def __init__(self, host: VirtualHost, chain: SlotChain, play: str) -> None:
        self.waits: list[int] = []
        self.steps = 0
        self.visited: set[State] = set()
        self._host = host
        self._nodes = chain.nodes
        self._process = process_of(chain)
        self._numbers = {state: number for number, state in enumerate(self._process.states)}
        self._choices = choices_of(play, chain.nodes, chain)
        self._state: State = ()
        self._before: tuple[State, Swaps] = ((), ())
        self._delivered = 0
        self._begun = 0  # slot before the first of the round
        self._clean = True  # the round began with an empty chain
        host.reports.append(self._reported)
        host.clock.at(CLICK_NS + LOOK_NS, HOUSEKEEPING, self._look)

    def _reported(self, now_ns: int, node: NodeId, report: Report) -> None:
        if report.name != "pair_delivered" or node != "n0":
            return
        slot = now_ns // SLOT_NS + 1
        assert slot == self.steps, f"delivered in slot {slot}, not in the slot of its last swap {self.steps}"
        self._delivered += 1

    def _look(self) -> None:
        """After the clicks of a slot, before its decisions."""
        host = self._host
        state, swaps = self._before
        finished = self._delivered == 1
        assert self._delivered <= 1, f"{self._delivered} deliveries in one slot"
        if finished:
            if self._clean:
                self.waits.append(self.steps - self._begun)
            state, swaps = _left_over(state), ()
            self._begun, self._clean, self._delivered = self.steps, not _lives(state, self._process.chain), 0
        choice = self._choice(state, swaps)
        seen = self._segments()
        following = [
            self._process.states[number]
            for number in choice.next
            if _shape(self._process.states[number]) == tuple((one, other) for one, other, _ in seen)
        ]
        assert len(following) == 1, f"slot {self.steps + 1}: {seen} cannot follow {state} with swaps {swaps}"
        now = following[0]
        for (one, other, age), known in zip(now, (age for _, _, age in seen), strict=True):
            assert known in (None, age), f"link {one}-{other} is {known} slots old, by the process {age}"
        self.visited.add(now)
        self._before = now, self._choices[now]
        self.steps += 1
        host.clock.at(host.clock.now_ns + SLOT_NS, HOUSEKEEPING, self._look)

    def _choice(self, state: State, swaps: Swaps) -> Choice:
        choices = self._process.choices[self._numbers[state]]
        return next(choice for choice in choices if choice.swaps == swaps)

    def _segments(self) -> Segments:
        host = self._host
        found: list[tuple[int, int, int | None]] = []
        for at in range(self._nodes):
            node = f"n{at}"
            for slot in host.world.occupied(node):
                truth = host.world.truth(node, slot, host.clock.now_ns)
                if truth is None:
                    continue
                far = int(truth.far[0][1:])
                if far > at:
                    age = self.steps - truth.ends[0].attempt if far == at + 1 else None
                    found.append((at, far, age))
        return tuple(sorted(found, key=lambda each: each[:2]))


def _shape(state: State) -> tuple[tuple[int, int], ...]:
    return tuple((one, other) for one, other, _ in state)


def _left_over(state: State) -> State:
    """What a delivery leaves: pairs that lie inside another one."""
    return tuple(
        link
        for link in state
        if any(one < link[0] and link[1] < other for one, other, _ in state if (one, other) != link[:2])
    )


def _lives(state: State, chain: SlotChain) -> bool:
    return any(age < chain.cutoff for _, _, age in state)


def slotted_mode(chain: SlotChain, play: str) -> str:
    """The plug-in's policy."""
    return (
        f"slotted(play={play}, success={chain.success}, swap={chain.swap_success}, "
        f"cutoff_slots={chain.cutoff}, slot_us={SLOT_US}, "
        f"decide_us={DECIDE_NS / 1000}, cut_us={CUT_NS / 1000})"
    )


def adaptive_mode(chain: SlotChain, name: str) -> str:
    """An adaptive policy of the package, its flat cutoff set to the chain's slots."""
    lab = slotted_lab(chain, name)
    plan = compute_plan(lab.network, lab.requests[0], 1, Circumstances())
    assert not isinstance(plan, str), plan
    table = plan.nodes["n1"].swaps[0].table
    assert table is not None
    cutoff_s = (chain.cutoff * SLOT_NS + CUT_NS) / NS_PER_S
    return f"{name}(cutoff_factor={cutoff_s / table.root_s!r}, discard=0)"


def follow(chain: SlotChain, play: str, rounds: int, seed: int, mode: str | None = None) -> Rounds:
    """Play until so many rounds from an empty chain are over. mode: one that should do as the play does; by
    default the plug-in's."""
    with slotted_plugin():
        lab = slotted_lab(chain, slotted_mode(chain, play) if mode is None else mode)
        network = lab.network

        def compute(request, version, news):  # type: ignore[no-untyped-def]  # Compute says it
            return compute_plan(network, request, version, news)

        planner: Compute = compute
        host = VirtualHost(lab, seed, planner)
        follower = Follower(host, chain, play)
        host.start()
        expected = exact_slots(chain, play)
        until_ns = 0
        while len(follower.waits) < rounds:
            until_ns += int(expected * SLOT_NS * max(20.0, rounds * 0.3))
            assert until_ns < 40 * expected * SLOT_NS * rounds, "pairs do not come"
            host.run(until_ns)
    return Rounds(follower.waits[:rounds], follower.steps, follower.visited)


def exact_slots(chain: SlotChain, play: str) -> float:
    """Expected delivery time from the empty chain, in slots."""
    pick = PLAYS[play]
    process = process_of(chain)
    return (process.optimum() if pick is None else process.solve(pick)).slots


def measured(
    chain: SlotChain, play: str, rounds: int, seed: int, mode: str | None = None
) -> dict[str, object]:
    """Play the rounds, hold the mean against the exact time, and return the row for the table."""
    exact = exact_slots(chain, play)
    played = follow(chain, play, rounds, seed, mode)
    waits = played.waits
    mean = sum(waits) / rounds
    error = math.sqrt(sum((wait - mean) ** 2 for wait in waits) / (rounds - 1) / rounds)
    deviation = 0.0 if mean == exact else (mean - exact) / error
    assert abs(deviation) < 4, f"{chain} {play}: mean {mean} of {rounds}, exact {exact}, error {error}"
    return {
        "nodes": chain.nodes,
        "p": chain.success,
        "swap p": chain.swap_success,
        "cutoff (slots)": chain.cutoff,
        "policy": {"asap": "swap-asap", "nested": "nested", "best": "optimal"}[play],
        "rounds": rounds,
        "exact (slots)": round(exact, 6),
        "mean": round(mean, 4),
        "standard error": round(error, 4),
        "deviation (standard errors)": round(deviation, 2),
        "states seen": f"{len(played.visited)} of {len(process_of(chain).states)}",
    }
