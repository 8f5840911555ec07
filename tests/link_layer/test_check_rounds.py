"""Test rounds on the two-machine bench: chosen and measured alike, joined without bias, never handed up."""

import msgspec
import pytest
from scipy import stats

from bellwire.core.effects import MeasureQubit
from bellwire.core.errors import PeerViolation
from bellwire.core.events import DeviceChanged, QubitMeasured
from bellwire.core.link_messages import (
    CheckedPair,
    PairsChecked,
    PairsVoid,
    Window,
    WindowAnswer,
    WindowOffer,
)
from bellwire.core.settings import NetworkSettings, OperatingPoint
from bellwire.link_layer import check_rounds
from bellwire.link_layer.estimation.counts import BASES
from bellwire.link_layer.estimation.selection import check_basis
from bellwire.link_layer.estimation.unit import FidelityEstimation
from bellwire.link_layer.service import LinkService
from bellwire.node.routing import NodeMachine
from bellwire.node.slots import SlotTable
from tests.link_layer.bench import MS, PERIOD_NS, Channel, Sink
from tests.link_layer.checking import CheckBench, checked_network, heralds_of
from tests.link_layer.lone import RUN, LoneEnd, report, window

S = 1000 * MS
WHOLE = 1 << 16
BAD = Channel(loss=0.05, copies=0.2, jitter_ns=3 * MS)


def wanted(bench: CheckBench) -> CheckBench:
    for node in ("a", "b"):
        bench.want(node, "r")
    return bench


