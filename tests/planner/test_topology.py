"""Topology values: the link model of algorithms.md 1.1, what is refused, and how long words take.

Owns the tests of topology.py that need no planning method; the worked table of links and chains is tested
beside the exact programme (single/test_exact.py).
"""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import Residual
from bellwire.planner.topology import (
    DB_PER_KM_KM,
    FIBRE_KM_PER_S,
    GATE_FLIP,
    NODE_FIELDS,
    SWAP_NOISE,
    Architecture,
    Link,
    Node,
    Topology,
    link_between,
    pair_of,
)

A, B, C = (Node(name=name) for name in "ABC")


def link(**values: object) -> Link:
    """A plain link A-B with some values of its own."""
    plain = {"ends": ("A", "B"), "length_km": 1.0, "success_probability": 0.1, "capacity_hz": 10.0}
    return Link(**{**plain, "attempt_s": 1e-5, **values})  # type: ignore[arg-type]


# --- the link model --------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_paper() -> None:
    assert (A.swap_probability, A.swap_s) == (0.4, 10e-6)
    assert (A.p_f, A.t_f) == (0.4, 10e-6)
    assert (A.generation_probability, A.generation_s, A.attempts_hz) == (0.33, 50e-6, 20e3)
    assert A.memories == 5
    assert A.decay_hz == (0.01, 0.01, 0.01)
    assert pytest.approx(0.217, abs=5e-4) == DB_PER_KM_KM / 20.0
    assert pytest.approx(0.004975, abs=5e-7) == GATE_FLIP


def test_a_fusion_has_its_own_figures_where_they_are_given() -> None:
    node = Node(name="A", fusion_probability=0.3, fusion_s=2e-5)
    assert (node.p_f, node.t_f) == (0.3, 2e-5)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.floats(0.0, 200.0),
    st.floats(1.0, 500.0),
    st.integers(1, 8),
    st.tuples(*[st.floats(0.05, 1.0)] * 4),
    st.tuples(*[st.floats(0.0, 1e-3)] * 2),
    st.sampled_from(get_args(Architecture)),
)
def test_a_link_follows_the_formulas_of_the_specification(
    d_km: float,
    l_att_km: float,
    w: int,
    chances: tuple[float, float, float, float],
    times_s: tuple[float, float],
    architecture: Architecture,
) -> None:
    """1.1 written out once more, in metres and decibel: loss through 10**(-dB/10)."""
    g_u, g_v, b_u, b_v = chances
    u = Node(name="U", generation_probability=g_u, swap_probability=b_u, swap_s=times_s[0])
    v = Node(name="V", generation_probability=g_v, swap_probability=b_v, swap_s=times_s[1])
    found = link_between(
        u, v, d_km, attenuation_length_km=l_att_km, channels=w, architecture=architecture, fidelity=0.9
    )
    loss_db = 10.0 / math.log(10.0) * d_km / l_att_km
    passes = 10.0 ** (-loss_db / 20.0)  # e_t, half the way
    flight_s = 1e3 * d_km / 2e8
    if architecture == "sender_receiver":  # 11.4, by the better emitter, detected with the mean p_b
        p_ob, stored_q = (b_u + b_v) / 2.0, 1.0
        first_g = min_g = max(g_u, g_v)
        tau_s = age_s = 50e-6 + 2.0 * flight_s
    else:
        p_ob, stored_q = (b_u + b_v) / 4.0, g_v
        first_g, min_g = g_u, min(g_u, g_v)
        tau_s = max(times_s) + flight_s * (1.5 if architecture == "midpoint_source" else 0.5)
        age_s = 50e-6 + tau_s
    assert found.success_probability == pytest.approx(first_g * stored_q * passes**2 * p_ob, rel=1e-9)
    assert found.attempt_s == pytest.approx(tau_s, rel=1e-12)
    if tau_s == 0.0:
        assert found.capacity_hz == math.inf
    else:
        assert found.capacity_hz == pytest.approx(w / tau_s * passes**2 * p_ob * min_g, rel=1e-9)
    assert found.success_s == pytest.approx(age_s, rel=1e-12)
    assert found.state == pytest.approx((0.9, 0.1 / 3.0, 0.1 / 3.0, 0.1 / 3.0), rel=1e-12)
    assert found.fidelity == 0.9


