"""What users of CREATE are told, on a good channel and with one thing going wrong at a time."""

from collections.abc import Callable

import msgspec
import pytest

from bellwire.core.bell import Walsh, fidelity_of, to_walsh, werner
from bellwire.core.effects import ReleaseQubit
from bellwire.core.errors import PeerViolation
from bellwire.core.events import LinkQubitReleased, Received
from bellwire.core.ids import End
from bellwire.core.link_messages import (
    HeraldReport,
    PairsCounted,
    PairsCountedHeard,
    PairsVoid,
    QueueAdd,
)
from bellwire.core.link_words import (
    BasisChoice,
    LinkAck,
    LinkCreate,
    LinkDone,
    LinkErr,
    LinkItem,
    LinkOkKeep,
    LinkOkMeasure,
)
from bellwire.core.settings import HeraldEstimate, Timers
from tests.link_layer.bench import MS, Channel
from tests.link_layer.creating import (
    CreateBench,
    check_each_ended_once,
    check_nothing_is_left,
    check_shared,
)

OTHER = {"a": "b", "b": "a"}
BOTH = pytest.mark.parametrize("node", ["a", "b"])
EITHER_LINK = pytest.mark.parametrize("station", [True, False], ids=["station", "direct"])


# ---- the service


@BOTH
@EITHER_LINK
@pytest.mark.parametrize("kind", ["keep", "measure"])
def test_a_count_is_acknowledged_told_pair_by_pair_at_both_ends_and_done(
    node: str, station: bool, kind: str
) -> None:
    bench = CreateBench(1, station=station)
    bench.create(node, 9, count=3, kind=kind, purpose=77)
    bench.run(60 * MS)
    check_shared(bench, node, 9, pairs=3)
    assert [type(answer).__name__ for _, answer in bench.answers[node]] == [
        "LinkAck",
        *["LinkOkKeep" if kind == "keep" else "LinkOkMeasure"] * 3,
        "LinkDone",
    ]
    for user in ("a", "b"):
        (done,) = bench.endings(user)
        assert done == LinkDone(link="a-b", origin=node, create=9, pairs=3)
        oks: list[LinkOkKeep | LinkOkMeasure] = [
            *bench.of(user, LinkOkKeep),
            *bench.of(user, LinkOkMeasure),
        ]
        assert [ok.sequence for ok in oks] == [1, 2, 3]
        for ok in oks:
            assert (ok.purpose, ok.remote) == (77, OTHER[user])
            assert ok.asked_here == (user == node)
            assert ok.end.side == "ab".index(user)
    check_nothing_is_left(bench)


def test_goodness_is_the_believed_fidelity_at_the_pairs_birth() -> None:
    bench = CreateBench(2, fidelity=0.83)
    bench.create("a", count=2)
    bench.run(60 * MS)
    for node in ("a", "b"):
        for ok in bench.of(node, LinkOkKeep):
            born = bench.sinks[node][-1].born[ok.end]
            assert ok.goodness == pytest.approx(0.83, abs=1e-9)
            assert ok.goodness == fidelity_of(Walsh(born.signs, born.cost))
            assert (ok.born_ns, ok.frame, ok.slot) == (born.at_ns, born.frame, born.slot)
            assert ok.goodness_at_ns == 0  # nothing was measured since the lab file was written


@BOTH
def test_a_kept_qubit_is_its_users_until_it_is_given_back(node: str) -> None:
    bench = CreateBench(3)
    bench.create("a", count=1)
    bench.run(40 * MS)
    (ok,) = bench.of(node, LinkOkKeep)
    sink = bench.sinks[node][-1]
    slot = sink.slots.holding(ok.end)
    assert slot is not None
    assert (slot.state, slot.index) == ("offered", ok.slot)
    assert ok.end in sink.born
    assert ok.end not in sink.released
    assert not sink.ready  # the layers above are not offered the pair
    effects = bench.machines[node].handle(bench.now_ns, LinkQubitReleased(end=ok.end))
    assert ReleaseQubit(slot=ok.slot, tag=0) in effects
    assert sink.released[ok.end] == "delivered"
    assert sink.slots.slot(ok.slot).state == "free"
    other = OTHER[node]
    (theirs,) = bench.of(other, LinkOkKeep)
    bench.run(1_000 * MS)
    assert theirs.end not in bench.sinks[other][-1].released  # the other half is not touched
    assert bench.standing(other, "a", 1)
    bench.release(node, ok.end)  # twice is once
    check_nothing_is_left(bench)


