"""A CREATE that cannot be served is answered at once with the right code, and leaves nothing behind."""

import pytest

from bellwire.core.link_words import BasisChoice, LinkAck, LinkErr
from bellwire.core.settings import Timers
from tests.link_layer.bench import MS, PERIOD_NS, Channel
from tests.link_layer.creating import CreateBench, check_each_ended_once, check_nothing_is_left

HERALD_NS = PERIOD_NS // 2 + PERIOD_NS // 4
"""From the start of an attempt to its herald, on the bench's link."""


def refused(bench: CreateBench, node: str = "a") -> LinkErr:
    """The only answer, given in the moment of asking and before any word to the other end."""
    (answer,) = bench.answers[node]
    at_ns, word = answer
    assert at_ns == bench.asked[node][0][0]
    assert isinstance(word, LinkErr)
    assert word.create == bench.asked[node][0][1].create
    assert word.origin == node
    assert word.where == "local"
    assert not bench.creates("a").queue.items
    assert not bench.creates("b").queue.items
    assert word.reason
    return word


WRONG: list[tuple[dict[str, object], str]] = [
    ({"partner": "carol"}, "no link leads from a to carol"),
    ({"partner": "a"}, "no link leads from a to a"),
    ({"partner": "m"}, "no link leads from a to m"),  # the station has no memory to be entangled with
    ({"count": 0}, "0 pairs"),
    ({"count": -1}, "-1 pairs"),
    ({"count": 65_536}, "65536 pairs: ask for 1 to 65535"),
    ({"count": None}, "give exactly one"),
    ({"count": 1, "rate_hz": 10.0}, "give exactly one"),
    ({"count": None, "rate_hz": 0.0}, "rate 0.0 Hz"),
    ({"count": None, "rate_hz": -3.0}, "rate -3.0 Hz"),
    ({"count": None, "rate_hz": float("nan")}, "rate nan Hz"),
    ({"count": None, "rate_hz": float("inf")}, "rate inf Hz"),
    ({"count": None, "rate_hz": 10.0, "atomic": True}, "cannot be atomic"),
    ({"count": None, "rate_hz": 10.0, "consecutive": False}, "no last pair"),
    ({"within_ns": -1}, "lies in the past"),
    ({"hold_ns": 0}, "holding time 0 ns"),
    ({"create": 65_536}, "id 65536"),
    ({"create": -1}, "id -1"),
    ({"purpose": 65_536}, "purpose 65536"),
    ({"priority": 8}, "priority 8"),
    ({"priority": -1}, "priority -1"),
    ({"weight": 0}, "weight 0"),
    ({"weight": 65}, "weight 65"),
    ({"fidelity_min": 1.5}, "fidelity 1.5 is outside"),
    ({"fidelity_min": float("nan")}, "fidelity nan is outside"),
    ({"local": BasisChoice(random="XYZ", first=200, second=100)}, "local basis weights 200 and 100"),
    ({"remote": BasisChoice(random="XZ", first=-1)}, "remote basis weights -1 and 0"),
    ({"local": BasisChoice(random="XZ", first=100, second=5)}, "only three bases"),
    ({"remote": BasisChoice(rotation=(0, 256, 0))}, "remote rotation"),
    ({"local": BasisChoice(random="CHSH", first=128, rotation=(1, 0, 0))}, "with a random basis CHSH"),
]


@pytest.mark.parametrize(("fields", "reason"), WRONG, ids=[reason for _, reason in WRONG])
@pytest.mark.parametrize("node", ["a", "b"])
def test_a_create_that_is_wrong_in_itself_is_answered_with_create(
    node: str, fields: dict[str, object], reason: str
) -> None:
    if fields.get("partner") == "a" and node == "b":
        fields, reason = {"partner": "b"}, "no link leads from b to b"
    bench = CreateBench(1)
    bench.create(node, **{"create": 3, "count": 1, **fields})  # type: ignore[arg-type]  # fields by name
    answer = refused(bench, node)
    assert answer.code == "CREATE"
    assert reason.replace("from a", f"from {node}") in answer.reason
    assert (answer.link is None) == ("no link leads" in reason)


