"""Requests that cross at nodes with full banks, and requests over several routes, in virtual time.

No stall. Two requests go over the same two links and three nodes, in opposite directions, with as many
memories at each node as there are sides: 4. Progress of a request is a Bell measurement at any node, or a
delivery. Between two of them lies no more than

    bound = limit + waits + words

limit: after so long an adaptive policy gives up whatever it did not swap, 2 T_root (algorithms.md 8.4); trees
and swapping at once wait for nothing but links, 0. waits: every side has a memory whatever others hold, so
all links that are needed attempt at the same time; one of two requests has half of the frames of a link, and
the longest of n waits of mean w is below w ln(n / e) but for the probability e. n: 4 links at each progress
made; e = 1e-4 (of each run; seeds are fixed). words: the frame that a link is in, and the news of a failed
swap or a freed memory, at most 5 ms here. Before every side had a memory, all of these runs of trees and of
swapping at once stood still for ever within 50 ms.
"""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from math import log, sqrt
from typing import Any, Final

import msgspec
import pytest

from bellwire.core.effects import Effect, MeasureBell, Report
from bellwire.core.events import Event
from bellwire.core.ids import RequestId
from bellwire.core.units import NS_PER_S
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import choose_route, compute_plan
from bellwire.simulator_backend.host import VirtualHost

POLICIES: Final = (
    "swap_asap",
    "fixed_tree",
    "fixed_tree(links=full)",
    "oldest",
    "youngest",
    "longest_hop",
    "shortest_hop",
    "score",
    "score(form=A)",
    "score(form=B)",
    "score(form=B')",
)
LINK_S: Final = 1e-3
"""Mean time of a link pair at full speed."""

LINKS: Final = (("a", "m"), ("c", "m"), ("m", "n"), ("n", "o"), ("o", "b"), ("o", "d"))
WORDS_S: Final = 5e-3
FALSE_ALARM: Final = 1e-4


def crossing(mode: str, bank: int) -> Lab:
    """r1 goes from a to b, r2 from d to c, both through m, n and o."""
    memory = {
        "bank": bank,
        "bsm_success_probability": 0.5,
        "bsm_duration_us": 10.0,
        "t1_s": None,
        "t2_s": None,
    }
    attempt = {"period_us": 100, "success_probability": 0.1}
    return _lab(
        {name: {"role": "end" if name in "abcd" else "repeater", "memory": memory} for name in "abcdmno"},
        {f"{a}-{b}": {"nodes": (a, b), "length_km": 5.0, "attempt": attempt} for a, b in LINKS},
        [
            {"id": "r1", "from": "a", "to": "b", "mode": mode},
            {"id": "r2", "from": "d", "to": "c", "mode": mode},
        ],
    )


def _lab(nodes: dict[str, Any], links: dict[str, Any], requests: list[dict[str, Any]]) -> Lab:
    return build_lab(
        LabFile.model_validate(
            {
                "lab": "crossing",
                "nodes": nodes,
                "links": links,
                "requests": tuple({"duration_s": 1e4, "consumption": "measure", **one} for one in requests),
                "limits": {"turn_ms": 0.0, "schedule_step_ms": 1.0},
            }
        )
    )