def test_a_measured_pair_is_born_and_delivered_at_once_and_its_slot_goes_on() -> None:
    bench = CreateBench(4)
    bench.create("a", count=40, kind="measure")
    bench.run(200 * MS)
    for node in ("a", "b"):
        sink = bench.sinks[node][-1]
        assert len(bench.of(node, LinkOkMeasure)) == 40
        for ok in bench.of(node, LinkOkMeasure):
            assert sink.released[ok.end] == "delivered"
        assert not sink.ready
    check_nothing_is_left(bench)


def test_each_end_measures_by_its_own_basis_choice() -> None:
    bench = CreateBench(5)
    bench.create(
        "b",
        count=8,
        kind="measure",
        local=BasisChoice(random="XZ", first=255),
        remote=BasisChoice(rotation=(1, 2, 3)),
    )
    bench.run(100 * MS)
    assert {ok.basis for ok in bench.of("b", LinkOkMeasure)} == {"X"}
    assert {ok.basis for ok in bench.of("a", LinkOkMeasure)} == {"Z"}
    assert {(node, order.basis, order.rotation) for node, _, order in bench.orders} == {
        ("a", "Z", (1, 2, 3)),
        ("b", "X", (0, 0, 0)),
    }


def test_counts_of_a_class_are_served_one_after_the_other_in_the_order_of_their_numbers() -> None:
    bench = CreateBench(6)
    bench.create("a", 100, count=60, kind="measure")
    bench.run(5 * MS)
    for create in range(3):
        for node in ("a", "b"):
            bench.create(node, create, count=20, kind="measure")
    bench.run(500 * MS)
    numbers = {(node, ack.create): ack.number for node in ("a", "b") for ack in bench.of(node, LinkAck)}
    for node in ("a", "b"):
        order = [(end.origin, end.create) for end in bench.endings(node)]
        assert len(order) == 7
        assert order == sorted(order, key=lambda name: numbers[name])
        # And not a pair of a later one before the last of an earlier one.
        told = [(ok.origin, ok.create) for ok in bench.of(node, LinkOkMeasure)]
        assert told == [name for name in order for _ in range(60 if name[1] == 100 else 20)]


def test_classes_are_served_beside_each_other() -> None:
    bench = CreateBench(7)
    bench.create("a", 1, count=2_000, kind="measure", priority=0)
    bench.run(20 * MS)
    bench.create("b", 2, count=5, kind="measure", priority=4)
    bench.run(200 * MS)
    assert [end.create for end in bench.endings("a")] == [2]
    bench.run(2_500 * MS)
    assert [end.create for end in bench.endings("a")] == [2, 1]
    check_shared(bench, "a", 1, pairs=2_000)


@BOTH
def test_a_rate_is_kept_until_its_time_is_over(node: str) -> None:
    bench = CreateBench(8)
    bench.create(node, 1, rate_hz=100.0, within_ns=1_000 * MS, kind="measure")
    bench.run(990 * MS)
    assert not bench.endings(node)
    bench.run(1_000 * MS)
    for user in ("a", "b"):
        (done,) = bench.endings(user)
        assert isinstance(done, LinkDone)
        # The link makes 1500 pairs a second: one is there within 5 ms of its time, all but surely.
        assert 95 <= done.pairs <= 101
        born = [ok.born_ns for ok in bench.of(user, LinkOkMeasure)]
        for number, at_ns in enumerate(born):
            assert at_ns >= (number - 1) * 10 * MS  # never ahead of its pace
    check_shared(bench, node, 1, pairs=len(bench.of("a", LinkOkMeasure)))
    check_nothing_is_left(bench)


