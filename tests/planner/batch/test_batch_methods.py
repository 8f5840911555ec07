"""Batch methods by name: the table, entry points of other packages, and what each method can be told.

Owns the tests of batch/methods.py.
"""

from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from bellwire.core.errors import ConfigError
from bellwire.planner.batch import methods
from bellwire.planner.batch.batch_plan import BatchPlan
from bellwire.planner.batch.iterative import plan_batch
from bellwire.planner.batch.methods import (
    BATCH_METHODS,
    BatchChoice,
    batch_method_of,
    known_batch_methods,
    plan_many,
)
from bellwire.planner.capacity import NOTHING, NoPlan, Residual
from bellwire.planner.requests import Options, PairRequest
from tests.planner.batch.small_networks import T_LINK_S, diamond, line, overspent, two_hops_hz, wanted


def nothing_for_anybody(
    residual: Residual, requests: Sequence[PairRequest], choice: BatchChoice
) -> BatchPlan:
    """A method of another package."""
    return BatchPlan(method="nothing", objective=choice.objective or "none", shares=(), use=NOTHING)


@pytest.fixture
def another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    here = f"{__name__}:nothing_for_anybody"
    points = EntryPoints(
        EntryPoint(name, value, methods.ENTRY_POINTS)
        for name, value in (("nothing", here), ("iterative", "nowhere.at.all:never"))
    )
    monkeypatch.setattr(methods, "entry_points", lambda *, group: points.select(group=group))


@pytest.mark.parametrize("name", sorted(BATCH_METHODS))
def test_every_name_of_the_table_leads_to_a_method_that_plans(name: str) -> None:
    found = plan_many(Residual(line(10.0)), [wanted("r", "A", "B", rate_hz=50.0)], name)
    assert found.method.split()[0] == name
    assert found.total_rate_hz == pytest.approx(50.0, rel=1e-6)


def test_the_default_is_iterative_and_maximises_the_total() -> None:
    asked = [wanted("one", "A", "B"), wanted("two", "A", "B")]
    assert plan_many(Residual(line(10.0)), asked) == plan_batch(Residual(line(10.0)), asked, "total")


@pytest.mark.parametrize("objective", ["total", "fair", "priority"])
def test_what_is_told_to_the_iterative_method_reaches_it(objective: str) -> None:
    heard: list[str] = []
    choice = BatchChoice(
        objective=objective,
        single_method={"two": "balanced"},
        options=Options(avoid=frozenset({"S"})),
        trees_max={"one": 1},
        told=heard.append,
    )
    asked = [wanted("one", "A", "B", rate_hz=10.0), wanted("two", "A", "B", rate_hz=5.0)]
    found = plan_many(Residual(diamond()), asked, "iterative", choice)
    assert found.objective == objective
    assert [share.trees[0].method for share in found.shares] == ["dp", "balanced"]
    assert "S" not in found.use.memories
    assert sorted(heard) == ["tree 1, of one", "tree 2, of two"]


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_what_is_told_to_the_programme_reaches_it(solver: str) -> None:
    """Of one link both get half under max_min; the total does not care who gets it."""
    heard: list[str] = []
    asked = [wanted("one", "A", "B"), wanted("two", "A", "B")]
    choice = BatchChoice(objective="max_min", solver=solver, told=heard.append)
    found = plan_many(Residual(line(10.0)), asked, "levels", choice)
    assert found.objective == "max_min"
    assert solver in found.method
    assert [share.rate_hz for share in found.shares] == pytest.approx([1.0 / T_LINK_S] * 2, rel=1e-6)
    assert heard[0] == "graph"


def test_who_gets_nothing_is_listed_when_that_is_allowed() -> None:
    asked = [wanted("one", "A", "C"), wanted("two", "A", "C")]
    topology = line(10.0, 10.0)
    with pytest.raises(NoPlan, match="request two: beside the other requests it gets nothing"):
        plan_many(Residual(topology), asked, "iterative", BatchChoice(objective="fair"))
    choice = BatchChoice(objective="fair", allow_unserved=True)
    found = plan_many(Residual(topology), asked, "iterative", choice)
    assert list(found.unserved) == ["two"]
    assert found.total_rate_hz == pytest.approx(two_hops_hz(), rel=1e-9)
    assert overspent(topology, [tree for share in found.shares for tree in share.trees]) == []


@pytest.mark.parametrize(
    ("method", "choice", "words"),
    [
        ("iterate", BatchChoice(), 'unknown batch method "iterate" .*"iterative"'),
        ("iterative", BatchChoice(objective="max_min"), 'unknown objective of method iterative "max_min"'),
        ("levels", BatchChoice(objective="fair"), 'unknown objective of method levels "fair"'),
        ("levels", BatchChoice(solver="hihgs"), 'unknown solver "hihgs" .*"highs"'),
        ("iterative", BatchChoice(single_method="bellman"), 'unknown planning method "bellman"'),
        ("levels", BatchChoice(options=Options(avoid=frozenset({"Q"}))), 'unknown node "Q"'),
    ],
)
def test_a_wrong_name_is_one_sentence_with_the_nearest_right_one(
    method: str, choice: BatchChoice, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        plan_many(Residual(line(10.0)), [wanted("r", "A", "B")], method, choice)


@pytest.mark.usefixtures("another_package")
def test_another_package_adds_a_method_and_cannot_take_a_name_of_the_table() -> None:
    assert known_batch_methods()["iterative"] == BATCH_METHODS["iterative"]
    assert "nothing" in known_batch_methods()
    assert batch_method_of("nothing")(Residual(line(10.0)), [], BatchChoice()).method == "nothing"
    assert plan_many(Residual(line(10.0)), [wanted("r", "A", "B")]).method == "iterative dp"