class Progress:
    """A lab that runs, with the times at which each request came a step further."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.times_ns: dict[RequestId, list[int]] = {request.request_id: [] for request in lab.requests}
        self.delivered = dict.fromkeys(self.times_ns, 0)
        self.host = VirtualHost(lab, seed, partial(compute_plan, lab.network), watch=self._watch)
        self.host.reports.append(self._listen)
        self.host.start()

    def _watch(self, now_ns: int, node: str, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, MeasureBell):
                machine = self.host.machines[node]
                assert isinstance(machine, QuantumNode)
                request = machine.slots.slot(effect.left_slot).request
                assert request is not None
                self.times_ns[request].append(now_ns)

    def _listen(self, now_ns: int, node: str, report: Report) -> None:
        if report.name == "pair_delivered" and report.fields["role"] == "head":
            assert report.request is not None
            self.delivered[report.request] += 1
            self.times_ns[report.request].append(now_ns)

    def longest_s(self, request: RequestId, end_ns: int) -> float:
        """Longest time without a step, from the first one to the end of the run."""
        times_ns = [*self.times_ns[request], end_ns]
        return max(later - earlier for earlier, later in pairwise(times_ns)) / NS_PER_S


def bound_s(lab: Lab, request: int, steps: int) -> float:
    """The longest time without a step, as derived above."""
    mode = lab.requests[request].generation_mode
    route = choose_route(lab.network, lab.requests[request])
    assert not isinstance(route, str), route
    waits = mode == "swap_asap" or mode.startswith("fixed_tree")
    limit_s = 0.0 if waits else 2.0 * route.tree.latency_s
    return limit_s + 2.0 * LINK_S * log(route.hops * steps / FALSE_ALARM) + WORDS_S


def check_no_stall(mode: str, bank: int, seed: int, end_ns: int) -> None:
    lab = crossing(mode, bank)
    run = Progress(lab, seed)
    run.host.run(end_ns)
    for number, (request, times_ns) in enumerate(run.times_ns.items()):
        assert len(times_ns) > end_ns / NS_PER_S / (4 * LINK_S), (mode, request)
        assert run.longest_s(request, end_ns) <= bound_s(lab, number, len(times_ns)), (mode, request)
        assert run.delivered[request] > 0


@pytest.mark.parametrize("mode", POLICIES)
def test_requests_that_cross_in_full_banks_never_stand_still(mode: str) -> None:
    check_no_stall(mode, bank=4, seed=1, end_ns=NS_PER_S // 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 7))
@pytest.mark.parametrize("bank", [4, 5, 6])
@pytest.mark.parametrize("mode", POLICIES)
def test_requests_that_cross_never_stand_still_whatever_the_seed(mode: str, bank: int, seed: int) -> None:
    check_no_stall(mode, bank, seed, end_ns=2 * NS_PER_S)


def test_a_request_for_which_a_node_has_no_memories_is_refused_and_others_go_on() -> None:
    run = Progress(crossing("swap_asap", bank=3), seed=1)
    run.host.run(6 * NS_PER_S)  # both were refused somewhere, and the first to come again is taken
    assert sorted(count > 0 for count in run.delivered.values()) == [False, True]
    assert max(run.delivered.values()) > 100


# ---- several routes for one request


def diamond(routes_max: int, mode: str) -> Lab:
    """Two hops from a to z over m, and as many over n; each node has a bank of 4."""
    memory = {"bank": 4, "bsm_success_probability": 0.5, "t1_s": None, "t2_s": None, "bsm_duration_us": 10.0}
    attempt = {"period_us": 100, "success_probability": 0.05}
    lab = _lab(
        {name: {"role": "end" if name in "az" else "repeater", "memory": memory} for name in "amnz"},
        {
            f"{a}{b}": {"nodes": (a, b), "length_km": 5.0, "attempt": attempt}
            for a, b in ("am", "mz", "an", "nz")
        },
        [{"id": "r", "from": "a", "to": "z", "mode": mode, "routes_max": routes_max}],
    )
    assert lab.requests[0].routes_max == routes_max
    return lab


@pytest.mark.parametrize("mode", ["swap_asap", "score", "fixed_tree(links=full)"])
def test_two_equal_routes_deliver_twice_what_one_does(mode: str) -> None:
    """Counts of two runs of 2 s, about 250 and 500: 2 n1 and n2 agree within 4 standard errors of Poisson
    counts, which deliveries are more regular than (false alarm below 1e-4). The ends have 4 memories, so
    pairs of one route hardly ever keep the other one waiting."""
    counts: list[int] = []
    for routes_max in (1, 2):
        run = Progress(diamond(routes_max, mode), seed=3)
        run.host.run(2 * NS_PER_S)
        counts.append(run.delivered["r"])
    one, two = counts
    assert one > 200
    assert abs(two - 2 * one) <= 4.0 * sqrt(two + 4 * one)


def test_pairs_of_all_routes_carry_right_frames_and_leave_nothing_behind() -> None:
    lab = diamond(2, "swap_asap")
    requests = tuple(msgspec.structs.replace(one, count=200) for one in lab.requests)
    run = Progress(replace(lab, requests=requests), seed=4)
    run.host.run(10 * NS_PER_S)
    assert run.delivered["r"] == 200
    for machine in run.host.machines.values():
        assert isinstance(machine, QuantumNode)
        assert all(slot.state == "free" for slot in machine.slots.slots())