def test_a_rate_runs_beside_a_count_of_its_class() -> None:
    bench = CreateBench(9)
    bench.create("a", 1, count=1_000, kind="measure")
    bench.create("a", 2, rate_hz=50.0, within_ns=400 * MS, kind="measure")
    bench.run(400 * MS)
    (done,) = bench.endings("a")
    assert isinstance(done, LinkDone)
    assert done.create == 2
    assert done.pairs >= 15
    assert sum(ok.create == 1 for ok in bench.of("a", LinkOkMeasure)) > 200


def test_a_planned_request_keeps_its_rate_beside_a_create() -> None:
    bench = CreateBench(10)
    for node in ("a", "b"):
        bench.want(node, "planned")  # 1 Hz
    bench.create("a", 1, count=50_000, kind="measure")
    bench.run(2_000 * MS)
    assert len(bench.sinks["a"][-1].ready) >= 2
    assert len(bench.of("a", LinkOkMeasure)) > 1_500  # of some 3000 that the link makes alone


@BOTH
def test_surplus_pairs_are_let_go_at_both_ends(node: str) -> None:
    # Certain success: all lanes have a pair at every attempt, and the count is not a multiple of them.
    bench = CreateBench(11, link={"success_probability": 1.0})
    bench.create(node, 1, count=2, kind="keep")
    bench.run(100 * MS)
    check_shared(bench, node, 1, pairs=2)
    assert bench.services["a"].ends["a-b"].counters["create_surplus"] >= 1
    for user in ("a", "b"):
        sink = bench.sinks[user][-1]
        held = [slot.end for slot in sink.slots.slots() if slot.end is not None]
        assert {ok.end for ok in bench.of(user, LinkOkKeep)} == set(held)
    check_nothing_is_left(bench)


def test_what_a_rate_has_no_use_for_is_let_go_at_both_ends_at_once() -> None:
    bench = CreateBench(29)
    bench.create("b", 1, rate_hz=4.0, within_ns=200 * MS)
    bench.run(150 * MS)
    assert bench.services["a"].ends["a-b"].counters["create_surplus"] > 50
    for user in ("a", "b"):
        (ok,) = bench.of(user, LinkOkKeep)
        assert {slot.end for slot in bench.sinks[user][-1].slots.slots()} <= {None, ok.end}
    check_nothing_is_left(bench)


@BOTH
def test_pairs_that_have_become_worse_than_their_user_wants_them_are_not_told(node: str) -> None:
    bench = CreateBench(35, fidelity=0.95)
    bench.create(node, 1, count=1_500, kind="measure", fidelity_min=0.95, within_ns=200 * MS)
    bench.run(20 * MS)
    told = {user: len(bench.of(user, LinkOkMeasure)) for user in ("a", "b")}
    assert told["a"] > 5
    signs, cost = to_walsh(werner(0.9))
    for user in ("a", "b"):
        bench.services[user].ends["a-b"].births.estimate = lambda point, code: HeraldEstimate(
            code=code, frame=code + 1, signs=signs, cost=cost
        )
    bench.run(200 * MS)
    for user in ("a", "b"):
        assert len(bench.of(user, LinkOkMeasure)) - told[user] <= 2  # on their way
        (err,) = bench.endings(user)
        assert isinstance(err, LinkErr)
        assert err.code == "TIMEOUT"
    assert bench.services["a"].ends["a-b"].counters["create_too_poor"] > 50
    check_nothing_is_left(bench)


# ---- all together


@BOTH
@pytest.mark.parametrize("asked", [{"atomic": True}, {"consecutive": False}], ids=["atomic", "batch"])
def test_pairs_that_belong_together_are_told_when_all_are_in_memory(
    node: str, asked: dict[str, object]
) -> None:
    bench = CreateBench(12)
    bench.create(node, 1, count=3, **asked)
    bench.run(60 * MS)
    for user in ("a", "b"):
        times = [at_ns for at_ns, answer in bench.answers[user] if isinstance(answer, LinkOkKeep)]
        assert len(times) == 3
        assert len(set(times)) == 1
        slots = bench.sinks[user][-1].slots
        assert all(slots.holding(ok.end) is not None for ok in bench.of(user, LinkOkKeep))
    check_shared(bench, node, 1, pairs=3)
    check_nothing_is_left(bench)