UNSUPPORTED: list[tuple[dict[str, object], str]] = [
    ({"fidelity_min": 0.9}, "the link gives at most 0.8"),
    # Three lanes: seven measured pairs need three periods, seven kept ones three times the way to the herald,
    # or three periods where these are longer.
    ({"count": 7, "kind": "measure", "within_ns": 3 * PERIOD_NS - 1}, f"at least {3 * PERIOD_NS / 1e9:g} s"),
    ({"count": 7, "within_ns": 3 * PERIOD_NS - 1}, f"at least {3 * PERIOD_NS / 1e9:g} s"),
    ({"within_ns": 0}, f"at least {PERIOD_NS / 1e9:g} s"),
    ({"within_ns": PERIOD_NS - 1, "kind": "measure"}, f"at least {PERIOD_NS / 1e9:g} s"),
    ({"count": None, "rate_hz": 10.0, "within_ns": PERIOD_NS - 1}, f"at least {PERIOD_NS / 1e9:g} s"),
    # 3 lanes, 10 000 attempts a second, 1 in 20 succeeds.
    ({"count": None, "rate_hz": 1_501.0}, "1500 Hz at most"),
    ({"count": 4, "atomic": True}, "4 pairs in memory together: this link has room for 3"),
    ({"count": 4, "consecutive": False}, "4 pairs in memory together"),
]


@pytest.mark.parametrize(("fields", "reason"), UNSUPPORTED)
@pytest.mark.parametrize("node", ["a", "b"])
def test_a_create_beyond_what_the_link_can_do_is_answered_with_unsupp(
    node: str, fields: dict[str, object], reason: str
) -> None:
    bench = CreateBench(1, fidelity=0.8)
    bench.create(node, **{"count": 1, **fields})  # type: ignore[arg-type]  # fields by name
    answer = refused(bench, node)
    assert answer.code == "UNSUPP"
    assert reason in answer.reason


@pytest.mark.parametrize(
    "fields",
    [
        {"fidelity_min": 0.8},
        {"count": 7, "kind": "measure", "within_ns": 3 * PERIOD_NS},
        {"count": None, "rate_hz": 1_499.0, "within_ns": PERIOD_NS},
        {"count": 3, "atomic": True},
        {"count": 4, "kind": "measure", "atomic": True, "consecutive": False},
    ],
)
def test_what_lies_just_within_reach_is_taken(fields: dict[str, object]) -> None:
    bench = CreateBench(1, fidelity=0.8)
    bench.create("a", **{"count": 1, **fields})  # type: ignore[arg-type]  # fields by name
    assert not bench.answers["a"]
    assert len(bench.creates("a").queue.items) == 1


def test_kept_pairs_need_the_time_to_their_herald_where_that_is_longer_than_a_period() -> None:
    bench = CreateBench(1, link={"click_delay_ns": 4 * PERIOD_NS})
    needed_ns = 4 * PERIOD_NS + PERIOD_NS // 4
    bench.create("a", 1, count=3, within_ns=needed_ns - 1)
    assert f"at least {needed_ns / 1e9:g} s" in refused(bench).reason
    bench.create("a", 2, count=3, within_ns=needed_ns)
    bench.create("a", 3, count=3, kind="measure", within_ns=PERIOD_NS)
    assert len(bench.creates("a").queue.items) == 2


def test_a_deadline_before_the_other_end_could_even_hear_of_it_is_unsupported() -> None:
    bench = CreateBench(1, delay_ns=5 * PERIOD_NS)
    bench.create("a", count=1, kind="measure", within_ns=5 * PERIOD_NS - 1)
    assert f"at least {5 * PERIOD_NS / 1e9:g} s" in refused(bench).reason


def test_reserved_lanes_are_no_room_for_an_atomic_create() -> None:
    bench = CreateBench(1)
    bench.want("a", "planned", lanes=1)
    bench.create("a", count=3, atomic=True)
    assert "this link has room for 2" in refused(bench).reason


