"""Two link ends and a station over good and bad classical channels: they agree, and nothing is invented."""

from itertools import pairwise

import pytest

from bellwire.core.events import OutboxChanged
from bellwire.core.ids import End
from tests.link_layer.bench import MS, Channel, LinkBench

GOOD = Channel()
BAD = Channel(loss=0.15, copies=0.15, jitter_ns=3 * MS)


def check_agreement(bench: LinkBench) -> int:
    """Both ends of a pair that both use are bound to one request and frame; returns how many there are."""
    born = {
        node: {end: fact for sink in bench.sinks[node] for end, fact in sink.born.items()}
        for node in ("a", "b")
    }
    ready = {
        node: {end: use for sink in bench.sinks[node] for end, use in sink.ready.items()}
        for node in ("a", "b")
    }
    shared = 0
    for end, use in ready["a"].items():
        partner: End = end.partner
        if partner in ready["b"]:
            shared += 1
            assert ready["b"][partner] == use
            assert born["b"][partner].frame == born["a"][end].frame
            assert born["b"][partner].at_ns == born["a"][end].at_ns
    return shared


def check_nothing_is_stuck(bench: LinkBench) -> None:
    """After everything is dropped and time has passed, every slot is free."""
    bench.drop("a", "r")
    bench.drop("b", "r")
    bench.run(bench.now_ns + 5_000 * MS)
    for node in ("a", "b"):
        assert {slot.state for slot in bench.sinks[node][-1].slots.slots()} == {"free"}, node


@pytest.mark.parametrize("station", [True, False])
def test_on_a_good_channel_every_herald_is_a_pair_at_both_ends(station: bool) -> None:
    bench = LinkBench(1, station=station, channel=GOOD)
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(2_000 * MS)
    shared = check_agreement(bench)
    assert bench.heralds > 500
    assert bench.heralds - shared <= 3  # heralds on their way when time was up
    check_nothing_is_stuck(bench)


@pytest.mark.parametrize("station", [True, False])
def test_windows_are_renewed_without_a_gap_in_attempts(station: bool) -> None:
    bench = LinkBench(2, station=station, channel=GOOD)
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(3_000 * MS)
    end = bench.services["a"].ends["a-b"]
    assert end.counters["runs"] == 1
    assert end.counters["windows"] >= 3_000 / 200 - 1
    windows = sorted(end.book.windows, key=lambda one: one.first)
    assert all(later.first <= earlier.last + 1 for earlier, later in pairwise(windows))


@pytest.mark.parametrize("seed", range(12))
def test_on_a_bad_channel_with_a_station_no_pair_is_bound_differently_at_its_ends(seed: int) -> None:
    bench = LinkBench(seed, station=True, channel=BAD)
    bench.want("a", "r", 1)
    bench.want("b", "r", 1)
    bench.run(500 * MS)
    bench.want("a", "s", 2)
    bench.run(520 * MS)
    bench.want("b", "s", 2)
    bench.run(1_500 * MS)
    bench.drop("b", "s")
    bench.run(1_530 * MS)
    bench.drop("a", "s")
    bench.run(3_500 * MS)
    assert check_agreement(bench) > 100  # enough pairs for the check to mean something at 15 % loss
    check_nothing_is_stuck(bench)


def test_two_requests_share_the_heralds_by_their_weights() -> None:
    bench = LinkBench(5, station=True, channel=GOOD)
    for node in ("a", "b"):
        bench.want(node, "heavy", 3)
        bench.want(node, "light", 1)
    bench.run(6_000 * MS)
    uses = [use[0] for use in bench.sinks["a"][-1].ready.values()]
    share = uses.count("heavy") / len(uses)
    # Binomial, n > 1500: 4.4 standard errors around 3/4, false alarm 1e-5.
    assert len(uses) > 1500
    assert abs(share - 0.75) < 4.4 * (0.75 * 0.25 / len(uses)) ** 0.5


@pytest.mark.parametrize("node", ["a", "b", "m"])
@pytest.mark.parametrize("seed", range(4))
def test_after_a_restart_of_anybody_pairs_flow_again_under_a_new_run(node: str, seed: int) -> None:
    bench = LinkBench(seed, station=True, channel=Channel(loss=0.05, jitter_ns=MS))
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(700 * MS)
    before = bench.services["a"].ends["a-b"].book.run
    bench.boot(node)
    if node != "m":
        bench.want(node, "r")
    bench.run(2_000 * MS)
    seen = bench.heralds
    assert bench.services["a"].ends["a-b"].book.run != before
    bench.run(4_000 * MS)
    assert bench.heralds - seen > 300
    assert check_agreement(bench) > 300
    check_nothing_is_stuck(bench)


def test_a_report_lost_on_the_way_is_asked_for_again_and_the_pair_is_not_lost() -> None:
    bench = LinkBench(8, station=True, channel=Channel(loss=0.3))
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(4_000 * MS)
    assert bench.station is not None
    assert bench.station.counters["repeated"] > 50
    check_agreement(bench)


def test_side_one_refuses_a_request_it_does_not_know_until_it_does() -> None:
    bench = LinkBench(9, station=False, channel=GOOD)
    bench.want("a", "r")
    bench.run(100 * MS)
    assert bench.heralds == 0
    assert bench.services["b"].ends["a-b"].counters["refused"] >= 1
    bench.want("b", "r")
    bench.run(400 * MS)
    assert bench.heralds > 20


@pytest.mark.parametrize("node", ["a", "b"])
def test_a_full_outbox_shuts_the_valve_and_attempts_end_with_their_lease(node: str) -> None:
    bench = LinkBench(10, station=True, channel=GOOD)
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(300 * MS)
    bench.tell(node, OutboxChanged(full=True))
    bench.run(1_500 * MS)  # longer than the lease of 200 ms and the wait for late heralds
    seen = bench.heralds
    bench.run(3_000 * MS)
    assert bench.heralds == seen
    assert {slot.state for slot in bench.sinks["a"][-1].slots.slots()} == {"free"}
    bench.tell(node, OutboxChanged(full=False))
    bench.run(4_500 * MS)
    assert bench.heralds - seen > 100
    check_agreement(bench)
