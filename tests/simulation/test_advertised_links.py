"""In virtual time: links measure themselves, tell planners, and plans rest on it.

Owns the proof that a plan made after some use of the links promises what they do, not what the lab file
believed. Chance: fixed seed; the tolerances are 4 standard errors (false alarms: 1 in 16 000 a comparison).
"""

from math import sqrt
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.core.effects import Report
from bellwire.core.events import RequestSubmitted
from bellwire.core.ids import NodeId
from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan
from bellwire.labs import load_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

SECOND = 1_000_000_000
BELIEVED = {"period_us": 100, "success_probability": 0.04, "fidelity": 0.96}
TRUE = {"success_probability": 0.02, "fidelity": 0.9}
LEARNING_S = 20


def lab_file(folder: Path) -> Path:
    """Two ways from a to z that look alike; the one over b is half as fast as believed, and worse."""
    links = {
        pair: {"nodes": list(pair), "attempt": BELIEVED, "lanes": 2, "test_share": 0.3}
        | ({"truth": TRUE} if "b" in pair else {})
        for pair in ("ab", "bz", "ac", "cz")
    }
    document: dict[str, Any] = {
        "lab": "two_ways",
        "nodes": {
            name: {
                "role": "end" if name in "az" else "repeater",
                "memory": {"t1_s": None, "t2_s": None, "bsm_duration_us": 0, "readout_fidelity": 1.0},
            }
            for name in "abcz"
        },
        "links": links,
        "classical": {"delay": "zero"},
    }
    path = folder / "two_ways.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


class Watched:
    """A virtual lab whose plans and reports are kept."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.lab = load_lab(path)
        self.plans: dict[str, RequestPlan] = {}
        self.reports: list[tuple[int, NodeId, Report]] = []
        self.host = VirtualHost(self.lab, seed, self._compute)
        self.host.reports.append(lambda now_ns, node, report: self.reports.append((now_ns, node, report)))
        self.host.start()

    def _compute(
        self, request: EntanglementRequest, version: int, circumstances: Circumstances
    ) -> RequestPlan | str:
        plan = compute_plan(self.lab.network, request, version, circumstances)
        if isinstance(plan, RequestPlan):
            self.plans.setdefault(request.request_id, plan)
        return plan

    def submit(self, at_s: float, name: str, duration_s: float, **terms: Any) -> None:
        request = EntanglementRequest(
            request_id=name, target_nodes=("a", "z"), duration_ns=round(duration_s * SECOND), **terms
        )
        self.host.tell_at(round(at_s * SECOND), "a", RequestSubmitted(request=request))

    def run(self, until_s: float) -> None:
        self.host.run(round(until_s * SECOND))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """The lab after a request has used the way over b, and later ones were planned."""
    found = Watched(lab_file(tmp_path_factory.mktemp("lab")), seed=7)
    found.submit(0, "first", LEARNING_S)
    found.submit(LEARNING_S + 1, "second", 0.5)
    found.submit(LEARNING_S + 2, "over b", 0.5, route=("a", "b", "z"))
    found.submit(LEARNING_S + 3, "good", 0.5, fidelity_threshold=0.9)
    found.run(LEARNING_S + 5)
    return found


def test_the_first_plan_rests_on_the_file_and_a_later_one_goes_the_way_that_is_better_as_measured(
    watched: Watched,
) -> None:
    first, second = watched.plans["first"], watched.plans["second"]
    assert first.nodes["a"].route == ("a", "b", "z")
    assert first.measured == ()
    assert second.nodes["a"].route == ("a", "c", "z")
    assert watched.plans["good"].nodes["a"].route == ("a", "c", "z")


def test_advertised_figures_agree_with_the_world_within_four_standard_errors(watched: Watched) -> None:
    machine = watched.host.machines["z"]
    assert isinstance(machine, QuantumNode)
    assert machine.advertised is not None
    heard = {link: one.advertised.figures[0] for link, one in machine.advertised.heard.items()}
    assert set(heard) == {"ab", "bz", "ac", "cz"}
    for link in ("ab", "bz"):
        figures = heard[link]
        assert figures.measured > 500
        assert abs(figures.success_probability - TRUE["success_probability"]) < 4 * figures.success_error
        assert abs(figures.fidelity - TRUE["fidelity"]) < 4 * figures.fidelity_error


def test_a_plan_over_measured_links_promises_their_true_rate(watched: Watched) -> None:
    plan = watched.plans["over b"]
    assert set(plan.measured) == {"ab", "bz"}
    by_truth = compute_plan(
        load_lab(_as_true(watched)).network,
        EntanglementRequest(
            request_id="t", target_nodes=("a", "z"), duration_ns=SECOND, route=("a", "b", "z")
        ),
        1,
    )
    assert isinstance(by_truth, RequestPlan)
    machine = watched.host.machines["z"]
    assert isinstance(machine, QuantumNode)
    assert machine.advertised is not None
    tests = min(machine.advertised.heard[link].advertised.figures[0].measured for link in ("ab", "bz"))
    # Of each link a relative error of 1/sqrt(tests), and 25 heralds of the file that are wrong by half.
    tolerance = 4 / sqrt(tests) + 25 / tests
    assert plan.rate_hz == pytest.approx(by_truth.rate_hz, rel=tolerance)
    assert tolerance < 0.25
    by_file = watched.plans["first"].rate_hz
    assert by_file > 1.7 * by_truth.rate_hz


def _as_true(watched: Watched) -> Path:
    """The lab file with the truth in place of what was believed."""
    document = yaml.safe_load(watched.path.read_text(encoding="utf-8"))
    for link in document["links"].values():
        link["attempt"] |= link.pop("truth", {})
    true = watched.path.with_name("true.yaml")
    true.write_text(yaml.safe_dump(document), encoding="utf-8")
    return true


def test_adverts_are_few_however_many_pairs_there_are(watched: Watched) -> None:
    told = [report for _, node, report in watched.reports if report.name == "link_advertised"]
    looks = LEARNING_S + 5
    by_link = {link: sum(report.fields["link"] == link for report in told) for link in ("ab", "bz")}
    assert all(3 <= count <= looks for count in by_link.values())
    # Errors shrink with the root of the time: most looks find nothing that moved by more than its error.
    assert sum(by_link.values()) <= looks


def test_the_same_seed_gives_the_same_adverts_and_plans(watched: Watched) -> None:
    again = Watched(watched.path, seed=7)
    again.submit(0, "first", LEARNING_S)
    again.run(5)
    until_ns = 5 * SECOND
    assert again.reports == [each for each in watched.reports if each[0] <= until_ns]
    assert again.plans["first"] == watched.plans["first"]
