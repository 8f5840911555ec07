"""Rests of a link for calibrations: nobody attempts at either end, no pair is born, and the link goes on."""

from __future__ import annotations

import pytest

from bellwire.core.effects import Effect, StartAttempts
from bellwire.core.events import LinkRestAsked, LinkRestGivenUp, StationHeralded
from bellwire.link_layer.rests import REST_MAX_NS, Rest
from tests.link_layer.bench import MS, PERIOD_NS, Channel, LinkBench
from tests.link_layer.test_link_pair import BAD, GOOD, check_agreement, check_nothing_is_stuck

DARK_NS = PERIOD_NS  # click, herald and guard of the bench


class Watched(LinkBench):
    """A bench that notes when its hardware attempts at either end. As a memory does, it holds what an attempt
    gave, and attempts with that slot only when it was given a new generation."""

    def __init__(self, seed: int, *, station: bool, channel: Channel) -> None:
        self.made: dict[str, set[int]] = {"a": set(), "b": set()}
        self._holding: set[tuple[str, int, int]] = set()
        super().__init__(seed, station=station, channel=channel)

    def boot(self, node: str) -> None:
        self._holding = {held for held in self._holding if held[0] != node}
        super().boot(node)

    def _execute(self, node: str, effect: Effect) -> None:
        if isinstance(effect, StartAttempts) and (node, effect.slot, effect.generation) in self._holding:
            return
        super()._execute(node, effect)

    def _hardware(self) -> None:
        for (node, _), order in self._armed.items():
            attempt = (self.now_ns - order.epoch_ns) // PERIOD_NS - 1
            if order.first <= attempt <= order.last:
                self.made[node].add(order.epoch_ns + attempt * PERIOD_NS)
        armed = dict(self._armed)
        heralds = self.heralds
        super()._hardware()
        if self.heralds > heralds:
            for key in armed.keys() - self._armed.keys():
                self._holding.add((key[0], armed[key].slot, armed[key].generation))

    def granted(self) -> Rest | None:
        return self.services["a"].ends["a-b"].rests.granted

    def ask(self, number: int, length_ns: int) -> None:
        self.tell("a", LinkRestAsked(link="a-b", number=number, length_ns=length_ns))

    def births_ns(self) -> list[int]:
        return [fact.at_ns for node in ("a", "b") for sink in self.sinks[node] for fact in sink.born.values()]


def in_use(seed: int, station: bool, channel: Channel) -> Watched:
    bench = Watched(seed, station=station, channel=channel)
    bench.want("a", "r")
    bench.want("b", "r")
    return bench


def rested(bench: Watched, number: int) -> Rest:
    rest = bench.granted()
    assert rest is not None
    assert rest.number == number
    return rest


def check_rest(bench: Watched, rest: Rest) -> None:
    """Nothing is attempted, at either end, and nothing of an attempt comes between its times."""
    for node in ("a", "b"):
        inside = [at for at in bench.made[node] if rest.begins_ns - DARK_NS < at < rest.ends_ns]
        assert inside == [], node
    assert [at for at in bench.births_ns() if rest.begins_ns <= at < rest.ends_ns] == []


@pytest.mark.parametrize("station", [True, False])
def test_in_a_rest_nobody_attempts_and_the_link_goes_on_at_its_end(station: bool) -> None:
    bench = in_use(1, station, GOOD)
    bench.run(500 * MS)
    bench.ask(7, 300 * MS)
    bench.run(510 * MS)
    rest = rested(bench, 7)
    assert 500 * MS < rest.begins_ns < 502 * MS
    assert rest.ends_ns - rest.begins_ns >= 300 * MS
    bench.run(1_500 * MS)
    check_rest(bench, rest)
    for node in ("a", "b"):
        assert any(rest.ends_ns <= at < rest.ends_ns + 2 * PERIOD_NS for at in bench.made[node])
        assert any(at < rest.begins_ns for at in bench.made[node])
    assert bench.services["a"].ends["a-b"].counters["runs"] == 1
    shared = check_agreement(bench)
    assert bench.heralds - shared <= 3
    check_nothing_is_stuck(bench)


