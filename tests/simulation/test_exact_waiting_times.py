"""Virtual time against exact truth: mean waiting times of textbook chains (algorithms.md 12.1).

Each case compares the mean over independent rounds with the closed form, within 4 standard errors (two-sided
false alarm 6e-5 a case). Rounds of textbook generation restart completely, so waiting times are independent.
"""

import itertools
import math

import pytest

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.labs import Lab
from bellwire.node.machines import Compute
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from tests.conftest import FiguresRecorder
from tests.simulation.textbook import (
    SLOT_US,
    chain_lab,
    doubling,
    two_segments,
    two_segments_with_cutoff,
)

SLOT_NS = SLOT_US * 1000


def waiting_times(lab: Lab, rounds: int, expected_slots: float, seed: int) -> list[float]:
    """Waiting times of the first `rounds` deliveries, in attempts."""
    network = lab.network

    def compute(request, version, news):  # type: ignore[no-untyped-def]  # Compute says it
        return compute_plan(network, request, version, news)

    planner: Compute = compute
    host = VirtualHost(lab, seed, planner)
    delivered: list[int] = []
    source = lab.requests[0].target_nodes[0]

    def listen(now_ns: int, node: NodeId, report: Report) -> None:
        if report.name == "pair_delivered" and node == source:
            delivered.append(now_ns)

    host.reports.append(listen)
    host.start()
    until_ns = 0
    while len(delivered) < rounds:
        until_ns += int(expected_slots * SLOT_NS * rounds * 0.25) + SLOT_NS
        assert until_ns < 40 * expected_slots * SLOT_NS * rounds, "pairs do not come"
        host.run(until_ns)
    times = [0, *delivered[:rounds]]
    return [(later - earlier) / SLOT_NS for earlier, later in itertools.pairwise(times)]


def measured(name: str, lab: Lab, exact: float, rounds: int, seed: int) -> dict[str, object]:
    """Play the rounds, hold the mean against the closed form, and return the row for the table."""
    waits = waiting_times(lab, rounds, exact, seed)
    mean = sum(waits) / rounds
    error = math.sqrt(sum((wait - mean) ** 2 for wait in waits) / (rounds - 1) / rounds)
    deviation = (mean - exact) / error
    assert abs(deviation) < 4, f"{name}: mean {mean} of {rounds}, exact {exact}, standard error {error}"
    return {
        "chain": name,
        "rounds": rounds,
        "exact (attempts)": round(exact, 6),
        "mean": round(mean, 4),
        "standard error": round(error, 4),
        "deviation (standard errors)": round(deviation, 2),
    }


TWO_SEGMENTS = [(0.1, 0.5), (0.3, 1.0), (0.5, 0.5), (0.9, 0.25)]
CUTOFFS = [(0.3, 1.0, 2), (0.1, 0.5, 5), (0.5, 0.5, 1), (0.1, 1.0, 20)]


@pytest.mark.parametrize(("p", "swap_p"), TWO_SEGMENTS)
def test_two_segments_wait_as_long_as_the_closed_form_says(p: float, swap_p: float) -> None:
    measured(f"2 segments p={p} ps={swap_p}", chain_lab(2, p, swap_p), two_segments(p, swap_p), 1200, 11)


@pytest.mark.parametrize(("p", "swap_p", "cutoff"), CUTOFFS)
def test_two_segments_with_a_cutoff_wait_as_long_as_the_closed_form_says(
    p: float, swap_p: float, cutoff: int
) -> None:
    lab = chain_lab(2, p, swap_p, cutoff_attempts=cutoff)
    exact = two_segments_with_cutoff(p, swap_p, cutoff)
    measured(f"2 segments p={p} ps={swap_p} cutoff={cutoff}", lab, exact, 1200, 12)


@pytest.mark.parametrize(("levels", "p", "rounds"), [(2, 0.5, 800), (2, 0.1, 500), (3, 0.5, 350)])
def test_doubling_waits_as_long_as_the_convolution_says(levels: int, p: float, rounds: int) -> None:
    lab = chain_lab(2**levels, p, 0.5)
    measured(f"doubling {2**levels} p={p}", lab, doubling(p, 0.5, levels), rounds, 13)


def test_the_formulas_agree_with_published_numbers() -> None:
    assert two_segments(0.1, 0.5) == pytest.approx(29.47368421, rel=1e-9)
    assert two_segments_with_cutoff(0.3, 1.0, 2) == pytest.approx(5.634451019, rel=1e-9)
    assert two_segments_with_cutoff(0.9, 1.0, 2) == pytest.approx(1.212305201, rel=1e-9)
    assert doubling(0.5, 0.5, 2) == pytest.approx(15.093907, abs=1e-6)
    assert doubling(0.1, 0.5, 2) == pytest.approx(84.817580, abs=1e-6)
    assert doubling(0.1, 0.5, 3) == pytest.approx(242.348372, abs=1e-6)
    assert doubling(0.5, 0.5, 3) == pytest.approx(42.999865, abs=1e-6)


@pytest.mark.slow
def test_long_runs_of_two_segments_agree_with_the_closed_forms(record_figures: FiguresRecorder) -> None:
    rows = [
        measured(f"2 segments, p={p}, ps={ps}", chain_lab(2, p, ps), two_segments(p, ps), 12_000, 21)
        for p, ps in TWO_SEGMENTS
    ]
    rows += [
        measured(
            f"2 segments, p={p}, ps={ps}, cutoff {cutoff}",
            chain_lab(2, p, ps, cutoff_attempts=cutoff),
            two_segments_with_cutoff(p, ps, cutoff),
            12_000,
            22,
        )
        for p, ps, cutoff in CUTOFFS
    ]
    record_figures("exact_two_segments", "Virtual time against exact truth: two segments", rows)


@pytest.mark.slow
def test_long_runs_of_doubling_agree_with_the_convolution(record_figures: FiguresRecorder) -> None:
    rows = [
        measured(
            f"doubling, {2**levels} segments, p={p}, ps=0.5",
            chain_lab(2**levels, p, 0.5),
            doubling(p, 0.5, levels),
            rounds,
            23,
        )
        for levels, p, rounds in [(2, 0.5, 8_000), (2, 0.1, 6_000), (3, 0.5, 3_000), (3, 0.1, 6_000)]
    ]
    record_figures("exact_doubling", "Virtual time against exact truth: doubling", rows)