def test_an_id_that_lives_is_refused_and_may_be_used_again_when_it_has_ended() -> None:
    bench = CreateBench(2)
    bench.create("a", 5, count=2, kind="measure")
    bench.create("a", 5, count=9, kind="measure")
    ((_, first),) = bench.answers["a"]
    assert isinstance(first, LinkErr)
    assert (first.code, first.where) == ("CREATE", "local")
    assert "id 5 is in use" in first.reason
    bench.create("b", 5, count=2, kind="measure")  # ids are each node's own
    bench.run(100 * MS)
    bench.create("a", 5, count=3, kind="measure")
    bench.run(200 * MS)
    assert [getattr(end, "pairs", None) for end in bench.endings("a") if end.origin == "a"] == [None, 2, 3]
    assert [getattr(end, "pairs", None) for end in bench.endings("b") if end.origin == "b"] == [2]
    check_nothing_is_left(bench)


@pytest.mark.parametrize(("node", "where"), [("a", "local"), ("b", "remote")])
def test_queue_rules_of_either_end_reject_by_purpose(node: str, where: str) -> None:
    bench = CreateBench(3, purposes={node: (7, 8)})
    bench.create("a", 1, count=1, purpose=9)
    bench.create("a", 2, count=1, purpose=8)
    bench.run(20 * MS)
    (rejected,) = [answer for answer in bench.endings("a") if isinstance(answer, LinkErr)]
    assert (rejected.create, rejected.code, rejected.where) == (1, "REJECTED", where)
    assert "purpose 9 is not accepted here (accepted: 7, 8)" in rejected.reason
    assert [ack.create for ack in bench.of("a", LinkAck)] == [2]
    bench.release_all()
    bench.run(100 * MS)
    check_nothing_is_left(bench)


@pytest.mark.parametrize("node", ["a", "b"])
def test_neither_end_fills_more_than_half_of_the_queue(node: str) -> None:
    other = "b" if node == "a" else "a"
    bench = CreateBench(4, link={"creates_max": 6})
    for create in range(4):
        bench.create(node, create, count=5_000, kind="measure")
    bench.run(50 * MS)
    (full,) = bench.endings(node)
    assert isinstance(full, LinkErr)
    assert (full.create, full.code, full.where) == (3, "NORES", "local")
    assert "3 of 3 places" in full.reason
    for create in range(3):
        bench.create(other, create, count=1, kind="measure", priority=1)
    bench.run(200 * MS)
    assert len(bench.of(other, LinkAck)) == 3
    assert len(bench.endings(other)) == 3
    for create in range(3):
        bench.cancel(node, create)
    check_nothing_is_left(bench)
    check_each_ended_once(bench)


def test_a_silent_other_end_is_told_of_so_often_and_then_it_is_notime() -> None:
    bench = CreateBench(5, channel=Channel(loss=1.0), timers=Timers(answer_ns=10 * MS))
    bench.create("a", 1, count=1)
    bench.create("b", 1, count=1)
    bench.run(59 * MS)
    assert not bench.answers["a"]
    bench.run(61 * MS)
    for node in ("a", "b"):
        (answer,) = bench.endings(node)
        assert isinstance(answer, LinkErr)
        assert (answer.code, answer.where) == ("NOTIME", "remote")
    check_nothing_is_left(bench)


def test_a_silent_other_end_makes_a_deadline_notime_too() -> None:
    bench = CreateBench(5, channel=Channel(loss=1.0))
    bench.create("a", 1, count=1, within_ns=7 * MS)
    bench.run(7 * MS)
    ((at_ns, answer),) = bench.answers["a"]
    assert isinstance(answer, LinkErr)
    assert answer.code == "NOTIME"
    assert at_ns <= 7 * MS


def test_a_link_that_is_reserved_for_a_request_rejects_creates() -> None:
    bench = CreateBench(6, link={"reserved_for": "somebody"})
    bench.create("a", count=1)
    answer = refused(bench)
    assert (answer.code, answer.reason) == ("REJECTED", "the link to b is reserved for somebody")
