"""Links that share a memory bank or an emitter, in virtual time with all machines and fibre delays.

Shares: of all heralds of a hub's links, each link's part is its part of the granted time, within 4 binomial
standard errors (each pair is followed by a wait, so counts spread less than binomial ones; two-sided false
alarm below 6e-5 each). Rates: between two heralds of a lane lie 1/p attempts that were granted and made, in
the mean within 4 standard errors of the geometric law, and at most DEAD_ATTEMPTS that were granted but not
made, while the pair was told, measured and its memory told free. About 1200 heralds a case, fixed seeds.
"""

from collections import Counter
from functools import partial
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest

from bellwire.core.effects import Effect, Report
from bellwire.core.events import Event, StationHeralded
from bellwire.core.settings import LinkSettings
from bellwire.core.units import NS_PER_S
from bellwire.labs import Crash, Lab, Scenario, build_lab
from bellwire.labs.models import LabFile
from bellwire.link_layer.link_end import LinkEnd
from bellwire.link_layer.turns import decision_ns
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.host import VirtualHost

SETTLED_NS = 3 * NS_PER_S
DEAD_ATTEMPTS = 8
SIGMAS = 4.0


def lab_of(
    memory: dict[str, Any], links: dict[str, tuple[str, str]], requests: list[dict[str, Any]], **keys: Any
) -> Lab:
    """Links of twice 5 km through a station each; `memory` is that of every node called hub."""
    names = dict.fromkeys(node for nodes in links.values() for node in nodes)
    inner = keys.pop("repeaters", ())
    optional = {"lanes": keys.pop("lanes", 1), "test_share": keys.pop("test_share", 0.0)}
    return build_lab(
        LabFile.model_validate(
            {
                "lab": "shared",
                "nodes": {
                    name: {
                        "role": "repeater" if name in inner else "end",
                        "memory": memory if name.startswith("hub") else {},
                    }
                    for name in names
                },
                "stations": {f"s-{link}": {} for link in links},
                "links": {
                    link: {"nodes": nodes, "station": f"s-{link}", "fibre_km": (5.0, 5.0), **optional}
                    for link, nodes in links.items()
                },
                "requests": tuple({"duration_s": 1e5, "consumption": "measure"} | one for one in requests),
                **keys,
            }
        )
    )


STAR = {"l0": ("n0", "hub"), "l1": ("hub", "n1"), "l2": ("n2", "hub")}


def star_requests(*weights: int) -> list[dict[str, Any]]:
    """One request a link, its source at side 0."""
    return [
        {"id": f"r{number}", "from": nodes[0], "to": nodes[1], "weight": weight}
        for number, (nodes, weight) in enumerate(zip(STAR.values(), weights, strict=True))
    ]


