"""The paper's default network as a lab: its numbers, its routes, and what a bank without turns gives.

Sample sizes and false-alarm rates stand beside each statistical check; seeds are fixed.
"""

import math
from itertools import pairwise

import numpy as np
import pytest

from bellwire.core.errors import ConfigError
from bellwire.labs.paper_network import (
    PaperNetwork,
    attempt_s,
    chain_lab,
    draw_routes,
    paper_lab,
    success_probability,
)
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import PairRequest
from bellwire.simulator_backend.simulation import simulate

SMALL = PaperNetwork(nodes=30, density=0.15, side_km=50.0, requests=3, seed=4)


def test_every_node_has_one_bank_of_five_memories_and_every_link_one_lane_without_turns() -> None:
    network = paper_lab(SMALL).network
    for node in network.nodes.values():
        assert node.memory is not None
        assert node.memory.slots == 5
    for link in network.links.values():
        assert (link.lanes, link.turn_ns, link.shared) == (1, 0, (True, True))
        assert link.slots == (tuple(range(5)), tuple(range(5)))


def test_links_succeed_as_often_as_the_planner_s_textbook_model_says() -> None:
    topology, network = SMALL.topology(), paper_lab(SMALL).network
    for link in topology.links.values():
        built = network.links["-".join(link.ends)]
        assert built.success_probability == pytest.approx(link.success_probability, rel=1e-12)
        assert built.period_ns == pytest.approx(1e9 * max(50e-6 + link.length_km / 2e5, 100e-6), abs=1.0)


def test_the_example_of_the_specification_ten_kilometres_makes_a_pair_in_7_57_ms() -> None:
    """algorithms.md 1.7: T_link = 7.569886 ms at 10 km and the defaults."""
    assert attempt_s(10.0) / success_probability(10.0) == pytest.approx(7.569886e-3, rel=1e-6)


def test_routes_are_those_of_the_best_fixed_trees() -> None:
    topology = SMALL.topology()
    for route in draw_routes(SMALL, topology):
        plan = plan_pair(Residual(topology), PairRequest(request="r", source=route[0], destination=route[-1]))
        lab = paper_lab(SMALL, topology=topology)
        assert route in [request.route for request in lab.requests]
        assert all("-".join(sorted(hop)) in lab.network.links for hop in pairwise(route)), (
            "a route must follow links"
        )
        assert plan.rate_hz > 0.0


def test_routes_of_a_wanted_number_of_hops_are_found_or_refused() -> None:
    topology = SMALL.topology()
    wanted = PaperNetwork(nodes=30, density=0.15, side_km=50.0, requests=2, seed=4, hops=(3, 4))
    assert all(3 <= len(route) - 1 <= 4 for route in draw_routes(wanted, topology))
    far = PaperNetwork(nodes=30, density=0.15, side_km=50.0, seed=4, hops=(20, 25))
    with pytest.raises(ConfigError, match="routes of 20 to 25 hops"):
        draw_routes(far, topology)


def test_a_link_of_a_bank_without_turns_makes_pairs_at_its_full_rate() -> None:
    """One hop, 10 km: every pair is delivered at once, so the delivered rate is that of the link.

    40 s at 132.1/s: 5284 pairs; 4 standard errors (5.5 %) are exceeded by chance with probability 6e-5.
    """
    served = simulate(chain_lab([10.0], duration_s=60.0), 40.0, 1)["requests"]["r0"]
    expected = 40.0 * success_probability(10.0) / attempt_s(10.0)
    assert abs(served["delivered"] - expected) < 4.0 * math.sqrt(expected)


def test_delivered_fidelity_is_what_gates_and_storage_leave() -> None:
    """Two hops: two phase flips of 0.004975 in the swap and depolarising at 0.01/s, by density matrices."""
    outcome = simulate(chain_lab([10.0, 10.0], duration_s=60.0), 10.0, 2)["requests"]["r0"]
    assert outcome["frame_errors"] == 0
    assert outcome["fidelity_mean"] == pytest.approx(outcome["fidelity_true_mean"], abs=1e-6)
    # Storage takes less than 0.01/s x 4 qubits x 0.1 s from every pair; the gate is the rest.
    flip = (1.0 - math.exp(-0.01)) / 2.0
    z = np.diag([1.0, -1.0])
    phi = np.array([1.0, 0.0, 0.0, 1.0]) / math.sqrt(2.0)
    state = np.outer(phi, phi)
    for _ in range(2):  # one flip for each measured qubit lands on the pair that comes out
        turned = np.kron(np.eye(2), z)
        state = (1.0 - flip) * state + flip * turned @ state @ turned
    gate_fidelity = float(phi @ state @ phi)
    assert gate_fidelity - 0.004 < outcome["fidelity_mean"] < gate_fidelity