@pytest.mark.parametrize(
    ("architecture", "success", "attempt_us", "capacity_hz"),
    [
        # q = p_g^2 e_t^2 p_ob and cap_channel = e_t^2 p_ob p_g / tau = 0.04003102354 / tau (1.1)
        ("meet_in_the_middle", 0.01321023777, 35.0, 1143.74),
        ("midpoint_source", 0.01321023777, 85.0, 470.953),  # photon 25 us, herald 25, word back 25, t_ob 10
        # q = p_g exp(-1/2) 0.4, t = t_g + 2 d/c = 50 + 100 us (11.4)
        ("sender_receiver", 0.08006204708, 150.0, 533.747),
    ],
)
def test_ten_kilometres_by_each_architecture(
    architecture: Architecture, success: float, attempt_us: float, capacity_hz: float
) -> None:
    found = link_between(A, B, 10.0, architecture=architecture)
    assert found.success_probability == pytest.approx(success, abs=5e-12)
    assert 1e6 * found.attempt_s == pytest.approx(attempt_us, rel=1e-12)
    assert found.capacity_hz == pytest.approx(capacity_hz, abs=5e-3)
    assert found.architecture == architecture


def test_a_sender_receiver_link_is_as_good_as_its_sender() -> None:
    """p = p_g exp(-d/L_att) eta_det, t = t_g + 2 d/c (11.4): nothing else of the receiver counts."""
    quick = Node(name="Q", generation_probability=0.5, generation_s=20e-6)
    for a, b in ((A, quick), (quick, A)):
        best = link_between(a, b, 10.0, architecture="sender_receiver", optical_probability=0.6)
        assert best.success_probability == pytest.approx(0.5 * math.exp(-0.5) * 0.6)
        assert best.attempt_s == best.success_s == pytest.approx(120e-6)
        told = link_between(a, b, 10.0, architecture="sender_receiver", optical_probability=0.6, sender="A")
        assert told.success_probability == pytest.approx(0.33 * math.exp(-0.5) * 0.6)
        assert told.capacity_hz == pytest.approx(told.success_probability / 150e-6)
    with pytest.raises(ConfigError, match='sender "C" is neither of its ends'):
        link_between(A, B, 10.0, architecture="sender_receiver", sender="C")
    with pytest.raises(ConfigError, match="a sender belongs to sender_receiver links"):
        link_between(A, B, 10.0, sender="A")


def test_attempts_one_after_another_take_the_time_that_the_specification_gives() -> None:
    """T_link = (t_g + tau)/q = 6.4344 ms at 10 km; 3.7849 and 7.5699 ms with a whole and a half node."""
    found = link_between(A, B, 10.0)
    residual = Residual(Topology.of([A, B], [found]))
    assert 1e3 * (A.generation_s + found.attempt_s) / found.success_probability == pytest.approx(
        6.4344, abs=5e-5
    )
    assert 1e3 * residual.link_latency_s(found, 1.0, 1.0) == pytest.approx(3.7849, abs=5e-5)
    assert 1e3 * residual.link_latency_s(found) == pytest.approx(7.5699, abs=5e-5)


def test_what_is_given_wins_over_the_model() -> None:
    found = link_between(
        A,
        B,
        10.0,
        channels=2,
        optical_probability=0.5,
        optical_s=1e-3,
        success_probability=0.02,
        attempt_s=1e-4,
        link="east",
    )
    assert (found.success_probability, found.attempt_s, found.link) == (0.02, 1e-4, "east")
    assert found.capacity_hz == pytest.approx(2 / 1e-4 * 0.02)  # q already has both sources in it
    half = link_between(A, B, 10.0, optical_probability=0.5, optical_s=1e-3)
    assert half.success_probability == pytest.approx(0.33**2 * math.exp(-0.5) * 0.5)
    assert half.attempt_s == pytest.approx(1e-3 + 25e-6)


def test_a_link_is_the_same_from_either_end() -> None:
    slow = Node(name="Z", swap_s=1e-3, generation_probability=0.2, generation_s=1e-4)
    assert link_between(A, slow, 12.0) == link_between(slow, A, 12.0)
    assert link_between(slow, A, 12.0).ends == ("A", "Z")
    assert pair_of("Z", "A") == pair_of("A", "Z") == ("A", "Z")


def test_the_default_swap_noise_is_dephasing_of_both_measured_qubits() -> None:
    """Two Bell pairs A B and C D as a density matrix: B and C dephased, then Phi+ found on them."""
    phi = np.array([1.0, 0.0, 0.0, 1.0]) / math.sqrt(2.0)
    whole = np.kron(phi, phi)
    rho: NDArray[np.float64] = np.outer(whole, whole)
    z, one = np.diag([1.0, -1.0]), np.eye(2)
    for flip in (np.kron(np.kron(one, z), np.eye(4)), np.kron(np.eye(4), np.kron(z, one))):
        rho = (1.0 - GATE_FLIP) * rho + GATE_FLIP * flip @ rho @ flip
    project = np.kron(np.kron(one, phi), one)  # A, <Phi+| on B C, D
    left = project @ rho @ project.T
    left /= np.trace(left)
    bells = [
        np.array([1.0, 0.0, 0.0, 1.0]),
        np.array([1.0, 0.0, 0.0, -1.0]),
        np.array([0.0, 1.0, 1.0, 0.0]),
        np.array([0.0, 1.0, -1.0, 0.0]),
    ]
    assert [float(bell @ left @ bell) / 2.0 for bell in bells] == pytest.approx(SWAP_NOISE, abs=1e-15)


