"""Adaptive policies with everything that really runs: rates, limits, jams, in virtual time.

Rates are held against an independent event model of one route (chains of 10 km, 5 memories, the numbers of
algorithms.md 0.2), whose own error is 1 %. Deliveries are counted as Poisson, which is a little wider than
they are: four standard errors and the model's error are exceeded by chance with probability below 1e-4.
"""

from collections import Counter
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import Any

import pytest

from bellwire.core.effects import Effect, Publish
from bellwire.core.events import Event
from bellwire.core.facts import Born, Fact, Released, Swapped
from bellwire.core.ids import End, NodeId
from bellwire.core.plans import RequestPlan, RouteTable
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.labs.paper_network import chain_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer, simulate
from bellwire.swapping.candidates import Segment
from bellwire.swapping.cutoffs import Cutoffs

FULL_TREE = "fixed_tree(links=full)"
ALL = "score(candidates=all)"
MODEL_HZ = {
    (3, FULL_TREE): 17.8,
    (3, "oldest"): 20.8,
    (3, ALL): 20.9,
    (4, FULL_TREE): 16.1,
    (4, "oldest"): 14.5,
    (4, ALL): 16.07,
    (5, FULL_TREE): 7.25,
    (5, "oldest"): 9.1,
    (5, ALL): 10.8,
}
MODEL_ERROR = 0.01


def check_rate(hops: int, mode: str, duration_s: float, seed: int) -> None:
    lab = chain_lab([10.0] * hops, mode=mode, duration_s=2.0 * duration_s)
    delivered = simulate(lab, duration_s, seed)["requests"]["r0"]["delivered"]
    expected = MODEL_HZ[hops, mode] * duration_s
    assert abs(delivered - expected) < 4.0 * sqrt(expected) + MODEL_ERROR * expected


@pytest.mark.parametrize(("hops", "mode"), [(3, ALL), (4, FULL_TREE), (4, "oldest"), (4, ALL)])
def test_policies_deliver_what_an_independent_model_of_a_route_says(hops: int, mode: str) -> None:
    """20 s: 290 to 420 pairs, so 24 % at most."""
    check_rate(hops, mode, 20.0, 11)


@pytest.mark.slow
@pytest.mark.parametrize(("hops", "mode"), MODEL_HZ)
def test_policies_deliver_what_an_independent_model_of_a_route_says_to_a_few_per_cent(
    hops: int, mode: str
) -> None:
    """150 s: 1090 to 3100 pairs, so 8 to 13 %."""
    check_rate(hops, mode, 150.0, 12)


class Run:
    """A chain that runs while every fact is followed: which end is joined with which, and their ages."""

    def __init__(self, lab: Lab, duration_s: float, seed: int) -> None:
        network = lab.network
        plan = compute_plan(network, lab.requests[0], 1)
        assert isinstance(plan, RequestPlan)
        table = plan.nodes["c01"].swaps[0].table
        assert table is not None
        self.table: RouteTable = table
        self.network = network
        self.far: dict[End, End] = {}
        self.oldest_ns: dict[End, int] = {}
        self.swaps: list[tuple[Segment, int]] = []  # what was swapped, and its age then
        self.gone: dict[End, str] = {}
        self.gone_ns: dict[End, int] = {}
        self.delivered_ns: list[int] = []
        self.end_ns = round(duration_s * NS_PER_S)
        host = VirtualHost(lab, seed, partial(compute_plan, network), watch=self._saw)
        Observer(host)
        host.reports.append(self._reported)
        host.start()
        host.run(self.end_ns)
        self.counters: Counter[str] = Counter()
        for machine in host.machines.values():
            if isinstance(machine, QuantumNode):
                self.counters.update(machine.swapping.counters)

    def position(self, end: End) -> int:
        return int(self.network.owner(end.link, end.side).removeprefix("c"))

    def _reported(self, now_ns: int, node: NodeId, report: Any) -> None:
        if report.name == "pair_delivered" and node == "c00":
            self.delivered_ns.append(now_ns)

    def _saw(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Publish):
                for fact in effect.batch.facts:
                    self._fact(fact)

    def _fact(self, fact: Fact) -> None:
        if isinstance(fact, Born):
            self._meet(fact.end, fact.at_ns)
        elif isinstance(fact, Swapped):
            for end in (fact.left, fact.right):
                self._meet(end, fact.at_ns)
                segment = sorted((self.position(end), self.position(self.far[end])))
                self.swaps.append(((segment[0], segment[1]), fact.at_ns - self.oldest_ns[end]))
                self._leave(end, f"swap {fact.result}", fact.at_ns)
            if fact.result == "ok":
                one, other = self.far[fact.left], self.far[fact.right]
                self.far[one], self.far[other] = other, one
                oldest_ns = min(self.oldest_ns[one], self.oldest_ns[other])
                self.oldest_ns[one] = self.oldest_ns[other] = oldest_ns
        elif isinstance(fact, Released):
            self._meet(fact.end, fact.at_ns)
            self._leave(fact.end, fact.reason, fact.at_ns)

    def _meet(self, end: End, at_ns: int) -> None:
        """A link pair comes into being with the first word of it."""
        if end not in self.far:
            other = end._replace(side=1 - end.side)
            self.far[end], self.far[other] = other, end
            self.oldest_ns[end] = self.oldest_ns[other] = at_ns

    def _leave(self, end: End, why: str, at_ns: int) -> None:
        assert end not in self.gone
        self.gone[end], self.gone_ns[end] = why, at_ns

    def longest_silence_s(self) -> float:
        """Without a delivery, the time before the first one and after the last one included."""
        moments = [0, *self.delivered_ns, self.end_ns]
        return max(after - before for before, after in pairwise(moments)) / NS_PER_S


