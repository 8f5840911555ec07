"""Links that fade while a request runs, in virtual time with everything that really runs: what the ladder
does about it.

False alarms: a check rests on 100 pairs or more, so that its rate has a standard error of 10 % at most, and
rates lie 13 % or more from where an action would follow. The seeds are fixed.
"""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwire.core.effects import Report
from bellwire.core.ids import NodeId
from bellwire.core.settings import MonitorSettings
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs import Lab, LinkChange, Scenario, load_lab
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

RULES = MonitorSettings(samples_min=200, duration_min_ns=NS_PER_S)


def fading(
    *changes: LinkChange,
    rules: MonitorSettings = RULES,
    file: str = "lab_configs/fading_routes.yaml",
    **terms: Any,
) -> Lab:
    """The shipped lab, or one like it, with other changes of its links and other terms."""
    lab = load_lab(file)
    request = msgspec.structs.replace(lab.requests[0], **terms)
    network = msgspec.structs.replace(lab.network, monitor=rules)
    return replace(lab, network=network, requests=(request,), scenario=Scenario(link_changes=changes))


def change(link: str, at_s: float, success_factor: float, noise: float = 0.0) -> LinkChange:
    return LinkChange(link=link, at_ns=ns_from_s(at_s), success_factor=success_factor, noise=noise)


class Run:
    """A lab in virtual time, and what was reported of its one request at its source."""

    def __init__(self, lab: Lab, seed: int = 1) -> None:
        def compute(*asked: Any) -> Any:
            return compute_plan(lab.network, *asked)

        self.host = VirtualHost(lab, seed, compute)
        self.source = lab.requests[0].target_nodes[0]
        self.reports: list[tuple[float, Report]] = []
        self.host.reports.append(self._reported)
        self.host.start()

    def _reported(self, now_ns: int, node: NodeId, report: Report) -> None:
        if node == self.source and report.request is not None:
            self.reports.append((now_ns / NS_PER_S, report))

    def until(self, at_s: float) -> "Run":
        self.host.run(ns_from_s(at_s))
        return self

    def of(self, name: str) -> list[tuple[float, dict[str, Any]]]:
        return [(at_s, dict(report.fields)) for at_s, report in self.reports if report.name == name]

    @property
    def actions(self) -> list[str]:
        return [fields["action"] for _, fields in self.of("corrective_action")]

    @property
    def statuses(self) -> list[str]:
        return [fields["status"] for _, fields in self.of("request_status")]

    def rate_hz(self, from_s: float, to_s: float) -> float:
        """Settled pairs per second."""
        return sum(from_s < at_s <= to_s for at_s, _ in self.of("pair_settled")) / (to_s - from_s)

    def slots(self) -> Counter[str]:
        """States of all slots of all nodes."""
        return Counter(
            slot.state
            for machine in self.host.machines.values()
            if isinstance(machine, QuantumNode)
            for slot in machine.slots.slots()
        )

    def trees(self) -> list[str]:
        return [fields["tree"] for _, fields in self.of("plan_active")]


DIRECT, AROUND = "(alice bob)", "((alice relay) (relay bob))"


def test_a_route_that_fades_is_left_for_another_and_its_link_attempts_no_more() -> None:
    run = Run(fading(change("alice-bob", 6.0, 0.3), duration_ns=ns_from_s(60.0))).until(6.0)
    assert run.actions == []
    assert run.trees() == [DIRECT]
    run.until(20.0)
    assert run.actions == ["replan"]
    ((at_s, fields),) = run.of("corrective_action")
    assert 6.0 < at_s < 12.0
    assert fields["rate_hz"] < 0.95 * 85.0
    assert fields["reason"].endswith("pairs/s of 85 pairs/s wanted")
    assert run.trees() == [DIRECT, AROUND]
    assert run.rate_hz(15.0, 20.0) == pytest.approx(96.4, rel=0.15)  # 480 pairs: 3 standard errors
    alice = run.host.machines["alice"]
    assert isinstance(alice, QuantumNode)
    used = {slot.link for slot in alice.slots.slots() if slot.state != "free"}
    assert used == {"alice-relay"}
    assert set(run.statuses) == {"in_progress"}


def test_where_every_route_has_faded_the_request_sleeps_tries_once_more_and_fails() -> None:
    lab = fading(
        change("alice-bob", 3.0, 0.05), change("alice-relay", 3.0, 0.05), duration_ns=ns_from_s(600.0)
    )
    run = Run(lab).until(60.0)
    assert run.actions == ["replan", "adjust_rate", "adjust_rate", "suspend", "replan", "terminate"]
    at_s = [when for when, _ in run.of("corrective_action")]
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(at_s))
    assert at_s[4] - at_s[3] >= 11.0, "suspension and one window"
    pairs = [when for when, _ in run.of("pair_settled")]
    assert not [when for when in pairs if at_s[3] + 0.1 < when < at_s[3] + 10.0], (
        "nothing comes while it sleeps"
    )
    assert [status for status in run.statuses if status != "in_progress"] == ["suspended", "failed"]
    (_, last) = run.of("request_status")[-1]
    assert last["error_message"].endswith("after 5 corrective actions")
    assert last["generated_count"] == len(pairs)
    assert run.slots().keys() == {"free"}


