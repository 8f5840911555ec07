"""An end node relays for others where the lab says so, and only there."""

from pathlib import Path

import pytest

from bellwire.core.plans import EntanglementRequest
from bellwire.labs import load_lab
from bellwire.labs.lab import Lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.simulation import simulate

LAB = """
lab: relaying_ends
nodes:
  a: {{role: end}}
  b: {{role: end{relays}}}
  c: {{role: end}}
links:
  a-b: {{nodes: [a, b], attempt: {{period_us: 100, success_probability: 0.01}}}}
  b-c: {{nodes: [b, c], attempt: {{period_us: 100, success_probability: 0.01}}}}
requests:
  - {{id: far, from: a, to: c, duration_s: 10, consumption: measure}}
  - {{id: near, from: b, to: c, duration_s: 10, consumption: measure}}
"""


def lab(folder: Path, relays: str) -> Lab:
    path = folder / "lab.yaml"
    path.write_text(LAB.format(relays=relays), encoding="utf-8")
    return load_lab(path)


def asked(built: Lab) -> EntanglementRequest:
    return built.requests[0]


@pytest.mark.parametrize("relays", ["", ", relays: false"])
def test_no_plan_goes_through_an_end_node_that_does_not_relay(tmp_path: Path, relays: str) -> None:
    built = lab(tmp_path, relays)
    assert compute_plan(built.network, asked(built), 1) == "no route between a and c"


def test_an_end_node_that_relays_serves_others_and_itself_at_once(tmp_path: Path) -> None:
    built = lab(tmp_path, ", relays: true")
    outcome = simulate(built, 3.0, 1)["requests"]
    assert all(outcome[name]["delivered"] > 20 for name in ("far", "near"))
    assert all(outcome[name]["frame_errors"] == 0 for name in ("far", "near"))


def test_a_repeater_that_is_said_not_to_relay_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    text = LAB.format(relays=", relays: false").replace("b: {role: end", "b: {role: repeater")
    path.write_text(
        text.replace("- {id: near, from: b, to: c", "- {id: near, from: c, to: a"), encoding="utf-8"
    )
    built = load_lab(path)
    assert compute_plan(built.network, asked(built), 1) == "no route between a and c"
