"""Pairs made ahead of requests: kept at both ends, given to one request at both ends, or to nobody."""

import msgspec
import pytest

from bellwire.core.bell import decay_rates, to_walsh, werner
from bellwire.core.ids import End
from bellwire.core.link_messages import StockTaken
from bellwire.core.notices import LinkRequested
from bellwire.core.plans import LinkPlan
from bellwire.core.settings import AheadSettings, HeraldEstimate, NetworkSettings
from bellwire.link_layer.stock import Level, Stock
from tests.link_layer.bench import MS, Channel, LinkBench, link_network

GOOD = Channel()
BAD = Channel(loss=0.2, copies=0.2, jitter_ns=5 * MS)
S_NS = 10**9
AHEAD = AheadSettings(stock_max=2, age_max_ns=2 * S_NS)


class StockBench(LinkBench):
    """A link that makes two pairs ahead of requests: Werner states that lose coherence in seconds."""

    ahead = AHEAD

    def make_network(self, station: bool) -> NetworkSettings:
        network = link_network(station=station)
        fresh = to_walsh(werner(0.95))
        heralds = tuple(
            HeraldEstimate(code=code, frame=code + 1, signs=fresh.signs, cost=fresh.cost) for code in (1, 2)
        )
        link = msgspec.structs.replace(network.links["a-b"], ahead=self.ahead, heralds=heralds)
        rates = decay_rates(None, 4 * S_NS, None)
        nodes = {
            name: node
            if node.memory is None
            else msgspec.structs.replace(node, memory=msgspec.structs.replace(node.memory, rates=rates))
            for name, node in network.nodes.items()
        }
        return msgspec.structs.replace(network, links={"a-b": link}, nodes=nodes)

    def stock(self, node: str) -> Stock:
        stock = self.services[node].ends["a-b"].stock
        assert stock is not None
        return stock

    def ask(self, node: str, request: str, fidelity_min: float | None = None) -> None:
        """A request wants pairs of a fidelity."""
        plan = LinkPlan(
            request=request,
            tree=0,
            link="a-b",
            partner="b" if node == "a" else "a",
            rate_hz=1.0,
            lanes=0,
            weight=1,
            fidelity_min=fidelity_min,
        )
        self._notice(node, LinkRequested(plan=plan))


def partners(ends: "dict[End, object]") -> set[End]:
    return {end.partner for end in ends}


@pytest.mark.parametrize("station", [True, False])
def test_while_nobody_asks_both_ends_keep_the_same_pairs_and_tell_nobody(station: bool) -> None:
    bench = StockBench(1, station=station, channel=GOOD)
    bench.run(400 * MS)
    a, b = bench.stock("a"), bench.stock("b")
    assert len(a.pairs) == AHEAD.stock_max
    assert partners(a.pairs) == set(b.pairs)
    for node in "ab":
        assert bench.sinks[node][-1].born == {}
        assert bench.sinks[node][-1].ready == {}


def test_who_asks_gets_the_stock_at_once_bound_alike_at_both_ends_and_born_once() -> None:
    bench = StockBench(2, station=True, channel=GOOD)
    bench.run(400 * MS)
    stocked = set(bench.stock("a").pairs)
    bench.ask("b", "r")
    bench.ask("a", "r")
    bench.run(bench.now_ns + 1 * MS)  # two delays of 50 us; a fresh pair takes 2 ms in the mean
    a, b = bench.sinks["a"][-1], bench.sinks["b"][-1]
    assert stocked <= set(a.ready)
    assert {end.partner for end in stocked} <= set(b.ready)
    assert {a.ready[end] for end in stocked} == {("r", 0)}
    assert {fact.request for fact in a.born.values()} == {"r"}
    assert all(a.born[end].at_ns == b.born[end.partner].at_ns for end in stocked)
    assert bench.services["a"].ends["a-b"].counters["stock_given"] >= len(stocked)


def test_pairs_in_stock_that_are_too_old_are_given_up_at_both_ends_and_made_anew() -> None:
    bench = StockBench(3, station=True, channel=GOOD)
    bench.run(400 * MS)
    first = set(bench.stock("a").pairs)
    bench.run(400 * MS + AHEAD.age_max_ns + 200 * MS)
    later = bench.stock("a").pairs
    assert later
    assert first.isdisjoint(later)
    assert partners(later) == set(bench.stock("b").pairs)
    assert all(bench.now_ns - pair.at_ns <= AHEAD.age_max_ns for pair in later.values())