def test_a_batch_of_measured_pairs_is_told_at_its_end() -> None:
    bench = CreateBench(13)
    bench.create("b", 1, count=50, kind="measure", consecutive=False)
    bench.run(200 * MS)
    for user in ("a", "b"):
        times = {at_ns for at_ns, answer in bench.answers[user] if isinstance(answer, LinkOkMeasure)}
        assert len(times) == 1
        assert [ok.sequence for ok in bench.of(user, LinkOkMeasure)] == list(range(1, 51))
    check_shared(bench, "b", 1, pairs=50)


def test_an_atomic_set_of_which_a_pair_gets_too_old_is_made_anew() -> None:
    # A pair comes once in 100 ms a lane and lasts 25 ms: 19 of 20 first pairs wait in vain for two others.
    bench = CreateBench(
        14, link={"success_probability": 0.001}, timers=Timers(age_max_ns=25 * MS, answer_ns=20 * MS)
    )
    bench.create("a", 1, count=3, atomic=True)
    bench.run(5_000 * MS)
    assert bench.services["a"].ends["a-b"].counters["create_aged"] > 0
    for user in ("a", "b"):
        oks = bench.of(user, LinkOkKeep)
        assert len(oks) == 3
        assert max(ok.born_ns for ok in oks) - min(ok.born_ns for ok in oks) < 25 * MS
        reasons = list(bench.sinks[user][-1].released.values())
        assert "cutoff" in reasons or "dead" in reasons
    sets = {ok.end.partner for ok in bench.of("a", LinkOkKeep)}
    assert sets == {ok.end for ok in bench.of("b", LinkOkKeep)}
    check_nothing_is_left(bench)


# ---- ends


@BOTH
def test_a_deadline_ends_a_count_at_both_ends_before_it_is_over(node: str) -> None:
    bench = CreateBench(15)
    bench.create(node, 1, count=900, kind="measure", within_ns=50 * MS)  # would take 600 ms
    bench.run(50 * MS)
    for user in ("a", "b"):
        (err,) = bench.endings(user)
        assert isinstance(err, LinkErr)
        assert err.code == "TIMEOUT"
        at_ns = next(at_ns for at_ns, answer in bench.answers[user] if answer is err)
        assert at_ns <= 50 * MS
    assert len(bench.of("a", LinkOkMeasure)) > 20
    bench.run(100 * MS)
    check_shared(bench, node, 1, pairs=len(bench.standing("a", node, 1)))
    check_nothing_is_left(bench)


def test_a_create_without_a_deadline_ends_with_the_networks_own() -> None:
    bench = CreateBench(16, timers=Timers(request_ns=300 * MS))
    bench.create("a", 1, count=60_000, kind="measure")
    bench.run(299 * MS)
    assert not bench.endings("a")
    bench.run(300 * MS)
    (err,) = bench.endings("a")
    assert isinstance(err, LinkErr)
    assert err.code == "TIMEOUT"


@BOTH
def test_a_withdrawn_create_ends_at_both_ends_and_told_qubits_stay(node: str) -> None:
    bench = CreateBench(17)
    bench.create(node, 1, count=9)
    bench.run(60 * MS)
    assert len(bench.standing("a", node, 1)) == 3  # all slots are held
    bench.cancel(node, 1)
    bench.cancel(node, 1)  # nothing to withdraw any more
    bench.run(70 * MS)
    where = {
        user: [(end.code, end.where) for end in bench.endings(user) if isinstance(end, LinkErr)]
        for user in ("a", "b")
    }
    assert where == {node: [("OTHER", "local")], OTHER[node]: [("OTHER", "remote")]}
    check_shared(bench, node, 1, pairs=3)
    check_each_ended_once(bench)
    check_nothing_is_left(bench)


