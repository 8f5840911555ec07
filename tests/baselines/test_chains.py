"""Baselines over chains in virtual time: closed forms, and the frames that datagrams and tracks carry.

Chains are textbook ones without classical delay: every attempt is one slot, each link has one pair.
"""

import math
from functools import partial
from typing import Any

import pytest

from bellwire.core.baseline_messages import Datagram, Track
from bellwire.core.effects import Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Received
from bellwire.core.ids import End, NodeId
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from tests.simulation.textbook import SLOT_US, chain_lab, two_segments, two_segments_with_cutoff

SLOT_NS = SLOT_US * 1000
SIGMAS = 4.0
"""A sound protocol fails a comparison with probability 6e-5."""

WORD: dict[str, Any] = {"request": "pairs", "tree": 0}
SOME = End("n0-n1", 1, 1, 0, 1)


class Run:
    """One chain, run for a number of slots."""

    def __init__(self, slots: int, seed: int, segments: int, p: float, swap_p: float, **terms: Any) -> None:
        lab = chain_lab(segments, p, swap_p, rounds=False, **terms)
        self.host = VirtualHost(lab, seed, partial(compute_plan, lab.network))
        self.delivered: dict[tuple[str, str], int] = {}  # frame by head and tail end
        self.delivered_ns: list[int] = []
        self.told: dict[str, dict[tuple[str, str], int]] = {"datagram_arrived": {}, "track_arrived": {}}
        self.host.reports.append(self._reported)
        self.host.start()
        self.host.run(slots * SLOT_NS)

    def _reported(self, now_ns: int, node: NodeId, report: Report) -> None:
        fields: dict[str, Any] = report.fields
        if report.name == "pair_delivered" and fields["role"] == "head":
            self.delivered[fields["head_end"], fields["tail_end"]] = fields["frame"]
            self.delivered_ns.append(now_ns)
        elif report.name == "datagram_arrived":
            self.told[report.name][fields["head_end"], fields["tail_end"]] = fields["frame"]
        elif report.name == "track_arrived":
            self.told[report.name][fields["origin"], fields["end"]] = fields["frame"]

    def counters(self, node: NodeId) -> dict[str, int]:
        machine = self.host.machines[node]
        assert isinstance(machine, QuantumNode)
        return machine.baselines.counters

    def assert_waits(self, slots: float) -> None:
        """Mean slots between deliveries agree with the closed form within four standard errors."""
        waits = [(b - a) / SLOT_NS for a, b in zip(self.delivered_ns, self.delivered_ns[1:], strict=False)]
        mean = sum(waits) / len(waits)
        variance = sum((wait - mean) ** 2 for wait in waits) / (len(waits) - 1)
        assert abs(mean - slots) < SIGMAS * math.sqrt(variance / len(waits)), (mean, slots, len(waits))


def slowest_of(links: int, p: float) -> float:
    """Mean slots until every link has a pair."""
    return math.fsum(
        (-1.0) ** (k + 1) * math.comb(links, k) / (1.0 - (1.0 - p) ** k) for k in range(1, links + 1)
    )


def test_datagrams_on_demand_over_sure_swaps_take_n_over_p_slots() -> None:
    run = Run(20_000, 1, 3, 0.1, 1.0, mode="connectionless(window=1, pairs=on_demand)")
    run.assert_waits(3 / 0.1)


@pytest.mark.parametrize("mode", ["connectionless", "virtual_circuit"])
def test_with_links_ahead_and_sure_swaps_a_pair_takes_as_long_as_the_slowest_link(mode: str) -> None:
    assert slowest_of(3, 0.1) == pytest.approx(17.9006, abs=1e-4)  # algorithms.md 6.1
    Run(15_000, 2, 3, 0.1, 1.0, mode=mode).assert_waits(slowest_of(3, 0.1))


@pytest.mark.parametrize("mode", ["connectionless", "connectionless(congestion=window)", "virtual_circuit"])
def test_two_segments_with_swaps_that_fail_wait_as_long_as_the_closed_form_says(mode: str) -> None:
    Run(15_000, 3, 2, 0.1, 0.5, mode=mode).assert_waits(two_segments(0.1, 0.5))


def test_a_circuit_with_a_cutoff_waits_as_long_as_the_closed_form_says() -> None:
    run = Run(20_000, 4, 2, 0.1, 0.5, mode="virtual_circuit", cutoff_attempts=5)
    run.assert_waits(two_segments_with_cutoff(0.1, 0.5, 5))
    assert run.counters("n1")["expired"] > 100


def test_a_source_that_takes_losses_for_congestion_is_slower_than_one_that_does_not() -> None:
    """One in two swaps fails: with about 300 pairs the difference found is more than six standard errors."""
    strong = Run(15_000, 5, 4, 0.2, 0.5, mode="connectionless")
    weak = Run(15_000, 5, 4, 0.2, 0.5, mode="connectionless(loss_is_congestion=yes)")
    assert weak.counters("n0")["lost"] > 30
    assert len(weak.delivered) + 3 * math.sqrt(len(strong.delivered)) < len(strong.delivered)


def test_a_rate_controlled_source_speeds_up_as_published() -> None:
    """The gap of 48 ms shrinks by 1.1 with each answer: n gaps last 480 ms (1 - 1.1**-n). Links are fast:
    what a pair waits for its second link beyond the gap is a few slots."""
    run = Run(5_000, 6, 2, 0.5, 1.0, mode="connectionless(congestion=rate)")
    for number in range(1, 19):
        took_ms = (run.delivered_ns[number + 2] - run.delivered_ns[2]) / 1e6
        assert took_ms == pytest.approx(480.0 * (1.0 - 1.1**-number), abs=4.0), number


@pytest.mark.parametrize(
    ("mode", "word"), [("connectionless", "datagram_arrived"), ("virtual_circuit", "track_arrived")]
)
def test_the_frame_that_reaches_the_far_end_is_that_of_the_delivered_pair(mode: str, word: str) -> None:
    run = Run(8_000, 7, 3, 0.2, 0.7, mode=mode)
    told = run.told[word]
    assert len(run.delivered) > 100
    assert set(run.delivered) <= set(told)
    assert {pair: told[pair] for pair in run.delivered} == run.delivered
    assert len(set(run.delivered.values())) == 4
    if mode == "virtual_circuit":
        assert all(told[tail, head] == frame for (head, tail), frame in run.delivered.items())


@pytest.mark.parametrize(
    ("mode", "source", "message"),
    [
        (
            "connectionless",
            "n2",
            Datagram(**WORD, sequence=1, head_end=SOME, end=SOME, frame=0, started_ns=0),
        ),
        ("virtual_circuit", "n3", Track(**WORD, origin=SOME, end=SOME, frame=0)),
    ],
    ids=["datagram", "track"],
)
def test_words_of_a_flow_are_taken_from_its_neighbours_only(
    mode: str, source: NodeId, message: Datagram | Track
) -> None:
    run = Run(100, 8, 3, 0.1, 1.0, mode=mode)
    with pytest.raises(PeerViolation, match="expected from n0"):
        run.host.machines["n1"].handle(100 * SLOT_NS, Received(source=source, incarnation=1, message=message))
