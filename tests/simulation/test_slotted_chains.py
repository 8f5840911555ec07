"""Swap-asap, nested and the exact optimum on the machines: delivery times of the slotted chain (algorithms.md
7.1, 12.2).

Each case compares the mean over rounds from an empty chain with the exact time, within 4 standard errors
(two-sided false alarm 6e-5 a case), and holds every single slot against the process: its state must follow
from the one before under the play's own choice. So plays whose means differ by less than a percent are told
apart by what they do, and a wrong slot needs no statistics to be seen.
"""

import math
from itertools import product

import pytest

from bellwire.study.optimum_slots import SlotChain
from tests.conftest import FiguresRecorder
from tests.simulation.own_ages import swap_asap_slots
from tests.simulation.slotted import adaptive_mode, exact_slots, follow, measured
from tests.simulation.test_exact_waiting_times import waiting_times
from tests.simulation.textbook import chain_lab

SHORT = [
    (3, 0.5, 0.5, 2, "asap", 300),
    (4, 0.5, 1.0, 2, "best", 300),
    (4, 0.9, 0.5, 3, "asap", 200),
    (5, 0.9, 1.0, 2, "asap", 300),
    (5, 0.9, 1.0, 2, "nested", 300),
    (5, 0.9, 0.5, 2, "nested", 150),
    (5, 0.9, 0.5, 2, "best", 150),
    (5, 0.5, 1.0, 3, "best", 200),
]
"""nodes, p, p_s, t_c, play, rounds."""


@pytest.mark.parametrize(("nodes", "p", "swap_p", "cutoff", "play", "rounds"), SHORT)
def test_the_machines_deliver_in_the_exact_time_and_every_slot_follows_from_the_one_before(
    nodes: int, p: float, swap_p: float, cutoff: int, play: str, rounds: int
) -> None:
    measured(SlotChain(nodes, p, swap_p, cutoff), play, rounds, 31)


@pytest.mark.parametrize(("play", "slots"), [("asap", 1), ("best", 1), ("nested", 2)])
def test_without_chance_every_round_takes_as_many_slots_as_the_play_needs(play: str, slots: int) -> None:
    chain = SlotChain(5, 1.0, 1.0, 2)
    assert exact_slots(chain, play) == slots
    assert follow(chain, play, 40, 32).waits == [slots] * 40


@pytest.mark.parametrize("nodes", [3, 4, 5])
def test_where_swaps_cannot_fail_an_adaptive_policy_with_the_same_cutoff_is_the_published_swap_asap(
    nodes: int,
) -> None:
    """Taking turns then changes nothing. A node that had nothing to swap with once read of a pair made longer
    elsewhere only when its link's mean time was over, and so gave up too late what had become too old."""
    chain = SlotChain(nodes, 0.5, 1.0, 2)
    measured(chain, "asap", 250, 33, adaptive_mode(chain, "oldest"))


def test_another_policy_is_found_out_in_a_single_slot() -> None:
    chain = SlotChain(5, 0.5, 1.0, 2)
    with pytest.raises(AssertionError, match=r"cannot follow|by the process"):
        follow(chain, "asap", 100, 34, adaptive_mode(chain, "score"))


def own_ages_row(nodes: int, p: float, swap_p: float, cutoff: int, rounds: int) -> dict[str, object]:
    """Swap-asap of the package under a plan's cutoff, held against the exact time of that rule."""
    exact = swap_asap_slots(nodes, p, swap_p, cutoff)
    lab = chain_lab(nodes - 1, p, swap_p, cutoff_attempts=cutoff, mode="swap_asap", rounds=False)
    waits = waiting_times(lab, rounds, exact, 35)
    mean = sum(waits) / rounds
    error = math.sqrt(sum((wait - mean) ** 2 for wait in waits) / (rounds - 1) / rounds)
    assert abs(mean - exact) < 4 * error, f"mean {mean} of {rounds}, exact {exact}, standard error {error}"
    return {
        "nodes": nodes,
        "p": p,
        "swap p": swap_p,
        "cutoff (slots)": cutoff,
        "rounds": rounds,
        "exact (slots)": round(exact, 6),
        "by the rule of 7.1": round(exact_slots(SlotChain(nodes, p, swap_p, cutoff), "asap"), 6),
        "mean": round(mean, 4),
        "standard error": round(error, 4),
        "deviation (standard errors)": round((mean - exact) / error, 2),
    }


def test_a_plans_cutoff_counts_the_age_of_a_nodes_own_qubit_and_has_its_own_exact_time() -> None:
    own_ages_row(4, 0.5, 1.0, 2, 500)


def test_the_two_rules_of_age_agree_where_no_pair_outlives_a_swap() -> None:
    for p, swap_p, cutoff in product((0.3, 0.9), (0.5, 1.0), (1, 2, 5)):
        exact = exact_slots(SlotChain(3, p, swap_p, cutoff), "asap")
        assert swap_asap_slots(3, p, swap_p, cutoff) == pytest.approx(exact, rel=1e-12)
    assert swap_asap_slots(4, 0.3, 1.0, 2) < 0.93 * exact_slots(SlotChain(4, 0.3, 1.0, 2), "asap")


TITLE = "Virtual time against exact truth: slotted chains, slots to a delivery (exact: mean ± standard error)"


def by_chain(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """One row for each chain, its policies side by side."""
    names = ("nodes", "p", "swap p", "cutoff (slots)", "rounds")
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for row in rows:
        chain = found.setdefault(tuple(row[name] for name in names), {name: row[name] for name in names})
        text = f"{row['exact (slots)']:.5g}: {row['mean']:.4g} ± {row['standard error']:.2g}"
        chain[str(row["policy"])] = text
    return list(found.values())


@pytest.mark.slow
def test_long_runs_of_swap_asap_nested_and_the_optimum_take_the_exact_times(
    record_figures: FiguresRecorder,
) -> None:
    """Three nodes leave no choice. Every case has a seed of its own."""
    plays = {3: ("asap",), 4: ("asap", "best"), 5: ("asap", "best", "nested")}
    rows: list[dict[str, object]] = []
    for nodes, p, swap_p, cutoff in product((3, 4, 5), (0.5, 0.9), (1.0, 0.5), (2, 3)):
        rounds = 500 if nodes == 5 and swap_p < 1.0 else 1200
        for play in plays[nodes]:
            rows.append(measured(SlotChain(nodes, p, swap_p, cutoff), play, rounds, 41 + len(rows)))
    record_figures("exact_slotted_chains", TITLE, by_chain(rows))


@pytest.mark.slow
def test_long_runs_of_swap_asap_under_a_plans_cutoff_take_the_exact_times_of_that_rule(
    record_figures: FiguresRecorder,
) -> None:
    rows = [
        own_ages_row(nodes, p, swap_p, cutoff, 1500)
        for nodes, p, swap_p, cutoff in product((3, 4), (0.5, 0.9), (1.0, 0.5), (2, 3))
    ]
    record_figures(
        "exact_own_ages", "Virtual time against exact truth: swap-asap under a plan's cutoff", rows
    )