def test_a_silent_side_zero_does_not_keep_side_one_beyond_its_deadline() -> None:
    bench = CreateBench(18)
    bench.create("b", 1, count=1_000, kind="measure", within_ns=50 * MS)
    bench.run(30 * MS)
    bench.channel = Channel(loss=1.0)
    bench.run(50 * MS)
    (err,) = bench.endings("b")
    assert isinstance(err, LinkErr)
    assert (err.code, err.where) == ("TIMEOUT", "local")
    check_nothing_is_left(bench)
    check_each_ended_once(bench)
    assert {end.partner for end in bench.standing("a", "b", 1)} == set(bench.standing("b", "b", 1))


# ---- EXPIRE


def expired(bench: CreateBench, node: str) -> list[End]:
    return [end for err in bench.of(node, LinkErr) if err.code == "EXPIRE" for end in err.ends]


@BOTH
def test_a_memory_that_forgets_expires_what_was_told_at_both_ends_and_pairs_are_made_anew(
    node: str,
) -> None:
    bench = CreateBench(19)
    bench.create("a", 1, count=4)
    bench.run(60 * MS)
    assert len(bench.standing("a", "a", 1)) == 3
    lost = {user: set(bench.standing(user, "a", 1)) for user in ("a", "b")}
    bench.forget_memory(node)
    bench.run(61 * MS)
    for user in ("a", "b"):
        assert set(expired(bench, user)) == lost[user]
        codes = {(err.where, err.code) for err in bench.of(user, LinkErr)}
        assert codes == {("local" if user == node else "remote", "EXPIRE")}
    bench.run(150 * MS)
    for _ in range(4):
        bench.release_all()
        bench.run(bench.now_ns + 50 * MS)
    for user in ("a", "b"):
        (done,) = bench.endings(user)
        assert isinstance(done, LinkDone)
        assert done.pairs == 4
    check_shared(bench, "a", 1, pairs=4)
    assert min(ok.sequence for ok in bench.standing("a", "a", 1).values()) == 4  # numbers are not used twice
    check_nothing_is_left(bench)


@EITHER_LINK
def test_a_measurement_without_a_result_is_void_at_both_ends_and_replaced(station: bool) -> None:
    bench = CreateBench(20, station=station, no_result=0.2)
    bench.create("b", 1, count=60, kind="measure")
    bench.run(400 * MS)
    check_shared(bench, "b", 1, pairs=60)
    failed = [bench.services[user].ends["a-b"].counters["create_no_result"] for user in ("a", "b")]
    assert min(failed) > 5
    assert expired(bench, "a")  # side 0 had told some of which side 1 then had no bit
    assert not set(expired(bench, "a")) & set(bench.standing("a", "b", 1))
    assert list(bench.sinks["a"][-1].released.values()).count("dead") >= failed[0]
    check_nothing_is_left(bench)


def test_a_qubit_that_is_not_given_back_in_its_time_is_given_up_and_its_user_told() -> None:
    bench = CreateBench(21)
    bench.create("a", 1, count=1, hold_ns=7 * MS)
    bench.run(60 * MS)
    for user in ("a", "b"):
        (told_ns,) = [at_ns for at_ns, answer in bench.answers[user] if isinstance(answer, LinkOkKeep)]
        (gone_ns,) = [
            at_ns
            for at_ns, answer in bench.answers[user]
            if isinstance(answer, LinkErr) and answer.code == "EXPIRE"
        ]
        assert gone_ns - told_ns == 7 * MS
        (done,) = bench.endings(user)
        assert isinstance(done, LinkDone)  # the pair was there and counts
    check_nothing_is_left(bench)


def test_a_qubit_is_not_held_beyond_the_age_limit_of_the_network() -> None:
    bench = CreateBench(22, timers=Timers(age_max_ns=30 * MS))
    bench.create("a", 1, count=1, hold_ns=1_000 * MS)
    bench.run(100 * MS)
    for user in ("a", "b"):
        (ok,) = bench.of(user, LinkOkKeep)
        (gone_ns,) = [at_ns for at_ns, answer in bench.answers[user] if isinstance(answer, LinkErr)]
        assert gone_ns - ok.born_ns == 30 * MS
        assert expired(bench, user) == [ok.end]
    check_nothing_is_left(bench)


