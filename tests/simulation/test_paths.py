"""The four ways to compute paths, on the real machines in virtual time, with the rules of soak watching."""

from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from bellwire.core.effects import Report
from bellwire.core.events import RequestSubmitted
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost
from bellwire.simulator_backend.simulation import Observer
from bellwire.soak.histories import Case, play_on
from tests.planner.test_paths import ring_document

WAYS = ("proactive", "virtual", "opportunistic", "reactive")
SECONDS = 1.0


def asking(way: str, requests: int = 1, *, store: tuple[str, str] = ("b", "d"), **terms: Any) -> Lab:
    """The ring with requests from a to d and back, whose paths are computed in one way."""
    stores: dict[str, Any] = {"mode": "continuous", "age_max_s": 0.5}
    stores |= {"super_links": (store,)} if way == "virtual" else {"every_link": True}
    document = ring_document({} if way == "proactive" else stores)
    document["requests"] = tuple(
        {"id": f"r{n}", "from": "ad"[n % 2], "to": "da"[n % 2], "paths": way, "duration_s": SECONDS} | terms
        for n in range(requests)
    )
    return build_lab(LabFile.model_validate(document))


@pytest.mark.parametrize("way", WAYS)
def test_requests_that_share_all_links_are_served_and_no_rule_is_broken(way: str) -> None:
    """Rules: no slot in two live pairs, equal pairs and frames at both ends, no pair past its cutoff, the
    ledger as the World has it, one report for each request."""
    told = play_on(asking(way, 3), (), Case(seed=5, profile="calm", until_s=2.0))
    assert told.rule is None, told.problem
    assert told.statuses == {"completed": 3}
    assert told.delivered >= 60


def test_only_a_reactive_request_leaves_the_planned_route_while_a_link_is_dark() -> None:
    """bc gives nothing and nobody says so. The pairs of 1 s over x and y are those of links of 100 pairs a
    second and lane; ten are delivered by a network that finds the way at all."""
    served: dict[str, int] = {}
    for way in ("proactive", "opportunistic", "reactive"):
        lab = asking(way)
        host = VirtualHost(lab, 3, partial(compute_plan, lab.network))
        observer = Observer(host)
        routes: set[str] = set()

        def seen(now_ns: int, node: str, report: Report, routes: set[str] = routes) -> None:
            if report.name == "plan_installed" and node == "a" and report.request == "r0":
                routes.add(str(report.fields["route"]))

        host.reports.append(seen)
        host.change_link_at(1, "bc", success_probability=1e-9)
        host.start()
        host.run(ns_from_s(SECONDS + 0.2))
        served[way] = len(observer.outcomes["r0"].delivered_ns)
        assert ("a x y d" in routes) == (way == "reactive")
    assert served["proactive"] == served["opportunistic"] == 0
    assert served["reactive"] >= 10


def waits_s(way: str, seed: int = 6) -> list[float]:
    """How long requests for one pair wait, each of an idle network: eight of them, half a second apart."""
    lab = asking(way, store=("a", "d"), count=1, duration_s=None)
    (asked,) = lab.requests
    host = VirtualHost(replace(lab, requests=()), seed, partial(compute_plan, lab.network))
    begun: dict[str, int] = {}
    delivered: dict[str, int] = {}

    def seen(now_ns: int, node: str, report: Report) -> None:
        if report.name == "pair_delivered" and node == "a" and report.request is not None:
            delivered.setdefault(report.request, now_ns)

    host.reports.append(seen)
    host.start()
    for number in range(1, 9):
        request = msgspec.structs.replace(asked, request_id=f"visit{number}")
        begun[request.request_id] = ns_from_s(number / 2)
        host.tell_at(begun[request.request_id], "a", RequestSubmitted(request=request))
    host.run(ns_from_s(5.0))
    assert delivered.keys() == begun.keys()
    return [(delivered[name] - at_ns) / NS_PER_S for name, at_ns in begun.items()]


def test_a_network_at_rest_serves_sooner_from_what_it_keeps() -> None:
    """Links make a pair in 5 ms (two lanes of 100/s), so three of them take 9 ms without a failed swap, and
    the two swaps succeed together in 0.64 of the cases. A pair that is there takes words only; three that are
    there take words and swaps, and are used up by a failed one. Fixed seed."""
    proactive = sum(waits_s("proactive"))
    assert 2.0 * sum(waits_s("virtual")) < proactive
    assert sum(waits_s("reactive")) < proactive


def test_wishes_of_a_reactive_request_are_open_again_with_every_path() -> None:
    lab = asking("reactive", count=20, duration_s=None)
    host = VirtualHost(lab, 8, partial(compute_plan, lab.network))
    observer = Observer(host)
    host.start()
    host.run(ns_from_s(2.0))
    outcome = observer.outcomes["r0"]
    assert outcome.status == "completed"
    assert outcome.frame_errors == 0