def test_a_suspension_frees_the_lanes_and_stops_their_attempts_until_it_is_over() -> None:
    rules = msgspec.structs.replace(RULES, ladder=("suspend",))
    lab = fading(change("alice-bob", 3.0, 0.1), rules=rules, duration_ns=ns_from_s(600.0))
    run = Run(lab).until(3.0)
    assert run.slots()["free"] < run.slots().total()
    while run.actions != ["suspend"]:
        run.until(run.host.clock.now_ns / NS_PER_S + 0.1)
    asleep_s = run.host.clock.now_ns / NS_PER_S
    run.until(asleep_s + 1.0)
    assert run.slots().keys() == {"free"}
    assert not any(run.host.world.attempting(node) for node in lab.network.nodes)
    assert run.statuses[-1] == "suspended"
    run.until(asleep_s + 10.5)
    assert run.statuses[-1] == "in_progress"
    assert run.slots()["free"] < run.slots().total()


@pytest.mark.slow
def test_a_link_that_measures_itself_is_left_when_its_pairs_get_worse(tmp_path: Path) -> None:
    """Nobody is told that a third of its pairs are noise from 6 s on: test rounds notice, estimates follow,
    and the fidelity that was asked for is missed. 0.95 becomes 0.74; the way around has 0.88."""
    text = Path("lab_configs/fading_routes.yaml").read_text(encoding="utf-8")
    plain = "length_km: 5, attempt: {period_us: 1000, success_probability: 0.05,"
    tested = "test_share: 0.3, estimation: {drift: 0.1, false_alarm_tests: 1000}, "
    assert text.count(plain) == 1
    path = tmp_path / "noisy.yaml"
    path.write_text(text.replace(plain, tested + plain.replace("0.05", "0.09")), encoding="utf-8")
    terms = {"rate_threshold_hz": None, "fidelity_threshold": 0.86, "duration_ns": ns_from_s(60.0)}
    run = Run(fading(change("alice-bob", 6.0, 1.0, noise=0.3), file=str(path), **terms)).until(6.0)
    assert (run.actions, run.trees()) == ([], [DIRECT])
    run.until(25.0)
    assert run.actions == ["replan"]
    ((_, fields),) = run.of("corrective_action")
    assert fields["fidelity"] < 0.95 * 0.86
    assert fields["reason"].endswith("of fidelity 0.86 wanted")
    assert run.trees() == [DIRECT, AROUND]


STEEP = msgspec.structs.replace(RULES, change=0.4)
"""One step is larger than what chance does to a window."""


def on_one_link(*changes: LinkChange) -> Lab:
    """92 pairs/s where 85 are asked for, and no way around; 55 when the link has faded."""
    lasting_ns = ns_from_s(600.0)
    return fading(*changes, rules=STEEP, route=("alice", "bob"), duration_ns=lasting_ns)


def test_terms_come_back_when_the_link_has_recovered() -> None:
    run = Run(on_one_link(change("alice-bob", 3.0, 0.6), change("alice-bob", 14.0, 1.0))).until(14.0)
    assert run.actions == ["replan", "adjust_rate"]
    assert run.of("corrective_action")[-1][1]["rate_wanted_hz"] == pytest.approx(51.0)
    run.until(30.0)
    assert run.actions[2:] == ["adjust_rate", "adjust_rate"]
    raised = [fields for _, fields in run.of("corrective_action")[2:]]
    assert [fields["percent"] for fields in raised] == pytest.approx([40.0, 19.047619])
    assert raised[-1]["rate_wanted_hz"] == 85.0
    assert "has recovered" in raised[-1]["reason"]
    assert set(run.statuses) == {"in_progress"}


def test_a_source_that_restarts_goes_on_by_the_terms_it_had_reached() -> None:
    # With seed 1 the first second after the restart has 90 pairs instead of 60, and the terms are raised.
    run = Run(on_one_link(change("alice-bob", 3.0, 0.6)), seed=2).until(12.0)
    assert run.actions == ["replan", "adjust_rate"]
    run.host.crash("alice", ns_from_s(1.0))
    run.until(18.0)
    assert run.actions == ["replan", "adjust_rate"], "55 pairs/s are enough for what it makes do with"
    alice = run.host.machines["alice"]
    assert isinstance(alice, QuantumNode)
    assert alice.monitoring is not None
    standing = alice.monitoring.standings["stream"]
    assert standing.rate is not None
    assert standing.rate.now == pytest.approx(51.0)
    assert (standing.rate.conceded, standing.actions) == (True, 2)