def test_the_longer_the_link_the_rarer_the_pair() -> None:
    chances = [link_between(A, B, float(d)).success_probability for d in range(0, 100, 5)]
    assert all(far < near for near, far in pairwise(chances))
    assert chances[0] == pytest.approx(0.33**2 * 0.2)


# --- classical words -------------------------------------------------------------------------------------


def test_words_go_straight_between_places() -> None:
    here, there = Node(name="A", position_km=(0.0, 0.0)), Node(name="B", position_km=(30.0, 40.0))
    topology = Topology.of([here, there], [link_between(here, there, 80.0)])
    assert topology.delay_s("A", "B") == topology.delay_s("B", "A") == pytest.approx(50.0 / 2e5)
    assert topology.delay_s("A", "A") == 0.0


def test_words_take_the_shortest_way_through_fibre_where_no_places_are_known() -> None:
    alone = Node(name="D")
    links = [link_between(A, B, 10.0), link_between(B, C, 20.0), link_between(A, C, 50.0)]
    topology = Topology.of([A, B, C, alone], links)
    assert topology.delay_s("A", "C") == pytest.approx(30.0 / FIBRE_KM_PER_S)
    assert topology.delay_s("A", "D") == math.inf
    assert topology.told_s("B", "A", "C") == pytest.approx(20.0 / FIBRE_KM_PER_S)
    assert topology.told_s("B") == 0.0


def test_given_delays_win_and_what_they_leave_out_is_never_heard() -> None:
    placed = [replace(node, position_km=(float(x), 0.0)) for x, node in enumerate((A, B, C))]
    topology = Topology.of(placed, [], delays_s={("A", "B"): 0.25})
    assert topology.delay_s("B", "A") == 0.25
    assert topology.delay_s("A", "C") == math.inf


@pytest.mark.parametrize("kind", ["places", "some places", "fibre", "given"])
def test_the_matrix_of_delays_is_every_delay(kind: str) -> None:
    chance = np.random.default_rng(5)
    nodes = [
        Node(
            name=f"n{index}",
            position_km=tuple(chance.uniform(0.0, 50.0, 2).tolist())
            if kind == "places" or (kind == "some places" and index % 2)
            else None,
        )
        for index in range(7)
    ]
    links = [link_between(nodes[index], nodes[index + 1], 3.0 + index) for index in range(5)]
    given = {("n0", "n1"): 1.0, ("n2", "n5"): 2.0} if kind == "given" else None
    topology = Topology.of(nodes, links, delays_s=given)
    matrix = topology.delay_matrix_s
    for a, i in topology.order.items():
        for b, j in topology.order.items():
            assert matrix[i, j] == pytest.approx(topology.delay_s(a, b), rel=1e-12, abs=0.0)


def test_neighbours_are_the_other_ends_of_the_links() -> None:
    topology = Topology.of([A, B, C, Node(name="D")], [link_between(A, B, 1.0), link_between(C, B, 1.0)])
    assert topology.neighbours == {"A": ("B",), "B": ("A", "C"), "C": ("B",), "D": ()}
    assert topology.link("C", "B") is topology.links["B", "C"]
    assert topology.link("A", "C") is None


# --- what is refused -------------------------------------------------------------------------------------