def test_pairs_that_have_aged_below_the_fidelity_that_is_asked_for_stay_in_stock() -> None:
    bench = StockBench(4, station=True, channel=GOOD)
    bench.run(1500 * MS)
    aged = bench.stock("a")
    assert len(aged.pairs) == AHEAD.stock_max
    assert max(aged.fidelity(pair, bench.now_ns) for pair in aged.pairs.values()) < 0.94
    kept = set(aged.pairs)
    for node in "ba":
        bench.ask(node, "r", fidelity_min=0.94)
    bench.run(bench.now_ns + 200 * MS)
    assert set(aged.pairs) == kept
    assert bench.sinks["a"][-1].ready  # fresh ones serve the request
    assert kept.isdisjoint(bench.sinks["a"][-1].ready)


def test_an_assignment_of_which_the_answer_is_lost_is_told_again_and_answered_alike() -> None:
    bench = StockBench(5, station=True, channel=GOOD)
    bench.run(400 * MS)
    stocked = set(bench.stock("a").pairs)
    bench.ask("b", "r")
    bench.channel = Channel(loss=1.0)
    bench.ask("a", "r")
    bench.run(bench.now_ns + 150 * MS)
    assert stocked.isdisjoint(bench.sinks["a"][-1].ready)
    bench.channel = GOOD
    bench.run(bench.now_ns + 400 * MS)
    assert stocked <= set(bench.sinks["a"][-1].ready)
    assert {end.partner for end in stocked} <= set(bench.sinks["b"][-1].ready)


def test_after_a_restart_of_one_end_the_stock_of_the_other_is_given_up_and_filled_again() -> None:
    bench = StockBench(6, station=True, channel=GOOD)
    bench.run(400 * MS)
    before = set(bench.stock("a").pairs)
    bench.boot("b")
    assert bench.stock("a").pairs == {}
    bench.run(bench.now_ns + 3 * S_NS)
    after = set(bench.stock("a").pairs)
    assert after
    assert after.isdisjoint(before)
    assert {end.partner for end in after} == set(bench.stock("b").pairs)


def test_an_answer_that_nobody_waits_for_changes_nothing() -> None:
    bench = StockBench(7, station=True, channel=GOOD)
    bench.run(400 * MS)
    stock = bench.stock("a")
    held = dict(stock.pairs)
    ends = tuple(held)
    answer = StockTaken(link="a-b", request="r", tree=0, ends=ends, taken=ends)
    machine = bench.machines["a"]
    stock.on_messages()[StockTaken](machine._step, "b", answer)
    assert stock.pairs == held


@pytest.mark.parametrize("seed", range(8))
def test_on_a_bad_channel_no_pair_from_stock_goes_to_different_requests_and_no_slot_leaks(seed: int) -> None:
    bench = StockBench(seed, station=True, channel=BAD)
    given = 0
    for turn in range(6):
        request = f"r{turn}"
        bench.run(bench.now_ns + 300 * MS)
        for node in "ba":
            bench.ask(node, request)
            bench.run(bench.now_ns + 10 * MS)
        bench.run(bench.now_ns + 100 * MS)
        for node in "ab":
            bench.drop(node, request)
            bench.run(bench.now_ns + 10 * MS)
    a, b = bench.sinks["a"][-1], bench.sinks["b"][-1]
    for end, use in a.ready.items():
        if end.partner in b.ready:
            assert b.ready[end.partner] == use
            given += 1
    assert given > 0
    bench.channel = GOOD
    bench.run(bench.now_ns + 6 * S_NS)
    stocks = {node: bench.stock(node) for node in "ab"}
    assert partners(stocks["a"].pairs) == set(stocks["b"].pairs)
    for node in "ab":
        held = {slot.end for slot in bench.sinks[node][-1].slots.slots() if slot.end is not None}
        assert held == set(stocks[node].pairs)


def test_the_level_follows_use_and_never_leaves_its_limits() -> None:
    level = Level(AheadSettings(stock_max=10, age_max_ns=S_NS))
    assert level.wanted(0) == 10  # nothing is known yet
    assert level.wanted(S_NS) == 1  # nobody asked in a whole period
    for period in range(1, 6):
        level.gave(4)
        level.wanted((period + 1) * S_NS)
    assert 6 <= level.wanted(6 * S_NS) <= 8  # twice a mean that tends to 4
    for period in range(7, 12):
        level.gave(100)
        assert level.wanted(period * S_NS) <= 10
    assert level.wanted(60 * S_NS) == 1
    assert level.wanted(10**6 * S_NS) == 1  # a long silence is passed in one step
