"""The optimum of a homogeneous chain in slots against published and independently computed times."""

import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.study.optimum_slots import SlotChain, SlotProcess, State, Swaps, nested, swap_asap

ADVANTAGE: dict[float, tuple[float, ...]] = {
    0.3: (1.76465453, 1.39510113, 1.01950094, 0.738541448, 0.534596185),
    0.4: (1.08584547, 0.752939371, 0.493460395, 0.313135305, 0.194979772),
    0.5: (0.678246184, 0.387927911, 0.208701148, 0.108569899, 0.0554365415),
    0.6: (0.382723538, 0.171121969, 0.0716247064, 0.0291917520, 0.0117661957),
    0.7: (0.161601743, 0.0518103942, 0.0158553152, 0.00478594561, 0.00143779241),
    0.8: (0.0380356318, 0.00783300691, 0.00157550381, 3.15398735e-4, 6.25532724e-5),
    0.9: (0.00214534540, 2.16171761e-4, 2.19461405e-5, 2.08787991e-6, 1.41e-7),
}
"""(T_asap - T_opt) / T_opt in %, 4 nodes, deterministic swaps, by p, for cutoffs 2 to 6 (published)."""

TIMES = [
    (4, 1.0, 0.3, 2, 8.88518522, 9.04197816),
    (4, 1.0, 0.3, 5, 6.34309982, 6.38994645),
    (4, 1.0, 0.5, 2, 3.56521739, 3.58939840),
    (4, 1.0, 0.5, 5, 3.18586350, 3.18932249),
    (4, 1.0, 0.9, 2, 1.30456579, 1.30459378),
    (4, 0.5, 0.3, 2, 32.86473616, 33.43816895),
    (4, 0.5, 0.5, 2, 12.70789957, 12.77576777),
    (4, 0.5, 0.5, 5, 10.88490100, 10.88926814),
    (4, 0.5, 0.9, 2, 4.85408931, 4.85410327),
    (5, 1.0, 0.3, 2, 13.92307916, 14.65372472),
    (5, 1.0, 0.5, 2, 4.37653499, 4.45936595),
    (5, 1.0, 0.5, 3, 3.87669539, 3.92009273),
    (5, 1.0, 0.9, 2, 1.38866503, 1.38877031),
    (5, 0.5, 0.3, 2, 95.50246913, 101.18090181),
    (5, 0.5, 0.5, 2, 26.77944919, 28.19305618),
    (5, 0.5, 0.5, 3, 21.84230780, 23.24700333),
    (5, 0.5, 0.9, 2, 8.31661382, 9.34690464),
    (5, 0.5, 0.9, 3, 8.23406777, 9.31031608),
]
"""nodes, p_s, p, t_c, T_opt, T_asap (algorithms.md 12.2)."""


@pytest.mark.parametrize("success", ADVANTAGE)
def test_the_advantage_over_swap_asap_on_four_nodes_is_the_published_one(success: float) -> None:
    for cutoff, percent in zip(range(2, 7), ADVANTAGE[success], strict=True):
        process = SlotProcess(SlotChain(nodes=4, success=success, swap_success=1.0, cutoff=cutoff))
        asap, optimum = process.solve(swap_asap).slots, process.optimum().slots
        assert (asap - optimum) / optimum * 100.0 == pytest.approx(percent, abs=1e-5)


@pytest.mark.parametrize(("nodes", "swap_success", "success", "cutoff", "optimum", "asap"), TIMES)
def test_delivery_times_are_those_of_an_independent_solver(
    nodes: int, swap_success: float, success: float, cutoff: int, optimum: float, asap: float
) -> None:
    process = SlotProcess(SlotChain(nodes=nodes, success=success, swap_success=swap_success, cutoff=cutoff))
    assert process.solve(swap_asap).slots == pytest.approx(asap, abs=2e-8)
    assert process.optimum().slots == pytest.approx(optimum, abs=2e-8)


@pytest.mark.parametrize(
    ("swap_success", "asap", "nested_slots"),
    [(1.0, 1.3887703070, 2.0710744649), (0.5, 9.3469042159, 8.3437808621)],
)
def test_swap_asap_and_nested_on_five_nodes_take_the_published_times(
    swap_success: float, asap: float, nested_slots: float
) -> None:
    """The published values carry a relative tolerance of 1e-7."""
    process = SlotProcess(SlotChain(nodes=5, success=0.9, swap_success=swap_success, cutoff=2))
    assert process.solve(swap_asap).slots == pytest.approx(asap, rel=1e-7)
    assert process.solve(nested).slots == pytest.approx(nested_slots, rel=1e-7)


@pytest.mark.parametrize(("success", "slots"), [(0.3, 5.634451019), (0.5, 2.8), (0.9, 1.212305201)])
@pytest.mark.parametrize("swap_success", [1.0, 0.5])
def test_on_three_nodes_swapping_at_once_is_best_and_takes_the_time_of_the_closed_form(
    success: float, slots: float, swap_success: float
) -> None:
    process = SlotProcess(SlotChain(nodes=3, success=success, swap_success=swap_success, cutoff=2))
    assert process.optimum().slots == pytest.approx(slots / swap_success, abs=1e-8)
    assert process.solve(swap_asap).slots == pytest.approx(slots / swap_success, abs=1e-8)


@pytest.mark.parametrize(
    ("nodes", "cutoff", "states"), [(3, 2, 16), (3, 5, 49), (4, 2, 80), (4, 3, 155), (4, 5, 413), (5, 2, 396)]
)
def test_as_many_states_are_reached_as_published(nodes: int, cutoff: int, states: int) -> None:
    chain = SlotChain(nodes=nodes, success=0.5, swap_success=0.5, cutoff=cutoff)
    assert len(SlotProcess(chain).states) == states


def test_a_policy_that_swaps_where_nothing_is_held_is_refused() -> None:
    def everywhere(state: State, able: Swaps) -> Swaps:
        return (1,)

    process = SlotProcess(SlotChain(nodes=3, success=0.5, swap_success=0.5, cutoff=2))
    with pytest.raises(LocalMisuse, match="cannot swap"):
        process.solve(everywhere)


def test_impossible_chains_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 2 and 1"):
        SlotChain(nodes=1, success=0.5, swap_success=0.5, cutoff=2)
    with pytest.raises(ConfigError, match="not in"):
        SlotChain(nodes=3, success=0.0, swap_success=0.5, cutoff=2)
    with pytest.raises(ConfigError, match="states"):
        SlotProcess(SlotChain(nodes=7, success=0.5, swap_success=0.5, cutoff=4))