# ---- limits

LATE_NS = 500_000
"""Word of a swap crosses the chain in 0.3 ms, and a measurement takes 10 us: what a node may not know yet."""


@pytest.mark.parametrize("cutoff", ["flat", "depth"])
def test_no_pair_older_than_its_cutoff_is_swapped_and_what_is_given_up_is_never_delivered(
    cutoff: str,
) -> None:
    """Tight limits, so that they matter: 0.5 T_root, and a quarter of that for links where depth counts."""
    mode = f"oldest(cutoff={cutoff}, cutoff_factor=0.5, discard=0)"
    run = Run(chain_lab([10.0] * 4, mode=mode, duration_s=40.0), 12.0, 3)
    cutoffs = Cutoffs(cutoff, 0.5, 0.0)
    assert len(run.swaps) > 1000
    for segment, age_ns in run.swaps:
        if segment != (0, 4):
            assert age_ns <= cutoffs.segment_s(run.table, *segment) * NS_PER_S + LATE_NS
    given_up = [end for end, why in run.gone.items() if why == "cutoff"]
    assert len(given_up) > 100
    assert run.counters["cutoffs"] == len(given_up)
    assert run.counters["idle"] == 0
    # Only inner nodes give up, and the other end, wherever it is by then, is freed: dead or given up too.
    assert all(0 < run.position(end) < 4 for end in given_up)
    for end in given_up:
        if run.gone_ns[end] + LATE_NS < run.end_ns:
            other = run.far[end]
            assert run.gone[other] in ("dead", "cutoff", "swap ok", "swap failed")
            if run.position(other) in (0, 4):
                assert run.gone[other] == "dead"
                assert run.gone_ns[other] - run.gone_ns[end] <= LATE_NS
    delivered = [end for end, why in run.gone.items() if why == "delivered"]
    assert len(delivered) > 60
    for end in delivered:
        assert run.position(end) in (0, 4)
        assert run.gone.get(run.far[end], "delivered") == "delivered"
    assert len(run.delivered_ns) > 30


# ---- jams

CROSSING_KM = (15.1, 12.7, 12.0, 16.7, 16.7, 23.1)
PATIENCE_OFF = "gain=1.05, patience=0, occupancy=0, cutoff=none"
"""A score that neither age nor waiting nor memory pressure moves off the plan."""


def crossing(mode: str, duration_s: float, seed: int) -> Run:
    """Unequal links and few memories: pairs that cross, like (0,4) and (2,6), fill them (8.5)."""
    return Run(chain_lab(CROSSING_KM, mode=mode, memories=4, duration_s=100.0), duration_s, seed)


def test_pairs_that_cross_jam_a_route_for_ever_where_nothing_is_given_up() -> None:
    """The reason for the limits: all memories are full of pairs that no swap joins."""
    run = crossing(f"score({PATIENCE_OFF}, discard=0)", 20.0, 1)
    assert len(run.delivered_ns) <= 3
    assert run.longest_silence_s() > 18.0
    last_ns = max(run.gone_ns.values())
    assert last_ns < 5 * NS_PER_S, "after that not one qubit was measured or released"
    crowded = Counter(
        run.position(end) for end in run.far if end not in run.gone and 0 < run.position(end) < 6
    )
    assert max(crowded.values()) == 4


def test_giving_up_those_that_waited_frees_a_jam_within_the_longest_patience() -> None:
    """12 W of the slowest partner bounds the silence that a jam can make, here some seconds; 4 W more are for
    pairs to be made again."""
    run = crossing(f"score({PATIENCE_OFF})", 20.0, 1)
    slowest_s = max(max(row) for row in run.table.partner_s)
    assert len(run.delivered_ns) > 5
    assert run.longest_silence_s() < 16.0 * slowest_s
    assert run.counters["idle"] > 20


def test_with_all_of_its_weights_the_score_does_not_jam() -> None:
    """About 4.3 pairs per second: 2 s of silence has a probability of 2e-4 after each of 86 deliveries, were
    they Poisson; silences of 3 s are as good as impossible (86 exp(-13) = 2e-4)."""
    run = crossing("score", 20.0, 1)
    assert len(run.delivered_ns) > 50
    assert run.longest_silence_s() < 3.0
