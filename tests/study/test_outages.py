"""What becomes of the requests of the ten-node lab when a link goes dark or a node is gone."""

from dataclasses import replace
from functools import cache
from math import sqrt
from pathlib import Path

import pytest

from bellwire.core.ids import RequestId
from bellwire.labs import Lab, load_lab
from bellwire.study.outages import Outage, Seen, live_through, outages_of, standing

SECOND = 1_000_000_000
AT_NS = 3 * SECOND
AFTER_NS = 6 * SECOND
WITHIN_NS = 5 * SECOND
LABS = Path(__file__).resolve().parents[2] / "lab_configs"


@cache
def scy_qnet() -> Lab:
    lab = load_lab(LABS / "scy_qnet.yaml")
    return replace(lab, requests=standing(lab.requests))


def after(outage: Outage) -> dict[RequestId, Seen]:
    return live_through(scy_qnet(), outage, seed=5, at_ns=AT_NS, after_ns=AFTER_NS)


def test_every_link_node_and_station_is_taken_away_once() -> None:
    assert len(outages_of(scy_qnet())) == 10 + 10 + 10
    assert len(set(outages_of(scy_qnet()))) == 30


@pytest.mark.parametrize(
    ("outage", "became"),
    [
        (Outage("link", "stony_brook-huntington"), ["went on", "went on", "re-routed"]),
        (Outage("link", "stony_brook-bridgeport"), ["went on", "re-routed", "went on"]),
        (Outage("link", "brookhaven-hub"), ["ended", "went on", "ended"]),
        (Outage("station", "s8"), ["went on", "re-routed", "went on"]),
        (Outage("node", "bridgeport"), ["went on", "ended", "went on"]),
        (Outage("node", "yale"), ["went on", "ended", "went on"]),
        (Outage("node", "stony_brook"), ["source gone", "source gone", "went on"]),
    ],
    ids=str,
)
def test_what_is_affected_is_re_routed_or_ended_within_five_seconds(
    outage: Outage, became: list[str]
) -> None:
    seen = after(outage)
    assert [each.became for each in seen.values()] == became
    for each in seen.values():
        assert each.affected == (each.became != "went on")
        if each.became in ("re-routed", "ended"):
            assert each.decided_ns is not None
            assert each.decided_ns < WITHIN_NS
        if each.became == "re-routed":
            assert each.pair_ns is not None
            assert each.pair_ns < WITHIN_NS
        if each.became == "ended":
            assert outage.name in each.reason or outage.kind == "station"
            assert each.pairs(AT_NS + WITHIN_NS, AT_NS + AFTER_NS) == 0
        if each.became == "went on":
            assert each.pairs(AT_NS, AT_NS + AFTER_NS) > 0


def test_nothing_is_judged_where_nothing_happens() -> None:
    seen = live_through(scy_qnet(), Outage("none"), seed=6, at_ns=AT_NS, after_ns=20 * SECOND)
    assert [(each.affected, each.became) for each in seen.values()] == [(False, "went on")] * 3


def test_steady_requests_do_not_notice_what_becomes_of_others() -> None:
    """A link is cut, and a request re-routed to links of the other two. Some 45 pairs each in ten seconds: a
    difference of four standard errors comes by chance once in 16,000 draws, and this seed is fixed."""
    lab = replace(scy_qnet(), requests=standing(scy_qnet().requests, 4.0, steady=True))
    cut = Outage("link", "stony_brook-bridgeport")
    calm, seen = (
        live_through(lab, outage, seed=1, at_ns=5 * SECOND, after_ns=10 * SECOND)
        for outage in (Outage("none"), cut)
    )
    others = [name for name, each in seen.items() if not each.affected]
    assert len(others) == 2
    assert all(seen[name].beside for name in others)
    for name in others:
        pairs, without = (one[name].pairs(5 * SECOND, 15 * SECOND) for one in (seen, calm))
        assert abs(pairs - without) <= 4.0 * sqrt(pairs + without)
        assert pairs >= 40 - 4.0 * sqrt(40)
    (moved,) = (each for each in seen.values() if each.became == "re-routed")
    assert moved.pairs(9 * SECOND, 15 * SECOND) >= 24 - 4.0 * sqrt(24), "and it has its rate again"
