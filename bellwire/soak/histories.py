"""One history: a lab and its faults by one seed, run to the end and beyond, and what came of it.

Owns the length of a history and its verdict. Refuses the rules themselves (rules.py, endings.py). Everything
follows from the seed and the profile, whatever PYTHONHASHSEED says: the same history has the same digest.
"""

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

from bellwire.core.ids import NodeId, RequestId
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.simulation import Observer
from bellwire.soak.convergence import Convergence
from bellwire.soak.endings import check_end
from bellwire.soak.faults import CALM_NS, ClockStep, Fault, draw_faults
from bellwire.soak.monitor_rules import MonitorRules
from bellwire.soak.networks import draw_lab
from bellwire.soak.rules import Broken, Invariants
from bellwire.soak.troubled_host import TroubledHost

WATCHED_S: Final = 10.0
"""A history as it is counted."""
DRAIN_S: Final = 9.0
"""Nothing is asked for any more; every lease, doubt and offer has lapsed afterwards."""
DEAD_FOR_NS: Final = NS_PER_S
"""After all faults are over a dead qubit is held no longer: news come within two heartbeats."""
FINAL: Final = ("completed", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is run. Without `faults` those that the seed draws; a shrunk case names its own."""

    seed: int
    profile: str
    faults: tuple[Fault, ...] | None = None
    until_s: float = WATCHED_S


@dataclass(slots=True, kw_only=True)
class Told:
    """What came of a history, ready for JSON."""

    seed: int
    nodes: int
    delivered: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    events: int = 0
    digest: str = ""
    rule: str | None = None  # that was broken
    problem: str = ""


def drawn(case: Case) -> tuple[Lab, tuple[Fault, ...]]:
    """The lab and the faults of a case."""
    chance = Random(case.seed)
    lab = draw_lab(chance)
    faults = draw_faults(chance, lab, case.profile)
    return lab, faults if case.faults is None else case.faults


class Statuses:
    """Final reports of requests, as their sources gave them."""

    def __init__(self) -> None:
        self.ended: dict[RequestId, list[tuple[NodeId, str, int]]] = {}

    def __call__(self, now_ns: int, node: NodeId, report: Any) -> None:
        if report.name == "request_status" and report.fields["status"] in FINAL:
            told = (node, str(report.fields["status"]), int(report.fields["generated_count"]))
            self.ended.setdefault(report.request, []).append(told)


def play(case: Case) -> Told:
    """Run a case. A rule that breaks is told, and so is every exception: neither is raised."""
    return play_on(*drawn(case), case)


def play_on(lab: Lab, faults: tuple[Fault, ...], case: Case) -> Told:
    """Run a lab with these faults, whatever the seed of the case would draw: it is the World's seed."""
    told = Told(seed=case.seed, nodes=len(lab.network.nodes))
    rules = Invariants(dead_for_ns=DEAD_FOR_NS, calm_ns=CALM_NS, facts_sent=True)
    host = TroubledHost(lab, case.seed, partial(compute_plan, lab.network), faults, watch=rules)
    rules.attach(host)
    rules.follow_clocks(host.own_time)
    host.on_clock_set.append(rules.rescheduled)
    host.on_resumed.append(rules.excuse)
    observer, statuses = Observer(host), Statuses()
    host.reports.append(statuses)
    converged = Convergence(host, faults)
    monitored = MonitorRules(lab.network.monitor, {one.node for one in faults if isinstance(one, ClockStep)})
    host.reports.append(monitored)
    host.on_restarted.append(monitored.restarted)
    try:
        host.start()
        host.run(round(case.until_s * NS_PER_S))
        told.delivered = sum(len(one.delivered_ns) for one in observer.outcomes.values())
        host.run(round((case.until_s + DRAIN_S) * NS_PER_S))
        rules.finish()
        told.counts["convergences checked"] = converged.checked
        at_rest = check_end(host, observer, statuses.ended, whole=case.until_s >= WATCHED_S)
        told.counts["ends at rest"] = int(at_rest)
    except Broken as broken:
        told.rule, told.problem = broken.rule, str(broken)
    except Exception as problem:
        # A machine that gives up is a finding like any other, not the end of the run.
        told.rule = type(problem).__name__
        told.problem = (
            f"{told.rule}: {problem} at {host.clock.now_ns / NS_PER_S:.6f} s\n{_last_lines(problem)}"
        )
    told.fired = dict(_fired(host))
    told.counts |= dict(rules.counts) | dict(monitored.counts)
    told.peaks = dict(rules.peaks)
    told.statuses = dict(Counter(status for ends in statuses.ended.values() for _, status, _ in ends))
    told.events = host.events
    told.digest = host.digest.hexdigest()
    return told


def _fired(host: TroubledHost) -> Counter[str]:
    fired = Counter(host.fired)
    post = host.post
    for name, number in (
        ("message lost", post.lost),
        ("message doubled", post.duplicated),
        ("message cut off", post.cut),
    ):
        if number:
            fired[name] += number
    return fired


def _last_lines(problem: Exception) -> str:
    return "".join(traceback.format_tb(problem.__traceback__)[-4:])


def described(faults: Sequence[Fault]) -> list[str]:
    """One line a fault."""
    return [str(fault) for fault in faults]
