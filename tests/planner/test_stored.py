"""Pairs of the ledger as leaves: which ones, in which state, for how long, and what trees make of them."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.bell import decay, decay_rates, eigenvalues, fidelity_of, from_walsh, to_walsh, werner
from bellwire.core.ids import End, QubitId
from bellwire.core.plans import PRE_DISTRIBUTED
from bellwire.core.view import Entanglement
from bellwire.planner.capacity import NoPlan, Residual
from bellwire.planner.requests import Limits, Options, PairRequest
from bellwire.planner.single.exact import plan
from bellwire.planner.stored import life_of, pair_name, stored_leaves
from bellwire.planner.structures import StoredLeaf, leaves
from bellwire.planner.topology import Node, Topology, link_between


def row(left: str = "B", right: str = "D", **changes: Any) -> Entanglement:
    """A row as the ledger gives it; attempt makes pairs different."""
    attempt = changes.pop("attempt", 1)
    fidelity = changes.pop("fidelity", 0.95)
    ends = (End("l", 1, attempt, 0, 0), End("m", 1, attempt, 0, 1))
    given: dict[str, Any] = {
        "end_nodes": (left, right),
        "request": PRE_DISTRIBUTED,
        "created_ns": 0,
        "age_ns": 5_000_000,
        "fidelity": fidelity,
        "usage": PRE_DISTRIBUTED,
        "memories": (QubitId(left, 1, 0, 1), QubitId(right, 1, 0, 1)),
        "ends": ends,
        "frame": 0,
        "hops": 2,
        "state": to_walsh(werner(fidelity)),
    }
    return Entanglement(**(given | changes))


def line() -> Topology:
    nodes = [Node(name=name, position_km=(10.0 * index, 0.0)) for index, name in enumerate("ABCD")]
    return Topology.of(nodes, [link_between(a, b, 10.0) for a, b in pairwise(nodes)])


def test_own_and_predistributed_pairs_of_known_nodes_are_offered_the_best_first() -> None:
    rows = [
        row(attempt=1, fidelity=0.8),
        row(attempt=2, fidelity=0.9, request="r"),
        row(attempt=3, request="other"),
        row(attempt=4, request=None),
        row("B", "elsewhere", attempt=5),
        row(attempt=6, fidelity=0.45),
    ]
    found = stored_leaves(rows, line(), "r", Limits())
    assert [leaf.pair for leaf in found] == [pair_name(rows[1]), pair_name(rows[0])]
    assert found[0].state == pytest.approx(werner(0.9), abs=1e-12)
    assert (found[0].age_s, found[0].latency_s) == (0.005, 0.0)
    assert stored_leaves(rows, line(), "r", Limits(), reserved=(pair_name(rows[1]),)) == found[1:]


def test_a_life_ends_when_the_fidelity_is_what_the_request_asks_for() -> None:
    """Depolarising memories of 0.01/s at both ends: F(t) = 1/4 + (F - 1/4) exp(-0.02 t), in closed form."""
    (leaf,) = stored_leaves([row(fidelity=0.95)], line(), "r", Limits(fidelity=0.9, age_s=math.inf))
    assert leaf.life_s == pytest.approx(math.log(0.70 / 0.65) / 0.02, rel=1e-9)
    (leaf,) = stored_leaves([row(fidelity=0.95)], line(), "r", Limits(age_s=math.inf))
    assert leaf.life_s == pytest.approx(math.log(0.70 / 0.25) / 0.02, rel=1e-9)
    (leaf,) = stored_leaves([row(fidelity=0.95)], line(), "r", Limits(age_s=1.0))
    assert leaf.life_s == pytest.approx(0.995, rel=1e-12)
    assert stored_leaves([row(age_ns=2 * 10**9)], line(), "r", Limits(age_s=1.0)) == ()


def test_nothing_that_decays_and_no_limit_of_age_is_for_ever() -> None:
    assert life_of((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), 0.9, math.inf) == math.inf


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.floats(0.55, 1.0), st.floats(0.5, 0.95), st.integers(1, 10**4), st.integers(1, 10**4))
def test_at_the_end_of_its_life_the_ledger_gives_the_pair_that_fidelity(
    fidelity: float, floor: float, t1_ms: int, t2_share: int
) -> None:
    """Against the ledger's own integer decay with T1 and T2."""
    t1_ns = t1_ms * 1_000_000
    t2_ns = max(1, 2 * t1_ns * t2_share // 10**4)
    walsh = to_walsh(werner(fidelity))
    rates = decay_rates(t1_ns, t2_ns, None)
    per_s = tuple(2.0 * rate / 2**56 * 1e9 for rate in rates)
    life_s = life_of(eigenvalues(from_walsh(walsh)), per_s, floor, 100.0)  # type: ignore[arg-type]
    if fidelity <= floor + 1e-12:  # Walsh form and back costs some 1e-16
        assert life_s <= 1e-9
    elif life_s < 100.0:
        spent = decay(decay(walsh, rates, round(life_s * 1e9)), rates, round(life_s * 1e9))
        # The ledger counts whole nanoseconds: half of one at each memory, at the fastest rate.
        assert fidelity_of(spent) == pytest.approx(floor, abs=1e-9 * (1.0 + max(per_s)))


def test_a_plan_builds_on_a_row_of_the_ledger_and_two_plans_do_not_share_it() -> None:
    topology = line()
    residual = Residual(topology)
    found = stored_leaves([row("B", "D")], topology, "r", Limits())
    request = PairRequest(request="r", source="A", destination="D", stored=found)
    first = plan(residual, request, Options())
    assert [leaf for leaf in leaves(first.tree) if isinstance(leaf, StoredLeaf)] == list(found)
    assert 1e3 * first.latency_s == pytest.approx(19.1997, abs=5e-5)  # algorithms.md, section 3
    residual.claim("first", first.use)
    assert stored_leaves([row("B", "D")], topology, "s", Limits(), reserved=first.use.stored) == ()  # type: ignore[arg-type]
    with pytest.raises(NoPlan, match="is reserved already"):
        residual.claim("second", first.use)