class Watched:
    """A lab that runs, with the attempts of its heralds and what was reported."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.heralds: dict[str, list[int]] = {link: [] for link in lab.network.links}
        self.reports: Counter[tuple[str, str]] = Counter()
        self.host = VirtualHost(lab, seed, partial(compute_plan, lab.network), watch=self._watch)
        self.host.reports.append(self._listen)
        self.host.start()

    def _watch(self, now_ns: int, node: str, event: Event, effects: list[Effect]) -> None:
        if isinstance(event, StationHeralded):
            self.heralds[event.link].append(event.attempt)

    def _listen(self, now_ns: int, node: str, report: Report) -> None:
        self.reports[node, report.name] += 1

    def ends(self) -> list[LinkEnd]:
        machines = [one for one in self.host.machines.values() if isinstance(one, QuantumNode)]
        return [end for machine in machines for end in machine.links.ends.values()]

    def side_0(self, link: str) -> LinkEnd:
        return next(end for end in self.ends() if end.settings.link == link and end.side == 0)

    def counted(self, counter: str) -> int:
        return sum(end.counters[counter] for end in self.ends())


def granted_attempts(link: LinkSettings, granted: tuple[int, ...], epoch_ns: int, last: int) -> Any:
    """True for each attempt that starts and is decided in granted turns (a decision is shorter than one)."""
    own = np.isin(np.arange(link.turns), granted)
    starts_ns = epoch_ns + np.arange(last + 1, dtype=np.int64) * link.period_ns
    ends_ns = starts_ns + decision_ns(link) - 1
    return own[starts_ns // link.turn_ns % link.turns] & own[ends_ns // link.turn_ns % link.turns]


@pytest.mark.parametrize(
    ("memory", "weights", "grants"),
    [
        ({"emitters": 1}, (1, 1, 1), (4, 4, 4)),
        ({"bank": 2}, (1, 2, 1), (3, 6, 3)),
        ({"bank": 3, "emitters": 1}, (3, 2, 1), (6, 4, 2)),
    ],
    ids=["one emitter", "bank of two", "bank of three, one emitter"],
)
def test_rates_of_three_links_of_a_hub_follow_their_shares(
    memory: dict[str, Any], weights: tuple[int, int, int], grants: tuple[int, int, int]
) -> None:
    run = Watched(lab_of(memory, STAR, star_requests(*weights)), seed=3)
    run.host.run(SETTLED_NS)
    turns = {link: run.side_0(link).book.windows[-1].granted for link in STAR}
    assert tuple(len(granted) for granted in turns.values()) == grants
    before = {link: len(told) for link, told in run.heralds.items()}
    run.host.run(SETTLED_NS + 10 * NS_PER_S)

    made = {link: run.heralds[link][before[link] :] for link in STAR}
    whole = sum(map(len, made.values()))
    duties = {link: run.side_0(link).duty() for link in STAR}
    for link, told in made.items():
        assert run.side_0(link).book.windows[-1].granted == turns[link]  # nothing changed meanwhile
        share = duties[link] / sum(duties.values())
        assert abs(len(told) / whole - share) <= SIGMAS * sqrt(share * (1 - share) / whole)

        settings = run.lab.network.links[link]
        own = granted_attempts(settings, turns[link], run.side_0(link).book.epoch_ns, told[-1])
        assert own[told].all()  # never outside its turns
        counts = np.cumsum(own)
        gaps = [int(counts[later] - counts[earlier]) for earlier, later in pairwise(told)]
        p = settings.success_probability
        error = SIGMAS * sqrt(1 - p) / p / sqrt(len(gaps))
        assert 1 / p - error <= np.mean(gaps) <= 1 / p + DEAD_ATTEMPTS + error
        assert duties[link] == pytest.approx(own.mean(), abs=0.01)
    assert run.counted("unusable") == run.counted("unknown") == run.counted("given_up") == 0


def test_several_lanes_share_a_bank_and_no_herald_is_lost_between_turns() -> None:
    run = Watched(lab_of({"bank": 4}, STAR, star_requests(1, 1, 1), lanes=2), seed=4)
    run.host.run(6 * NS_PER_S)
    assert min(map(len, run.heralds.values())) > 300
    assert run.counted("unusable") == run.counted("unknown") == 0


@pytest.mark.parametrize("memory", [{"bank": 2}, {"emitters": 1}], ids=["bank", "emitter"])
def test_turns_do_not_bend_what_a_link_learns_of_its_success_probability(memory: dict[str, Any]) -> None:
    """A turn has 45 attempts, a pair takes 128: waits that count from the beginning of a turn would give more
    than twice the truth. About 800 waits, all three links together within 4 standard errors."""
    limits = {"turn_ms": 3.0, "turn_guard_ms": 0.25}
    lab = lab_of(memory, STAR, star_requests(1, 1, 1), test_share=0.5, limits=limits)
    run = Watched(lab, seed=9)
    run.host.run(13 * NS_PER_S)
    figures = [run.side_0(link).figures()[0] for link in STAR]
    truth = lab.network.links["l0"].success_probability
    whole = sum(each.measured for each in figures)
    assert whole > 700
    mean = sum(each.success_probability * each.measured for each in figures) / whole
    assert abs(mean - truth) <= SIGMAS * truth * sqrt((1 - truth) / whole)


CHAIN = {"one": ("ann", "hub-1"), "two": ("hub-1", "hub-2"), "three": ("hub-2", "bob")}


@pytest.mark.parametrize("memory", [{"bank": 2}, {"bank": 3, "emitters": 1}, {"emitters": 1}])
def test_repeaters_with_one_bank_for_both_sides_swap_without_waiting_for_ever(memory: dict[str, Any]) -> None:
    """Pairs of one link must not fill the bank: both sides of a swap need a memory of it."""
    request = {"id": "far", "from": "ann", "to": "bob"}
    run = Watched(lab_of(memory, CHAIN, [request], repeaters=("hub-1", "hub-2"), lanes=2), seed=5)
    delivered: list[int] = []
    for second in range(1, 9):
        run.host.run(second * NS_PER_S)
        delivered.append(run.reports["ann", "pair_delivered"])
    assert delivered[-1] > 40
    assert all(later > earlier for earlier, later in pairwise(delivered[1:]))


def test_two_requests_that_cross_at_a_hub_both_get_pairs() -> None:
    links = {f"l{name}": (name, "hub") for name in ("ann", "bob", "cat", "dan")}
    requests = [{"id": "r1", "from": "ann", "to": "bob"}, {"id": "r2", "from": "cat", "to": "dan"}]
    run = Watched(lab_of({"bank": 4}, links, requests, repeaters=("hub",)), seed=6)
    run.host.run(10 * NS_PER_S)
    assert run.reports["ann", "pair_delivered"] > 50
    assert run.reports["cat", "pair_delivered"] > 50


def test_a_hub_that_crashes_shares_its_bank_again() -> None:
    lab = lab_of({"bank": 2}, STAR, star_requests(1, 1, 1))
    crash = Crash(node="hub", at_ns=2 * NS_PER_S, down_ns=NS_PER_S // 2)
    object.__setattr__(lab, "scenario", Scenario(crashes=(crash,)))
    run = Watched(lab, seed=7)
    run.host.run(6 * NS_PER_S)
    before = {link: len(told) for link, told in run.heralds.items()}
    run.host.run(8 * NS_PER_S)
    assert all(len(told) > before[link] + 30 for link, told in run.heralds.items())
    assert [len(run.side_0(link).book.windows[-1].granted) for link in STAR] == [4, 4, 4]


def test_one_seed_is_one_history() -> None:
    digests = []
    for _ in range(2):
        run = Watched(lab_of({"bank": 2, "emitters": 1}, STAR, star_requests(1, 2, 3)), seed=8)
        run.host.run(2 * NS_PER_S)
        digests.append(run.host.digest.hexdigest())
    assert digests[0] == digests[1]