# ---- restarts


def lives_on(bench: CreateBench, node: str) -> list[LinkDone | LinkErr]:
    bench.run(bench.now_ns + 500 * MS)
    check_each_ended_once(bench)
    return bench.endings(node)


@BOTH
def test_a_create_of_an_end_that_restarts_ends_with_other_at_the_other_end(node: str) -> None:
    bench = CreateBench(23)
    bench.create(node, 1, count=60_000, kind="measure")
    bench.run(50 * MS)
    bench.boot(node)
    (err,) = lives_on(bench, OTHER[node])
    assert isinstance(err, LinkErr)
    assert (err.code, err.where, err.origin) == ("OTHER", "remote", node)
    assert err.reason == f"{node} restarted"
    check_nothing_is_left(bench)


@BOTH
def test_a_create_of_the_living_end_is_asked_again_when_nothing_of_it_was_told(node: str) -> None:
    bench = CreateBench(24)
    link = bench.link
    bench.link = msgspec.structs.replace(link, success_probability=0.0)  # of the hardware
    bench.create(node, 1, count=5, kind="measure")
    bench.run(50 * MS)
    (before,) = bench.of(node, LinkAck)
    bench.boot(OTHER[node])
    bench.link = link
    (done,) = lives_on(bench, node)
    assert isinstance(done, LinkDone)
    assert done.pairs == 5
    assert bench.of(node, LinkAck) == [before]  # acknowledged once
    check_shared(bench, node, 1, pairs=5)
    check_nothing_is_left(bench)


@BOTH
@pytest.mark.parametrize("kind", ["keep", "measure"])
def test_a_create_of_the_living_end_of_which_pairs_were_told_ends_with_other(node: str, kind: str) -> None:
    bench = CreateBench(25)
    bench.create(node, 1, count=6_000, kind=kind)
    bench.run(50 * MS)
    told = set(bench.standing(node, node, 1))
    assert told
    bench.boot(OTHER[node])
    (err,) = lives_on(bench, node)
    assert isinstance(err, LinkErr)
    assert (err.code, err.where) == ("OTHER", "remote")
    if kind == "keep":
        assert set(expired(bench, node)) == told  # their other halves are gone
    else:
        assert len(told - set(expired(bench, node))) >= len(told) - 3  # bits of both ends stand
    check_nothing_is_left(bench)


# ---- words on the way


@BOTH
def test_a_late_copy_of_a_create_does_not_bring_it_back_after_its_end(node: str) -> None:
    bench = CreateBench(30)
    sent: list[QueueAdd] = []

    def look_on(to: str, message: object) -> bool:
        if isinstance(message, QueueAdd):
            sent.append(message)
        return False

    bench.lose = look_on
    bench.create(node, 1, count=2, kind="measure")
    bench.run(100 * MS)
    (word,) = [message for message in sent if message.item.origin == node]
    bench.tell(OTHER[node], Received(source=node, incarnation=1, message=word))
    assert not bench.creates(OTHER[node]).queue.items
    bench.run(200 * MS)
    check_each_ended_once(bench)
    check_nothing_is_left(bench)


@BOTH
def test_an_answer_about_a_create_that_nobody_knows_any_more_removes_it_where_it_stands(node: str) -> None:
    bench = CreateBench(31)
    asked = LinkCreate(create=1, partner=OTHER[node], count=2)
    number = 5 if node == "a" else None
    item = LinkItem(origin=node, asked=asked, ticket=77, queue=0, number=number, left_ns=10**9)
    bench.tell(OTHER[node], Received(source=node, incarnation=1, message=QueueAdd(link="a-b", item=item)))
    assert len(bench.creates(OTHER[node]).queue.items) == 1
    bench.run(5 * MS)
    assert not bench.creates(OTHER[node]).queue.items
    check_nothing_is_left(bench)


