"""The checklist for a link layer (algorithms.md 10.3), line by line, each on two machines over a bad channel.

One test a line; what a line means in every corner stands in the file of the room that it belongs to.
"""

import pytest

from bellwire.core.link_messages import HeraldReport, PairsVoid
from bellwire.core.link_words import LinkAck, LinkDone, LinkErr, LinkOkKeep, LinkOkMeasure
from bellwire.core.plans import LinkPlan
from bellwire.link_layer.schedulers.budgets import budget_lanes
from tests.link_layer.bench import MS, Channel, LinkBench
from tests.link_layer.checking import CheckBench
from tests.link_layer.creating import (
    CreateBench,
    check_each_ended_once,
    check_nothing_is_left,
    check_shared,
)
from tests.link_layer.purifying import PurifyingBench
from tests.link_layer.shared_bench import SharedBench, star
from tests.link_layer.test_link_pair import check_agreement, check_nothing_is_stuck

BAD = Channel(loss=0.15, copies=0.15, jitter_ns=3 * MS)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"partner": "nobody", "count": 1}, "CREATE"),
        ({"partner": "a", "count": 1}, "CREATE"),
        ({"count": 0}, "CREATE"),
        ({"count": 10**9}, "CREATE"),
        ({"count": 1, "fidelity_min": 0.999}, "UNSUPP"),
        ({"count": 1, "within_ns": 1}, "UNSUPP"),
    ],
    ids=["unknown partner", "self", "none", "absurd number", "impossible fidelity", "no time for an attempt"],
)
def test_create_validation(asked: dict[str, object], code: str) -> None:
    bench = CreateBench(1, channel=BAD, fidelity=0.95)
    bench.create("a", **asked)
    (error,) = bench.of("a", LinkErr)  # at once: no time has passed
    assert (error.code, error.where) == (code, "local")
    bench.run(500 * MS)
    assert len(bench.answers["a"]) == 1
    assert bench.answers["b"] == []


def test_keep_and_measure() -> None:
    bench = CreateBench(2, channel=BAD)
    bench.create("a", 1, kind="keep", count=2)
    bench.create("b", 1, kind="measure", count=40, priority=3)
    bench.run(5_000 * MS)
    check_shared(bench, "a", 1, pairs=2)
    check_shared(bench, "b", 1, pairs=40)
    assert len(bench.of("a", LinkOkKeep)) >= 2
    assert len(bench.of("b", LinkOkMeasure)) >= 40
    check_nothing_is_left(bench)


def test_per_request_pool_with_weighted_round_robin() -> None:
    bench = LinkBench(3, station=True, channel=BAD)
    for node in ("a", "b"):
        bench.want(node, "heavy", 2)
        bench.want(node, "light", 1)
    bench.run(6_000 * MS)
    used = [request for request, _ in bench.sinks["a"][-1].ready.values()]
    share = used.count("heavy") / len(used)
    # Binomial, n > 400: 4.4 standard errors around 2/3, false alarm 1e-5.
    assert len(used) > 400
    assert abs(share - 2 / 3) < 4.4 * (2 / 9 / len(used)) ** 0.5
    assert check_agreement(bench) > 300


def test_midpoint_heralding_with_sequence_numbers() -> None:
    bench = LinkBench(4, station=True, channel=Channel())
    told: list[HeraldReport] = []
    tell = bench.tell

    def listen(node: str, event: object) -> None:
        message = getattr(event, "message", None)
        if node == "a" and isinstance(message, HeraldReport):
            told.append(message)
        tell(node, event)  # type: ignore[arg-type]  # passed on as it is

    bench.tell = listen  # type: ignore[method-assign]
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(1_000 * MS)
    assert len(told) > 200
    assert [report.number for report in told] == list(range(1, len(told) + 1))
    assert len({(report.attempt, report.lane) for report in told}) == len(told)


@pytest.mark.parametrize("seed", range(3))
def test_both_ends_agreement(seed: int) -> None:
    bench = LinkBench(seed, station=True, channel=BAD)
    for request in ("r", "s"):
        for node in ("a", "b"):
            bench.want(node, request)
            bench.run(bench.now_ns + 7 * MS)
    bench.run(4_000 * MS)
    assert check_agreement(bench) > 100
    bench.drop("a", "s")
    bench.drop("b", "s")
    check_nothing_is_stuck(bench)