def test_every_property_of_a_node_can_be_named_by_files() -> None:
    assert {each.name for each in fields(Node)} == NODE_FIELDS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": ""}, "a node needs a name"),
        ({"memories": -1}, 'node "N": memories = -1 is below 0'),
        ({"attempts_hz": -1.0}, r'node "N": attempts_hz = -1 must be a finite number, 0 or more'),
        ({"attempts_hz": math.nan}, "attempts_hz = nan"),
        ({"generation_s": -1e-6}, "generation_s = -1e-06 must be a finite number"),
        ({"generation_s": math.inf}, "generation_s = inf must be a finite number"),
        ({"swap_s": math.nan}, "swap_s = nan must be"),
        ({"purification_s": -1.0}, "purification_s = -1 must be"),
        ({"fusion_s": -1.0}, "fusion_s = -1 must be"),
        ({"generation_probability": 1.01}, r"generation_probability = 1\.01 is outside 0\.\.1"),
        ({"swap_probability": -0.5}, r"swap_probability = -0\.5 is outside 0\.\.1"),
        ({"swap_probability": math.nan}, "swap_probability = nan is outside"),
        ({"gate_fidelity": 2.0}, "gate_fidelity = 2 is outside"),
        ({"readout_fidelity": -1.0}, "readout_fidelity = -1 is outside"),
        ({"fusion_probability": 7.0}, "fusion_probability = 7 is outside"),
        ({"decay_hz": (0.0, -1.0, 0.0)}, "decay_hz = -1 must be"),
        ({"decay_hz": (0.0, 0.0, math.inf)}, "decay_hz = inf must be"),
        ({"swap_noise": (0.5, 0.5, 0.5, 0.0)}, "swap_noise = .* four probabilities that sum to 1"),
        ({"swap_noise": (1.5, -0.5, 0.0, 0.0)}, "swap_noise = .* four probabilities"),
        ({"swap_noise": (0.5, math.nan, 0.25, 0.25)}, "swap_noise = .* four probabilities"),
        ({"position_km": (0.0, math.nan)}, r"position_km = \(0\.0, nan\) is not finite"),
    ],
)
def test_a_node_refuses_what_cannot_be(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Node(**{"name": "N", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: link(ends=("B", "A")), "link B-A: the ends must be two different names in sorted order"),
        (lambda: link(ends=("A", "A")), "link A-A: the ends must be two different names"),
        (lambda: link(length_km=-1.0), "link A-B: length_km = -1 must be a finite number, 0 or more"),
        (lambda: link(attempt_s=math.inf), "attempt_s = inf must be"),
        (lambda: link(success_s=math.nan), "success_s = nan must be"),
        (lambda: link(capacity_hz=-2.0), "capacity_hz = -2 must be"),
        (lambda: link(attenuation_length_km=-1.0), "attenuation_length_km = -1 must be"),
        (lambda: link(success_probability=1.5), r"success_probability = 1\.5 is outside 0\.\.1"),
        (lambda: link(state=(0.9, 0.2, 0.0, 0.0)), "state = .* four probabilities that sum to 1"),
        (lambda: link(channels=0), "channels = 0 is below 1"),
        (lambda: link_between(A, B, -3.0), "link A-B: length_km = -3 must be"),
        (lambda: link_between(A, B, math.nan), "length_km = nan must be"),
        (lambda: link_between(A, B, math.inf), "length_km = inf must be"),
        (lambda: link_between(A, A, 1.0), "link A-A: the ends must be two different names"),
        (
            lambda: link_between(A, B, 1.0, attenuation_length_km=0.0),
            "attenuation_length_km = 0 must be above",
        ),
        (lambda: link_between(A, B, 1.0, attenuation_length_km=math.nan), "attenuation_length_km = nan must"),
        (lambda: link_between(A, B, 1.0, optical_probability=1.2), r"optical_probability = 1\.2 is outside"),
        (lambda: link_between(A, B, 1.0, optical_s=-1.0), "optical_s = -1 must be"),
        (lambda: link_between(A, B, 1.0, fidelity=1.1), r"fidelity = 1\.1 is outside 0\.\.1"),
        (lambda: link_between(A, B, 1.0, attempt_s=-1.0), "attempt_s = -1 must be"),
        (
            lambda: link_between(A, B, 1.0, success_probability=-0.1),
            r"success_probability = -0\.1 is outside",
        ),
        (
            lambda: link_between(A, B, 1.0, success_probability=math.nan),
            "success_probability = nan is outside",
        ),
        (lambda: link_between(A, B, 1.0, channels=-1), "channels = -1 is below 1"),
    ],
)
def test_a_link_refuses_what_cannot_be(make: Callable[[], Link], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Topology({"B": A}, {}), 'node "A" stands under the name "B"'),
        (lambda: Topology({"A": A, "B": B}, {("A", "C"): link()}), "stands under"),
        (lambda: Topology({"A": A}, {("A", "B"): link()}), 'link A-B ends at "B", which is no node'),
        (lambda: Topology.of([A, A], []), 'two nodes are called "A"'),
        (lambda: Topology.of([A, B], [link(), link()]), "two links join A and B"),
        (
            lambda: Topology.of([A, B], [], delays_s={("B", "A"): 1.0}),
            "classical delay B-A: the ends must be",
        ),
        (lambda: Topology.of([A, B], [], delays_s={("A", "X"): 1.0}), 'ends at "X", which is no node'),
        (lambda: Topology.of([A, B], [], delays_s={("A", "B"): -1.0}), "delay_s = -1 must be"),
        (lambda: Topology.of([A, B], [], delays_s={("A", "B"): math.nan}), "delay_s = nan must be"),
    ],
)
def test_a_topology_refuses_what_does_not_fit_together(make: Callable[[], Topology], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_an_unknown_node_is_an_error_with_the_nearest_name() -> None:
    topology = Topology.of([Node(name="alice"), Node(name="bob")], [])
    assert topology.node("alice").name == "alice"
    with pytest.raises(ConfigError, match=r'unknown node "alise" \(did you mean "alice"\?\)'):
        topology.node("alise")
