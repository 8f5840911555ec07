"""Bounds of routes and of several requests on common links."""

import pytest

from bellwire.core.errors import ConfigError
from bellwire.labs.paper_network import PaperNetwork, chain_lab, paper_lab
from bellwire.study.bounds import bound_hz, bound_of_requests_hz
from bellwire.study.route_model import adaptive, follow_tree, simulate, swap_asap
from bellwire.study.route_model_numbers import plain_route, route_of
from bellwire.study.trees_search import strongest_tree

LENGTHS_KM = (9.0, 14.0, 21.0, 12.0)


def test_the_bound_of_two_links_is_the_slower_one_times_the_swap() -> None:
    assert bound_hz(plain_route([0.1, 0.2], 0.4, memories=5)) == pytest.approx(0.4 / 0.2)


def test_four_equal_links_reach_at_most_the_square_of_the_swap_probability() -> None:
    """Every pair needs two levels of swaps, each of which loses what fails."""
    assert bound_hz(plain_route([1.0] * 4, 0.4, memories=5)) == pytest.approx(0.16)


@pytest.mark.parametrize("hops", [2, 3, 4])
def test_a_chain_asked_as_a_network_has_the_bound_of_the_route(hops: int) -> None:
    network = chain_lab(LENGTHS_KM[:hops]).network
    nodes = sorted(network.nodes)
    whole = bound_of_requests_hz(network, [(nodes[0], nodes[-1])], nodes)
    assert whole == pytest.approx(bound_hz(route_of(network, nodes)), rel=1e-6)


def test_no_policy_exceeds_the_bound_of_its_route() -> None:
    """4 standard errors: one false alarm in 1,300 a policy."""
    network = chain_lab(LENGTHS_KM).network
    route = route_of(network, sorted(network.nodes))
    tree = strongest_tree(route, deliveries=1000)
    for behaviour in (adaptive(route, "score"), follow_tree(route, tree), swap_asap(route)):
        figures = simulate(route, behaviour, deliveries=4000)
        assert figures.rate_hz < bound_hz(route) + 4.0 * figures.error_hz


def test_two_requests_on_one_chain_share_its_links() -> None:
    network = chain_lab(LENGTHS_KM).network
    nodes = sorted(network.nodes)
    one, other = (nodes[0], nodes[2]), (nodes[1], nodes[3])
    alone = [bound_of_requests_hz(network, [ends], nodes) for ends in (one, other)]
    both = bound_of_requests_hz(network, [one, other], nodes)
    fair = bound_of_requests_hz(network, [one, other], nodes, fair=True)
    assert max(alone) * (1.0 - 1e-9) <= both < sum(alone)
    assert 0.0 < fair < min(alone)
    assert fair <= both / 2.0 * (1.0 + 1e-9)


def test_more_nodes_never_lower_the_bound() -> None:
    lab = paper_lab(PaperNetwork(nodes=40, density=0.15, side_km=50.0, seed=3))
    route = lab.requests[0].route
    assert route is not None
    beside = {
        name for link in lab.network.links.values() if set(link.nodes) & set(route) for name in link.nodes
    }
    more = sorted(set(route) | set(sorted(beside)[:12]))
    ends = (route[0], route[-1])
    assert bound_of_requests_hz(lab.network, [ends], more) >= bound_of_requests_hz(lab.network, [ends], route)


def test_requests_elsewhere_and_networks_too_large_are_refused() -> None:
    network = chain_lab(LENGTHS_KM).network
    with pytest.raises(ConfigError, match="not between"):
        bound_of_requests_hz(network, [("c00", "c04")], ["c00", "c01"])
    with pytest.raises(ConfigError, match="at most"):
        bound_of_requests_hz(network, [], [f"n{index}" for index in range(41)])