@pytest.mark.parametrize("station", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_rests_hold_on_a_bad_channel(seed: int, station: bool) -> None:
    """Words are lost, doubled and late: a rest may come later, but it is one."""
    bench = in_use(seed, station, BAD)
    rests: list[Rest] = []
    for number in range(1, 6):
        bench.run(bench.now_ns + 500 * MS)
        bench.ask(number, 100 * MS)
        for _ in range(3_000):
            bench.run(bench.now_ns + MS)
            if (rest := bench.granted()) is not None and rest.number == number:
                rests.append(rest)
                break
    bench.run(bench.now_ns + 1_000 * MS)
    assert len(rests) == 5
    for rest in rests:
        assert rest.ends_ns - rest.begins_ns >= 50 * MS
        check_rest(bench, rest)
    check_agreement(bench)
    check_nothing_is_stuck(bench)


def test_a_link_that_nobody_wants_rests_at_once_and_begins_no_run_before_the_end() -> None:
    bench = Watched(3, station=True, channel=GOOD)
    bench.run(100 * MS)
    bench.ask(1, 200 * MS)
    rest = rested(bench, 1)
    assert rest.begins_ns <= 101 * MS
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(1_000 * MS)
    check_rest(bench, rest)
    assert min(bench.made["a"]) >= rest.ends_ns
    assert bench.births_ns() != []


def test_a_request_that_ends_in_a_rest_and_another_that_comes_leave_it_whole() -> None:
    bench = in_use(4, True, GOOD)
    bench.run(300 * MS)
    bench.ask(1, 400 * MS)
    bench.run(400 * MS)
    rest = rested(bench, 1)
    for node in ("a", "b"):
        bench.drop(node, "r")
    bench.run(450 * MS)
    for node in ("a", "b"):
        bench.want(node, "s")
    bench.run(1_500 * MS)
    check_rest(bench, rest)
    assert any(at >= rest.ends_ns for at in bench.births_ns())


def test_a_side_that_restarts_in_a_rest_does_not_break_it() -> None:
    bench = in_use(5, True, GOOD)
    bench.run(300 * MS)
    bench.ask(1, 400 * MS)
    bench.run(400 * MS)
    rest = rested(bench, 1)
    bench.boot("b")
    bench.want("b", "r")
    bench.run(1_500 * MS)
    check_rest(bench, rest)
    assert any(at >= rest.ends_ns for at in bench.births_ns())


def test_heralds_that_light_of_a_calibration_makes_are_no_pairs() -> None:
    bench = in_use(6, True, GOOD)
    bench.run(300 * MS)
    bench.ask(1, 100 * MS)
    bench.run(302 * MS)
    rest = rested(bench, 1)
    bench.run(350 * MS)
    assert rest.begins_ns < bench.now_ns < rest.ends_ns
    born = len(bench.births_ns())
    end = bench.services["a"].ends["a-b"]
    assert end.book.run is not None
    attempt = end.book.attempt_at(bench.now_ns) - 2
    bench.tell(
        "m",
        StationHeralded(
            link="a-b", run=end.book.run, attempt=attempt, lane=0, code=1, at_ns=bench.now_ns, sigma_ns=0
        ),
    )
    bench.run(355 * MS)
    assert bench.station is not None
    assert bench.station.counters["at_rest"] == 1
    assert len(bench.births_ns()) == born


def test_rests_that_are_too_long_or_come_while_one_waits_are_refused() -> None:
    bench = in_use(7, True, Channel(loss=1.0))
    bench.run(100 * MS)
    rests = bench.services["a"].ends["a-b"].rests
    bench.ask(1, REST_MAX_NS + 1)
    assert rests.wish is None
    bench.ask(2, 10 * MS)
    bench.ask(3, 10 * MS)
    assert rests.wish is not None
    assert rests.wish.number == 2
    assert rests.counters["rests_refused"] == 2
    bench.tell("a", LinkRestGivenUp(link="a-b", number=2))
    assert rests.wish is None