def test_lost_message_detection_and_expire() -> None:
    bench = CreateBench(5)
    bench.create("a", 1, kind="keep", count=2)
    bench.run(100 * MS)
    assert len(bench.standing("a", "a", 1)) == 2
    lost_from = bench.now_ns
    bench.lose = lambda to, message: isinstance(message, PairsVoid) and bench.now_ns < lost_from + 300 * MS
    bench.forget_memory("b")  # halves at b are gone; the first words about it are lost
    bench.run(lost_from + 2_000 * MS)
    expired = [error for error in bench.of("a", LinkErr) if error.code == "EXPIRE"]
    assert {end for error in expired for end in error.ends}
    assert bench.standing("a", "a", 1).keys() == {end.partner for end in bench.standing("b", "a", 1)}


def test_timeouts() -> None:
    bench = CreateBench(6, channel=BAD, link={"success_probability": 1e-6})
    bench.create("a", 1, kind="measure", count=5, within_ns=300 * MS)
    bench.run(300 * MS)
    (error,) = bench.endings("a")
    assert isinstance(error, LinkErr)
    assert error.code in ("TIMEOUT", "NOTIME")
    check_each_ended_once(bench)


def test_distributed_queue() -> None:
    bench = CreateBench(7, channel=BAD, link={"creates_max": 40})
    for create in range(1, 7):
        for node in ("a", "b"):
            bench.create(node, create, kind="measure", count=3)
    bench.run(8_000 * MS)
    numbers = [answer.number for node in ("a", "b") for answer in bench.of(node, LinkAck)]
    assert len(numbers) == 12
    assert len(set(numbers)) == 12
    for node in ("a", "b"):
        assert len(bench.of(node, LinkDone)) == 12  # both ends know of both ends' successes
    check_each_ended_once(bench)


def test_fidelity_estimation_with_goodness_and_time() -> None:
    wrong = {"X": 0.1, "Y": 0.1, "Z": 0.1}  # F = 1 - 0.3/2 = 0.85, while the table says 0.95
    bench = CheckBench(8, channel=Channel(jitter_ns=2 * MS), share=0.5, believed=0.95, errors=wrong)
    bench.want("a", "r")
    bench.want("b", "r")
    bench.run(6_000 * MS)
    figures = bench.figures()
    assert figures.tested > 500
    assert figures.fidelity_low < 0.85 < figures.fidelity_high
    assert 0 < figures.at_ns <= bench.now_ns


def test_memory_manager_and_flow_control() -> None:
    bench = SharedBench(star(2, banks={"hub": 2}), 9, held_for_ns=50 * MS)
    for link in ("l0", "l1"):
        bench.want(link)
    bench.run(3_000 * MS)
    for link in ("l0", "l1"):
        assert bench.heralds[link] > 10
        # Nobody attempts for long while the other end has no memory for it.
        assert bench.in_vain[link] < 0.1 * bench.attempted[link]


def test_per_link_purification_before_ok() -> None:
    bench = PurifyingBench(10, channel=BAD)
    for node in ("a", "b"):
        bench.want_rounds(node, "r", 1)
    bench.run(2_000 * MS)
    handed = bench.services["a"].ends["a-b"].counters
    assert bench.measured > 20
    assert set(bench.sinks["a"][-1].ready) <= set(bench.sinks["a"][-1].born)
    assert len(bench.sinks["a"][-1].ready) < bench.heralds / 2  # two heralds for each, and the failures
    assert handed["heralds"] > 2 * len(bench.sinks["a"][-1].ready)


def test_rate_targets() -> None:
    """Whoever names a rate has an attempt budget for it; the rest goes to who has none."""
    bench = LinkBench(11, station=True, channel=Channel())
    rated = LinkPlan(
        request="rated",
        tree=0,
        link="a-b",
        partner="b",
        rate_hz=60.0,
        lanes=0,
        weight=1,
        fidelity_min=None,
    )
    budget = budget_lanes(rated, bench.link, 0)
    assert budget is not None
    assert 0 < budget < 1
    for create, rate_hz in ((1, 60.0),):
        users = CreateBench(11)
        users.create("a", create, kind="measure", rate_hz=rate_hz, within_ns=4_000 * MS)
        users.run(4_200 * MS)
        (done,) = users.of("a", LinkDone)
        assert abs(done.pairs - 240) <= 5


def test_arbitration_of_one_emitter_across_links() -> None:
    bench = SharedBench(star(3, banks={"hub": 3}, emitters={"hub": 1}), 12)
    for number in range(3):
        bench.want(f"l{number}")
    bench.run(4_000 * MS)
    made = [bench.heralds[f"l{number}"] for number in range(3)]
    # A third each; binomial with n > 300, 4.4 standard errors, false alarm 3e-5 over three.
    total = sum(made)
    assert total > 300
    for heralds in made:
        assert abs(heralds / total - 1 / 3) < 4.4 * (2 / 9 / total) ** 0.5