@pytest.mark.parametrize(
    "change", [{"origin": "b"}, {"origin": "m"}, {"number": None}, {"partner": "a"}], ids=str
)
def test_a_create_that_is_not_the_senders_to_tell_is_a_violation(change: dict[str, object]) -> None:
    bench = CreateBench(32)
    asked = LinkCreate(create=1, partner=str(change.get("partner", "b")), count=2)
    fields: dict[str, object] = {"origin": "a", "number": 5, **change}
    fields.pop("partner", None)
    item = LinkItem(asked=asked, ticket=77, queue=0, left_ns=10**9, **fields)  # type: ignore[arg-type]
    with pytest.raises(PeerViolation, match="a broke the protocol"):
        bench.tell("b", Received(source="a", incarnation=1, message=QueueAdd(link="a-b", item=item)))


def silenced(kind: type) -> Callable[[str, object], bool]:
    return lambda to, message: isinstance(message, kind)


@BOTH
def test_void_words_that_are_lost_are_said_again_until_both_users_stand_alike(node: str) -> None:
    bench = CreateBench(26, timers=Timers(answer_ns=10 * MS))
    bench.create("a", 1, count=3)
    bench.run(60 * MS)
    bench.lose = silenced(PairsVoid)
    bench.forget_memory(node)
    bench.run(100 * MS)
    assert len(expired(bench, node)) == 3
    assert not expired(bench, OTHER[node])
    bench.lose = lambda to, message: False
    bench.run(111 * MS)
    assert len(expired(bench, OTHER[node])) == 3
    check_nothing_is_left(bench)


@BOTH
@pytest.mark.parametrize("kind", ["keep", "measure"])
def test_pairs_whose_number_never_reaches_side_one_are_taken_back_by_each_end_and_made_anew(
    node: str, kind: str
) -> None:
    bench = CreateBench(33, timers=Timers(answer_ns=5 * MS))
    # `node` does not hear that the other end gave up either.
    bench.lose = lambda to, message: (
        isinstance(message, PairsCounted) or (to == node and isinstance(message, PairsVoid))
    )
    bench.create("b", 1, count=2, kind=kind)
    bench.run(40 * MS)
    first = set(bench.standing("a", "b", 1))
    assert len(first) == 2
    assert not bench.standing("b", "b", 1)
    bench.run(90 * MS)  # twelve words in 60 ms were lost
    if node == "a":
        assert bench.services["a"].ends["a-b"].counters["count_unheard"] >= 2
        assert first <= set(expired(bench, "a"))
    else:
        kept = {end.partner for end in first} & {
            slot.end for slot in bench.sinks["b"][-1].slots.slots() if slot.end is not None
        }
        assert not kept
        assert bench.services["b"].ends["a-b"].counters["create_aged"] >= 2
    bench.lose = lambda to, message: False
    bench.run(300 * MS)
    check_shared(bench, "b", 1, pairs=2)
    check_nothing_is_left(bench)


def test_a_number_that_comes_before_the_herald_is_not_told_again_to_be_known() -> None:
    bench = CreateBench(34, timers=Timers(answer_ns=10_000 * MS))  # nothing is said twice in this test
    lost: list[HeraldReport] = []

    def first_report(to: str, message: object) -> bool:
        if to != "b" or not isinstance(message, HeraldReport) or lost:
            return False
        lost.append(message)
        return True

    bench.lose = first_report
    bench.create("a", 1, count=1)
    bench.run(1_000 * MS)
    (ok,) = bench.of("b", LinkOkKeep)
    assert (ok.end.attempt, ok.end.lane) == (lost[0].attempt, lost[0].lane)
    check_shared(bench, "a", 1, pairs=1)
    check_nothing_is_left(bench)


@BOTH
def test_only_side_zero_counts_pairs(node: str) -> None:
    bench = CreateBench(36)
    word: PairsCounted | PairsCountedHeard = PairsCounted(link="a-b", request="r", run=1, pairs=())
    if node == "b":
        word = PairsCountedHeard(link="a-b", run=1, kept=(), void=())
    with pytest.raises(PeerViolation, match="only side 0"):
        bench.tell(node, Received(source=OTHER[node], incarnation=1, message=word))