@pytest.mark.parametrize("station", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_both_ends_test_the_same_pairs_in_the_same_basis_and_hand_up_only_the_others(
    seed: int, station: bool
) -> None:
    bench = wanted(CheckBench(seed, station=station, channel=BAD if station else Channel(jitter_ns=MS)))
    bench.run(S)
    share = round(0.25 * WHOLE)
    assert len(bench.measured) > 100
    for end, (basis, _) in bench.measured.items():
        drawn = check_basis(end.link, end.run, end.attempt, end.lane, share)
        assert drawn is not None
        assert BASES[drawn] == basis
        if end.partner in bench.measured:
            assert bench.measured[end.partner][0] == basis
    for node in ("a", "b"):
        for end in bench.sinks[node][-1].ready:
            assert check_basis(end.link, end.run, end.attempt, end.lane, share) is None
        assert not set(bench.sinks[node][-1].born) & set(bench.measured)


def test_tests_are_the_stated_share_of_heralds() -> None:
    """Binomial, false alarm 1e-6."""
    bench = wanted(CheckBench(3, share=0.25))
    bench.run(3 * S)
    heralds, tests = bench.counter("a", "heralds"), bench.counter("a", "tests")
    assert heralds > 1000
    low, high = stats.binom.interval(1 - 1e-6, heralds, 0.25)
    assert low <= tests <= high


def test_without_a_share_nothing_is_measured_and_the_end_has_no_such_use() -> None:
    bench = wanted(CheckBench(3, share=0.0))
    bench.run(S)
    end = bench.services["a"].ends["a-b"]
    assert not bench.measured
    assert not any(isinstance(use, check_rounds.CheckRounds) for use in end.uses)
    assert all(one.test_share == 0 for one in end.book.windows)
    assert bench.counter("a", "heralds") > 100


@pytest.mark.parametrize("channel", [Channel(), BAD])
def test_lost_messages_and_failed_measurements_do_not_bias_the_error_rates(channel: Channel) -> None:
    """Every joined pair counts once; each basis within the binomial interval of 1 - 1e-6."""
    errors = {"X": 0.2, "Y": 0.05, "Z": 0.1}
    bench = wanted(CheckBench(5, share=0.6, channel=channel, errors=errors, believed=0.825, no_result=0.1))
    bench.run(4 * S)
    tally = bench.services["a"].ends["a-b"].estimation.points[0].tally.pooled()
    both = [
        end
        for end, (_, bit) in bench.measured.items()
        if end.side == 0 and bit is not None and bench.measured.get(end.partner, ("", None))[1] is not None
    ]
    assert 0.3 * len(both) < tally.tests <= len(both)
    if channel == Channel():
        assert tally.tests > 0.95 * len(both)
    for basis, one in zip(BASES, tally.bases, strict=True):
        low, high = stats.binom.interval(1 - 1e-6, one.tests, errors[basis])
        assert low <= one.errors <= high, basis


def test_the_success_probability_of_attempts_is_learnt_from_the_waits() -> None:
    """The bench heralds with 0.05; within 4 standard errors, false alarm 6e-5."""
    bench = wanted(CheckBench(8, share=0.5))
    bench.run(4 * S)
    figures = bench.figures()
    assert figures.measured > 500
    assert 0.0 < figures.success_error < 0.003
    assert abs(figures.success_probability - 0.05) < 4.0 * figures.success_error


def test_no_slot_leaks_when_everything_ends() -> None:
    for seed in range(4):
        bench = wanted(CheckBench(20 + seed, channel=BAD, no_result=0.2))
        bench.run(S)
        for node in ("a", "b"):
            bench.drop(node, "r")
        bench.run(S + 400 * MS)
        for node in ("a", "b"):
            assert {slot.state for slot in bench.sinks[node][-1].slots.slots()} == {"free"}


def test_after_a_restart_of_side_1_tests_go_on_and_old_bits_meet_nothing() -> None:
    errors = {"X": 0.0, "Y": 0.0, "Z": 0.0}
    bench = wanted(CheckBench(9, share=0.5, errors=errors))
    bench.run(S)
    before = bench.counter("a", "tests_joined")
    bench.boot("b")
    bench.want("b", "r")
    bench.run(2 * S)
    assert bench.counter("a", "tests_joined") > 1.5 * before
    assert (
        sum(one.errors for one in bench.services["a"].ends["a-b"].estimation.points[0].tally.pooled().bases)
        == 0
    )


def test_births_of_side_0_carry_what_the_tests_have_shown() -> None:
    """The table says 0.95, the hardware gives 0.85: later births say so."""
    bench = wanted(CheckBench(10, share=0.6, errors=dict.fromkeys("XYZ", 0.1)))
    bench.run(6 * S)
    end = bench.services["a"].ends["a-b"]
    assert end.figures()[0].fidelity == pytest.approx(0.85, abs=0.03)
    newest = list(bench.sinks["a"][-1].born.values())[-1]
    estimate = end.estimation.estimate(0, newest.frame - 1)
    assert abs(newest.cost[0] - estimate.cost[0]) < 0.05 * (1 << 56)
    assert newest.cost[0] > heralds_of(0.90)[0].cost[0]
    assert end.wishes.best_fidelity() < 0.86


def test_both_ends_come_to_the_same_estimate() -> None:
    """Over a good channel from the same tests, but for those on their way in the end."""
    bench = wanted(CheckBench(12, share=0.6, errors={"X": 0.1, "Y": 0.02, "Z": 0.05}))
    bench.run(3 * S)
    here, there = (bench.services[node].ends["a-b"] for node in ("a", "b"))
    assert here.counters["tests_joined"] > 1000
    assert abs(here.counters["tests_joined"] - there.counters["tests_joined"]) <= 2 * check_rounds.BATCH_MAX
    one, two = here.figures()[0], there.figures()[0]
    assert one.fidelity == pytest.approx(two.fidelity, abs=0.005)
    assert one.success_probability == pytest.approx(two.success_probability, rel=0.05)
    assert here.wishes.best_fidelity() == pytest.approx(there.wishes.best_fidelity(), abs=0.02)
    assert all(node == "a" for node, report in bench.reports if report.name == "link_fidelity_drifted")


# ---- one end alone


class LoneChecker(LoneEnd):
    """One end of a link with test rounds."""

    def __init__(self, node: str, *, points: tuple[OperatingPoint, ...] = ()) -> None:
        super().__init__(node, station=True)
        self.network: NetworkSettings = checked_network(station=True, share=0.5, points=points)
        self.slots = SlotTable(self.network, node)
        self.sink = Sink(self.slots, held_for_ns=10**15)
        self.service = LinkService(self.network, node, self.slots)
        self.end = self.service.ends["a-b"]
        self.machine = NodeMachine(node, [self.service, self.sink])


def attempts_that_are_tests(lane: int, count: int) -> list[int]:
    """Attempts that are tests on this lane at a share of a half."""
    found: list[int] = []
    attempt = 10
    while len(found) < count:
        if check_basis("a-b", RUN, attempt, lane, WHOLE // 2) is not None:
            found.append(attempt)
        attempt += 1
    return found


def with_tests(one: Window, *, share: int = WHOLE // 2, point: int = 0) -> Window:
    changed: Window = msgspec.structs.replace(one, test_share=share, point=point)
    return changed


def side_1(*, points: tuple[OperatingPoint, ...] = ()) -> LoneChecker:
    lone = LoneChecker("b", points=points)
    lone.want(0, "r")
    lone.offered(0, with_tests(window(0, 100_000, 1, "r")))
    return lone


def measure(lone: LoneChecker, now_ns: int, number: int, attempt: int, bit: int | None = 1) -> None:
    """One herald on lane 0 and the end of its measurement."""
    lone.hear(now_ns, "m", report(number, attempt))
    (order,) = lone.ordered(MeasureQubit)
    lone.effects.remove(order)
    ended = "failed" if bit is None else "done"
    lone.tell(
        now_ns,
        QubitMeasured(operation=order.operation, ended=ended, bit=bit, at_ns=now_ns),  # type: ignore[arg-type]  # a literal
    )


def test_an_end_sends_its_bits_in_batches_full_or_after_a_while() -> None:
    lone = side_1()
    attempts = attempts_that_are_tests(0, check_rounds.BATCH_MAX + 1)
    for number, attempt in enumerate(attempts, start=1):
        measure(lone, attempt * PERIOD_NS, number, attempt, bit=number % 2)
    (full,) = lone.sent(PairsChecked, "a")
    assert [one.attempt for one in full.results] == attempts[:-1]
    assert [one.bit for one in full.results] == [number % 2 for number in range(1, len(attempts))]
    lone.take()
    lone.wait(attempts[-1] * PERIOD_NS + 201 * MS)
    (rest,) = lone.sent(PairsChecked, "a")
    assert [one.attempt for one in rest.results] == attempts[-1:]
    assert rest.results[0].armed_from >= attempts[-2], "the lane was armed anew after the test before"


def test_a_measurement_without_a_result_frees_the_slot_and_says_nothing() -> None:
    lone = side_1()
    (attempt,) = attempts_that_are_tests(0, 1)
    measure(lone, attempt * PERIOD_NS, 1, attempt, bit=None)
    assert lone.states()[0] == "attempting"
    lone.wait(attempt * PERIOD_NS + 300 * MS)
    assert not lone.sent(PairsChecked)
    assert lone.end.counters["tests_no_result"] == 1


def test_a_memory_that_forgot_its_qubits_gives_no_bits() -> None:
    lone = side_1()
    (attempt,) = attempts_that_are_tests(0, 1)
    now_ns = attempt * PERIOD_NS
    lone.hear(now_ns, "m", report(1, attempt))
    (order,) = lone.ordered(MeasureQubit)
    lone.tell(now_ns, DeviceChanged(role="memory", ready=False, lost_state=True, reason="power cycle"))
    assert set(lone.states()) == {"lost"}
    lone.tell(now_ns, QubitMeasured(operation=order.operation, ended="unknown", bit=None, at_ns=now_ns))
    lone.tell(now_ns, DeviceChanged(role="memory", ready=True, lost_state=False, reason=""))
    assert "lost" not in lone.states()
    lone.wait(now_ns + 300 * MS)
    assert not lone.sent(PairsChecked)


def test_a_test_of_which_the_slot_had_left_is_void_and_no_fact() -> None:
    """The other end measures its half for nothing; nobody's ledger hears of either."""
    lone = side_1()
    attempt, other = attempts_that_are_tests(1, 2)
    lone.hear(attempt * PERIOD_NS, "m", report(1, attempt, lane=1))
    lone.take()
    lone.hear(other * PERIOD_NS, "m", report(2, other, lane=1))  # the slot is still measuring
    assert [one.pairs for one in lone.sent(PairsVoid, "a")] == [((other, 1),)]
    assert not lone.sink.born


def side_0() -> LoneChecker:
    lone = LoneChecker("a")
    lone.want(0, "r")
    (offer,) = lone.sent(WindowOffer, "b")
    assert offer.window.test_share == WHOLE // 2
    return lone


def checked(*results: CheckedPair, run: int = RUN) -> PairsChecked:
    return PairsChecked(link="a-b", run=run, results=results)


def result(attempt: int, *, bit: int = 0, lane: int = 0, armed_from: int = 0) -> CheckedPair:
    return CheckedPair(attempt=attempt, lane=lane, bit=bit, at_ns=0, armed_from=armed_from)


def test_bits_that_never_find_their_other_are_forgotten_the_oldest_first() -> None:
    lone = side_0()
    for first in range(0, 1280, 64):
        lone.hear(0, "b", checked(*(result(attempt) for attempt in range(first, first + 64))))
    assert lone.end.counters["tests_not_joined"] == 1280 - check_rounds.JOIN_MAX


@pytest.mark.parametrize(
    "results",
    [
        (result(5, bit=2),),
        (result(5, lane=3),),
        (result(5, lane=-1),),
        (result(5, armed_from=6),),
        (result(5, armed_from=-1),),
        tuple(result(attempt) for attempt in range(65)),
    ],
)
def test_results_that_no_honest_end_sends_are_a_violation(results: tuple[CheckedPair, ...]) -> None:
    with pytest.raises(PeerViolation, match="test results"):
        side_0().hear(0, "b", checked(*results))


def test_results_of_a_stranger_are_ignored() -> None:
    lone = side_0()
    lone.hear(0, "m", checked(*(result(attempt) for attempt in range(65))))
    assert lone.end.counters["tests_joined"] == 0


def measured_by_side_0() -> tuple[LoneChecker, int, int]:
    """An agreed window, and one test of which side 0 has its bit: the end, the run and the attempt."""
    lone = side_0()
    offered = lone.sent(WindowOffer, "b")[0].window
    lone.hear(0, "b", WindowAnswer(link="a-b", run=offered.run, fence=1, accepted=True, reason=""))
    run = offered.run
    attempt = next(one for one in range(10, 999) if check_basis("a-b", run, one, 0, WHOLE // 2) is not None)
    lone.take()
    now_ns = attempt * PERIOD_NS
    lone.hear(now_ns, "m", report(1, attempt, run=run))
    (order,) = lone.ordered(MeasureQubit)
    lone.tell(now_ns, QubitMeasured(operation=order.operation, ended="done", bit=1, at_ns=now_ns))
    return lone, run, attempt


def test_results_that_come_twice_count_once() -> None:
    lone, run, attempt = measured_by_side_0()
    for _ in range(3):
        lone.hear(attempt * PERIOD_NS + MS, "b", checked(result(attempt), run=run))
    assert lone.end.counters["tests_joined"] == 1
    assert lone.end.figures()[0].tested == 1


@pytest.mark.parametrize("node", ["a", "b"])
def test_waiting_times_are_those_of_side_0_and_side_1_at_either_end(
    node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Born at its attempt; the end itself measured at once, the other end 7 us later."""
    told: list[tuple[int, int]] = []

    def heard(
        self: FidelityEstimation,
        point: int,
        frame: int,
        basis: int,
        bits: tuple[int, int],
        waited_ns: tuple[int, int],
        now_ns: int,
    ) -> tuple[bool, None]:
        told.append(waited_ns)
        return True, None

    monkeypatch.setattr(FidelityEstimation, "tested", heard)
    if node == "a":
        lone, run, attempt = measured_by_side_0()
    else:
        lone, run = side_1(), RUN
        (attempt,) = attempts_that_are_tests(0, 1)
        measure(lone, attempt * PERIOD_NS, 1, attempt)
    theirs = msgspec.structs.replace(result(attempt), at_ns=attempt * PERIOD_NS + 7000)
    lone.hear(attempt * PERIOD_NS + MS, "b" if node == "a" else "a", checked(theirs, run=run))
    assert told == [(0, 7000) if node == "a" else (7000, 0)]


def test_results_that_come_before_the_own_bit_wait_for_it() -> None:
    lone, run, attempt = measured_by_side_0()
    other = next(
        one for one in range(attempt + 1, 999) if check_basis("a-b", run, one, 0, WHOLE // 2) is not None
    )
    now_ns = other * PERIOD_NS
    lone.hear(now_ns, "b", checked(result(other), run=run))
    lone.take()
    lone.hear(now_ns, "m", report(2, other, run=run))
    (order,) = lone.ordered(MeasureQubit)
    lone.tell(now_ns, QubitMeasured(operation=order.operation, ended="done", bit=1, at_ns=now_ns))
    assert lone.end.counters["tests_joined"] == 1


def test_a_void_test_meets_no_bit_of_the_other_end() -> None:
    lone, run, attempt = measured_by_side_0()
    lone.hear(attempt * PERIOD_NS, "b", PairsVoid(link="a-b", run=run, pairs=((attempt, 0),)))
    lone.hear(attempt * PERIOD_NS + MS, "b", checked(result(attempt), run=run))
    assert lone.end.counters["tests_joined"] == 0


# ---- operating points

DIM = OperatingPoint(name="dim", success_probability=0.05, heralds=heralds_of(0.95), settings={})
BRIGHT = OperatingPoint(name="bright", success_probability=0.2, heralds=heralds_of(0.90), settings={})


@pytest.mark.parametrize(
    "changed", [{"point": 2}, {"point": -1}, {"test_share": WHOLE + 1}, {"test_share": -1}]
)
def test_a_window_with_terms_that_the_link_does_not_have_is_a_violation(changed: dict[str, int]) -> None:
    lone = LoneChecker("b", points=(DIM, BRIGHT))
    lone.want(0, "r")
    with pytest.raises(PeerViolation, match="offers"):
        lone.offered(0, msgspec.structs.replace(window(0, 100, 1, "r"), **changed))


def test_no_order_to_attempt_reaches_beyond_a_change_of_the_operating_point() -> None:
    lone = side_1(points=(DIM, BRIGHT))
    lone.take()
    change = 50
    lone.offered(1 * MS, with_tests(window(change, 2000, 2, "r"), point=1))
    before = lone.starts()
    assert {(one.point, one.last) for one in before} == {(0, change - 1)}
    lone.take()
    lone.wait(change * PERIOD_NS)
    after = lone.starts()
    assert len(after) == 3
    assert {(one.point, one.first, one.last) for one in after} == {(1, change, 2000)}
    assert {one.generation for one in after} == {1}, "nothing is initialised: the same slots go on"


def test_a_request_gets_the_fastest_point_that_is_good_enough_and_another_when_tests_say_otherwise() -> None:
    """Bright is believed to give 0.90 and gives 0.80: the link goes back to dim within 2 s of attempts."""
    bad = dict.fromkeys("XYZ", 0.2 * 2 / 3)
    good = dict.fromkeys("XYZ", 0.05 * 2 / 3)
    bench = CheckBench(4, share=0.5, points=(DIM, BRIGHT), errors_by_point=(good, bad))
    bench.demand("r", 0.88)
    bench.run(100 * MS)
    ends = [bench.services[node].ends["a-b"] for node in ("a", "b")]
    assert [end.point_in_force() for end in ends] == [1, 1]
    bench.run(4 * S)
    assert [end.point_in_force() for end in ends] == [0, 0]
    dim, bright = ends[0].figures()
    assert bright.fidelity_high < 0.88
    assert bright.tested < 800, "no more of them than it takes"
    assert dim.fidelity_low < 0.95 < dim.fidelity_high
    assert dim.tested > 100
    assert {end.run for end in bench.measured} == {next(iter(bench.measured)).run}, "attempts went on"


def test_a_request_that_asks_for_more_changes_the_point_from_the_next_window_on() -> None:
    bench = CheckBench(4, share=0.1, points=(DIM, BRIGHT))
    bench.demand("r", 0.88)
    bench.run(100 * MS)
    bench.demand("s", 0.93)
    bench.run(200 * MS)
    assert bench.services["b"].ends["a-b"].point_in_force() == 0
    bench.drop("a", "s")
    bench.drop("b", "s")
    bench.run(300 * MS)
    assert bench.services["b"].ends["a-b"].point_in_force() == 1
