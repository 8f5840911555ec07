"""Requests of a lab that are planned at once, and several routes of one request, from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from bellwire.cli.asking_terms import request_of
from bellwire.cli.main import app
from bellwire.core.errors import ConfigError
from bellwire.core.plans import RequestPlan
from bellwire.labs import Lab, build_lab, load_lab
from bellwire.labs.models import LabFile
from bellwire.planner.executable_batches import level_plan, prepared, request_plans
from bellwire.planner.joint_plans import Objective, can_join, planner_for
from bellwire.planner.plans import IDLE, compute_plan
from tests.cli.test_asking import typed

MEMORY = {"bank": 8, "bsm_success_probability": 0.5, "t1_s": None, "t2_s": None}
LINKS = ("am", "mz", "an", "nz", "bn")


def document(**others: Any) -> dict[str, Any]:
    """a-z over m or n, b-z over n only; both requests want the links of n."""
    return {
        "lab": "two_ways",
        "nodes": {
            name: {"role": "end" if name in "abz" else "repeater", "memory": MEMORY} for name in "abmnz"
        },
        "links": {
            link: {
                "nodes": [*link],
                "length_km": 5.0,
                "attempt": {"period_us": 100, "success_probability": 0.01},
            }
            for link in LINKS
        },
        "requests": [
            {
                "id": name,
                "from": source,
                "to": "z",
                "mode": "fixed_tree",
                "duration_s": 100,
                "consumption": "measure",
            }
            for name, source in (("r1", "a"), ("r2", "b"))
        ],
        "limits": {"turn_ms": 0.0, "schedule_step_ms": 1.0},
        **others,
    }


def lab_of(file: dict[str, Any]) -> Lab:
    return build_lab(LabFile.model_validate_json(json.dumps(file)))


def level_plans(lab: Lab, objective: Objective) -> dict[str, RequestPlan]:
    return request_plans(lab.network, lab.requests, level_plan(lab.network, lab.requests, objective))


@pytest.fixture
def lab_file(tmp_path: Path) -> Path:
    path = tmp_path / "two_ways.yaml"
    path.write_text(yaml.safe_dump(document(), sort_keys=False), encoding="utf-8")
    return path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


def delivered(*words: str) -> dict[str, int]:
    result = run("simulate", *words, "--duration", "3", "--seed", "2", "--json")
    assert result.exit_code == 0, result.output
    return {name: one["delivered"] for name, one in json.loads(result.stdout)["requests"].items()}


def test_what_the_joint_plan_promises_is_delivered(lab_file: Path) -> None:
    """Less a tenth, and 4 standard errors of a Poisson count (as in simulation/test_executable_batches.py).
    r1 can go over m or n and r2 over n only, so each gets more than half of what n makes for one."""
    together = delivered(str(lab_file), "--together", "max_min")
    plans = level_plans(lab_of(document()), "max_min")
    assert {route for node in plans["r1"].nodes.values() for route in node.routes} >= {("a", "m", "z")}
    for name, plan in plans.items():
        promised = 3 * plan.rate_hz
        assert together[name] > 0.9 * promised - 4 * promised**0.5


def test_the_lab_file_says_the_same_as_the_option(lab_file: Path) -> None:
    option = delivered(str(lab_file), "--together", "total")
    lab_file.write_text(yaml.safe_dump(document(plan_together="total"), sort_keys=False), encoding="utf-8")
    assert delivered(str(lab_file)) == option


def test_check_shows_the_joint_plan(lab_file: Path) -> None:
    lab_file.write_text(yaml.safe_dump(document(plan_together="max_min"), sort_keys=False), encoding="utf-8")
    result = run("check", str(lab_file))
    assert result.exit_code == 0, result.output
    assert "r2 planned with the others: " in result.stdout
    shown = json.loads(run("check", str(lab_file), "--json").stdout)
    lab = load_lab(lab_file)
    for name, plan in level_plans(lab, "max_min").items():
        assert shown["requests"][name]["together"]["tree"] == plan.tree
        assert shown["requests"][name]["together"]["rate_hz"] == pytest.approx(plan.rate_hz)


def test_an_unknown_objective_is_refused_with_the_nearest_one(lab_file: Path) -> None:
    result = run("simulate", str(lab_file), "--together", "maxmin")
    assert result.exit_code == 2
    assert 'unknown objective of --together "maxmin"' in result.stderr
    assert '"max_min"' in result.stderr


def test_requests_with_terms_of_their_own_are_planned_for_themselves() -> None:
    file = document(plan_together="max_min")
    file["requests"][0] |= {"tree": "((a n) (n z))", "mode": "fixed_tree(links=full)"}
    lab = lab_of(file)
    own, other = lab.requests
    assert (can_join(own), can_join(other)) == (False, True)
    planner = planner_for(lab.network, lab.requests, lab.plan_together)
    assert planner(own, 1, IDLE) == compute_plan(lab.network, own, 1)
    plans = request_plans(lab.network, (other,), level_plan(lab.network, (other,), "max_min"))
    assert planner(other, 3, IDLE) == prepared(lab.network, plans)(other, 3, IDLE)


def test_a_request_over_several_routes_can_be_typed() -> None:
    lab = lab_of(document())
    asked = request_of(typed(source="a", target="z", routes_max=2), lab, "two")
    assert asked.routes_max == 2
    plan = compute_plan(lab.network, asked, 1)
    assert not isinstance(plan, str)
    assert {route for node in plan.nodes.values() for route in node.routes} == {
        ("a", "m", "z"),
        ("a", "n", "z"),
    }
    with pytest.raises(ConfigError, match="routes_max 2 does not go with a wanted rate"):
        request_of(typed(source="a", target="z", routes_max=2, rate_min_hz=1.0), lab, "two")
