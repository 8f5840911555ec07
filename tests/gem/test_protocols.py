"""Broadcast and Update between nodes: who is told what, and when."""

from random import Random

import pytest
from msgspec.structs import replace

from bellwire.core.bell import COST_MAX
from bellwire.core.effects import Publish, Send
from bellwire.core.errors import LocalMisuse, PeerViolation
from bellwire.core.events import PeerChanged, Received, Started
from bellwire.core.facts import Began, Corrected, Swapped
from bellwire.core.messages import EndNews, FactBatch
from bellwire.core.notices import EndChanged, EndDied, PeerRestarted, ViewReady
from bellwire.core.settings import LedgerScope
from bellwire.gem.replica import TOLD_PER_STEP
from tests.gem.bench import GemNode, Logs, Mail, born, end, line, mail_of, released, settings_of, swapped
from tests.gem.histories import live, story_of


def news_in(mail: Mail) -> list[tuple[str, str, EndNews]]:
    """EndNews sent so far."""
    return [(source, to, word) for source, to, word in mail.sent if isinstance(word, EndNews)]


def test_a_step_publishes_its_facts_once_and_before_word_to_the_far_ends() -> None:
    mail = mail_of("a", "b", "c")
    b = mail.nodes["b"]
    effects = b.write(5, born("l0", 1), born("l1", 0))
    assert [type(effect) for effect in effects] == [Publish]
    publish, *sends = b.write(6, swapped(end("l0", 1), end("l1", 0)))
    assert isinstance(publish, Publish)
    assert publish.urgent_to == ("a", "c")
    assert (publish.batch.first, len(publish.batch.facts)) == (4, 1)
    assert sends == [
        Send(
            to=to,
            message=EndNews(end=far, author="b", incarnation=1, number=4),
            urgency="outcome",
        )
        for to, far in (("a", end("l0", 0)), ("c", end("l1", 1)))
    ]
    assert b.read(7) == []


def test_only_a_death_by_release_is_word_to_the_far_end() -> None:
    mail = mail_of("a", "b")
    a = mail.nodes["a"]
    a.write(5, born("l0", 0), born("l0", 0, attempt=2))
    delivered = a.write(6, released(end("l0", 0), "delivered"))
    withdrawn = a.write(7, released(end("l0", 0, attempt=2), "withdrawn"))
    assert [type(effect) for effect in delivered] == [Publish]
    assert [effect.to for effect in withdrawn if isinstance(effect, Send)] == ["b"]


def test_whoever_answers_a_death_with_a_release_sends_no_second_word() -> None:
    mail = mail_of("a", "b", "c")
    mail.write("a", born("l0", 0))
    mail.write("b", born("l0", 1), born("l1", 0))
    mail.write("c", born("l1", 1))
    mail.deliver()
    mail.write("b", swapped(end("l0", 1), end("l1", 0), ok=False))
    mail.deliver()
    assert mail.nodes["a"].told(EndDied) == [EndDied(end=end("l0", 0))]
    assert mail.nodes["c"].told(EndDied) == [EndDied(end=end("l1", 1))]
    mail.sent.clear()
    mail.write("a", released(end("l0", 0), "dead"))
    mail.write("c", released(end("l1", 1), "dead"))
    mail.deliver()
    assert news_in(mail) == []
    assert all(not node.gem.replica.fold.ends for node in mail.nodes.values())


def test_a_swap_elsewhere_tells_the_holders_of_both_far_ends() -> None:
    mail = mail_of("a", "b", "c")
    mail.write("a", born("l0", 0))
    mail.write("b", born("l0", 1), born("l1", 0))
    mail.write("c", born("l1", 1))
    mail.deliver()
    for node in mail.nodes.values():
        node.forget()
    mail.write("b", swapped(end("l0", 1), end("l1", 0), outcome=3))
    mail.deliver()
    for name, own, far in (("a", end("l0", 0), end("l1", 1)), ("c", end("l1", 1), end("l0", 0))):
        node = mail.nodes[name]
        assert node.told(EndChanged) == [EndChanged(end=own)]
        fold = node.gem.replica.fold
        assert fold.far_end(own) == far
        chain = fold.chain(own)
        assert chain is not None
        assert chain.frame == 2 ^ 2 ^ 3
    assert mail.nodes["b"].heard == []


def test_the_holder_of_a_half_born_into_a_dead_chain_is_told_at_once() -> None:
    mail = mail_of("a", "b")
    mail.write("a", born("l0", 0))
    mail.write("a", released(end("l0", 0), "unusable"))
    mail.deliver()
    b = mail.nodes["b"]
    b.forget()
    mail.write("b", born("l0", 1))
    assert b.told(EndDied) == [EndDied(end=end("l0", 1))]
    assert b.told(EndChanged) == []


@pytest.mark.parametrize("second_ok", [True, False])
def test_word_of_simultaneous_swaps_at_neighbours_is_passed_on_to_the_present_ends(second_ok: bool) -> None:
    mail = mail_of("a", "b", "c", "d")
    mail.write("a", born("l0", 0))
    mail.write("b", born("l0", 1), born("l1", 0))
    mail.write("c", born("l1", 1), born("l2", 0))
    mail.write("d", born("l2", 1))
    mail.deliver()
    mail.sent.clear()
    mail.write("b", swapped(end("l0", 1), end("l1", 0)))
    mail.write("c", swapped(end("l1", 1), end("l2", 0), ok=second_ok))
    mail.deliver()
    passed = [(source, to, word.end) for source, to, word in news_in(mail) if word.author != source]
    # A failed swap leaves no end in its place; the far end on that side is told of the failure itself.
    assert passed == ([("c", "d", end("l2", 1))] if second_ok else []) + [("b", "a", end("l0", 0))]
    a, d = mail.nodes["a"], mail.nodes["d"]
    assert a.gem.replica.fold.far_end(end("l0", 0)) == end("l2", 1)
    assert d.gem.replica.fold.far_end(end("l2", 1)) == end("l0", 0)
    assert bool(a.told(EndDied)) is not second_ok
    assert bool(d.told(EndDied)) is not second_ok


def test_with_logs_the_far_ends_of_simultaneous_swaps_learn_it_from_word_alone() -> None:
    settings = line("a", "b", "c", "d")
    logs = Logs(settings)
    nodes = {name: GemNode(settings, name, logs.at(name), digests=False) for name in settings.nodes}
    flying: list[tuple[int, str, str, EndNews]] = []

    def post(now_ns: int, name: str, effects: list[Publish | Send]) -> None:
        for effect in logs.publish(now_ns, name, effects):
            assert isinstance(effect.message, EndNews)
            flying.append((now_ns + settings.delay_ns(name, effect.to), name, effect.to, effect.message))

    for name, node in nodes.items():
        post(0, name, node.handle(0, Started(incarnation=1)))
    post(1, "a", nodes["a"].write(1, born("l0", 0)))
    post(1, "b", nodes["b"].write(1, born("l0", 1), born("l1", 0)))
    post(1, "c", nodes["c"].write(1, born("l1", 1), born("l2", 0)))
    post(1, "d", nodes["d"].write(1, born("l2", 1)))
    assert logs.reads == 0  # births are written without reading
    post(9_000, "b", nodes["b"].write(9_000, swapped(end("l0", 1), end("l1", 0))))
    post(9_000, "c", nodes["c"].write(9_000, swapped(end("l1", 1), end("l2", 0))))
    while flying:
        flying.sort(key=lambda one: one[0])
        now_ns, source, to, word = flying.pop(0)
        post(now_ns, to, nodes[to].handle(now_ns, Received(source=source, incarnation=1, message=word)))
    for name, own, far in (("a", end("l0", 0), end("l2", 1)), ("d", end("l2", 1), end("l0", 0))):
        node = nodes[name]
        assert node.told(EndChanged)[-1] == EndChanged(end=own)
        assert node.gem.replica.fold.complete(own)
        assert node.gem.replica.fold.far_end(own) == far
        assert node.deadline_ns() is None


def test_a_swap_is_written_with_the_far_ends_as_they_can_be_seen_at_that_moment() -> None:
    settings = line("a", "b", "c", "d")
    logs = Logs(settings)
    nodes = {name: GemNode(settings, name, logs.at(name), digests=False) for name in settings.nodes}
    for name, node in nodes.items():
        logs.publish(0, name, node.handle(0, Started(incarnation=1)))
    logs.publish(1, "b", nodes["b"].write(1, born("l0", 1), born("l1", 0)))
    logs.publish(1, "c", nodes["c"].write(1, born("l1", 1), born("l2", 0)))
    logs.publish(5_000, "c", nodes["c"].write(5_000, swapped(end("l1", 1), end("l2", 0))))
    sends = logs.publish(9_000, "b", nodes["b"].write(9_000, swapped(end("l0", 1), end("l1", 0))))
    assert [send.to for send in sends] == ["a", "d"]  # d's half itself has not even been told yet


def test_nobody_is_woken_for_a_far_end_that_was_delivered() -> None:
    mail = mail_of("a", "b", "c")
    mail.write("a", born("l0", 0))
    mail.write("b", born("l0", 1), born("l1", 0))
    mail.write("c", born("l1", 1))
    mail.write("a", released(end("l0", 0), "delivered"))
    mail.deliver()
    mail.sent.clear()
    mail.write("b", swapped(end("l0", 1), end("l1", 0)))
    assert [to for _, to, _ in news_in(mail)] == ["c"]


def test_who_does_not_read_does_not_fold_and_a_view_is_answered_in_the_same_step() -> None:
    settings = line("a", "b")
    logs = Logs(settings)
    a = GemNode(settings, "a", logs.at("a"), digests=False)
    b = GemNode(settings, "b", logs.at("b"), digests=False)
    for node in (a, b):
        logs.publish(0, node.name, node.handle(0, Started(incarnation=1)))
    a.write(1, born("l0", 0))
    logs.publish(1, "b", b.write(1, born("l0", 1)))
    fold = a.gem.replica.fold
    assert not fold.complete(end("l0", 0))
    a.read(1_000)
    assert not fold.complete(end("l0", 0))  # one delay is 1000 ns: b's birth of 1 ns is not visible yet
    a.read(1_001)
    assert fold.complete(end("l0", 0))
    assert a.told(EndChanged) == [EndChanged(end=end("l0", 0))]
    views = [notice for notice in a.told(ViewReady) if isinstance(notice, ViewReady)]
    assert [view.as_of_ns for view in views] == [1_000, 1_001]
    assert all(view.view is fold and view.purpose == "test" for view in views)


def test_word_that_overtakes_its_fact_is_kept_until_the_fact_can_be_seen() -> None:
    settings = line("a", "b", "c")
    logs = Logs(settings)
    nodes = {name: GemNode(settings, name, logs.at(name), digests=False) for name in settings.nodes}
    for name, node in nodes.items():
        logs.publish(0, name, node.handle(0, Started(incarnation=1)))
    logs.publish(1, "a", nodes["a"].write(1, born("l0", 0)))
    logs.publish(1, "b", nodes["b"].write(1, born("l0", 1), born("l1", 0)))
    logs.publish(1, "c", nodes["c"].write(1, born("l1", 1)))
    sends = logs.publish(5_000, "c", nodes["c"].write(5_000, released(end("l1", 1), "cutoff", at_ns=5_000)))
    assert [send.to for send in sends] == ["b"]
    logs.publish(5_100, "b", nodes["b"].write(5_100, swapped(end("l0", 1), end("l1", 0), at_ns=5_100)))
    early = Received(source="c", incarnation=1, message=sends[0].message)
    b = nodes["b"]
    assert b.handle(5_200, early) == []
    assert b.deadline_ns() == 6_200  # by then the fact is visible wherever it was written
    passed = b.fire(6_200)
    assert [effect.to for effect in passed if isinstance(effect, Send)] == ["a"]
    assert b.deadline_ns() is None


def test_word_about_an_end_that_nobody_knows_is_dropped_and_counted() -> None:
    mail = mail_of("a", "b")
    b = mail.nodes["b"]
    word = EndNews(end=end("l0", 1, attempt=77), author="a", incarnation=1, number=1)
    assert b.handle(9, Received(source="a", incarnation=1, message=word)) == []
    assert b.gem.forwarding.dropped == 1


@pytest.mark.parametrize("scope", ["network", "routes"])
def test_replicas_agree_bit_for_bit_after_loss_repetition_and_reordering(scope: LedgerScope) -> None:
    """Of one request, which all nodes serve."""
    agreed = lost = repeated = 0
    for seed in range(12):
        random = Random(seed)
        net = live(random, 4, 160, ring=seed % 3 == 0, restarts=False)
        names = [node.name for node in net.nodes]
        settings = replace(settings_of(names, net.links), ledgers=scope)
        mail = Mail({name: GemNode(settings, name) for name in names}, random, lossy=0.2)
        mail.start()
        for node in mail.nodes.values():
            assert node.plan(0, tuple(names)) == []
        left = {author: [fact for _, fact in told[1:]] for author, told in story_of(net).items()}
        while any(left.values()):
            author = random.choice([name for name in names if left[name]])
            size = random.randrange(1, 4)
            mail.write(author, *left[author][:size])
            del left[author][:size]
            if random.random() < 0.5:
                mail.deliver(random.choice(names), random.choice(names))
        # A question and its answer both arrive with 0.64; all 60 chances fail with less than 1e-26.
        mail.settle(rounds=60)
        marks = [node.gem.replica.watermarks() for node in mail.nodes.values()]
        digests = {node.gem.replica.fold.digest() for node in mail.nodes.values()}
        assert all(mark == marks[0] for mark in marks)
        assert len(digests) == 1
        agreed += len(marks)
        lost += mail.lost
        repeated += mail.repeated
    assert agreed == 48
    assert lost > 500
    assert repeated > 500


def test_a_restart_ends_what_the_node_held_and_the_newcomer_learns_everything_again() -> None:
    mail = mail_of("a", "b", "c")
    mail.write("a", born("l0", 0, at_ns=1))
    mail.write("b", born("l0", 1, at_ns=1), born("l1", 0, at_ns=1))
    mail.write("c", born("l1", 1, at_ns=1), born("l1", 1, attempt=2, at_ns=1))
    mail.deliver()
    for node in mail.nodes.values():
        node.forget()
    mail.now_ns = 100
    again = GemNode(line("a", "b", "c"), "b", digests=False, incarnation=2)
    mail.nodes["b"] = again
    mail.post(again, again.handle(100, Started(incarnation=2)))
    for name in ("a", "c"):
        node = mail.nodes[name]
        mail.post(node, node.handle(100, PeerChanged(peer="b", state="up", incarnation=2)))
        mail.post(again, again.handle(100, PeerChanged(peer=name, state="up", incarnation=1)))
    mail.deliver()
    a, c = mail.nodes["a"], mail.nodes["c"]
    assert a.told(PeerRestarted) == [PeerRestarted(peer="b", incarnation=2)]
    assert a.told(EndDied) == [EndDied(end=end("l0", 0))]
    # The second pair's half at b was never told: it was heralded before b began again, so it is gone too.
    assert c.told(EndDied) == [EndDied(end=end("l1", 1)), EndDied(end=end("l1", 1, attempt=2))]
    assert again.told(PeerRestarted) == []
    assert again.gem.replica.fold.digest() == a.gem.replica.fold.digest() == c.gem.replica.fold.digest()


def test_a_death_of_many_ends_is_told_in_several_steps_so_that_no_step_overflows() -> None:
    mail = mail_of("a", "b")
    many = 5 * TOLD_PER_STEP + 1
    mail.write("a", *(born("l0", 0, attempt=attempt) for attempt in range(many)))
    mail.write("b", *(born("l0", 1, attempt=attempt) for attempt in range(many)))
    mail.settle(rounds=many)
    a = mail.nodes["a"]
    a.forget()
    batch = FactBatch(incarnation=2, first=1, facts=(Began(incarnation=2, survivors=(), at_ns=100),))
    a.handle(200, Received(source="b", incarnation=2, message=batch))
    assert len(a.told(EndDied)) == TOLD_PER_STEP
    steps = 1
    while (due := a.deadline_ns()) is not None:
        assert due <= 200
        a.fire(200)
        steps += 1
    assert steps == 6
    assert {notice.end for notice in a.told(EndDied) if isinstance(notice, EndDied)} == {
        end("l0", 0, attempt=attempt) for attempt in range(many)
    }


@pytest.mark.parametrize(
    "fact",
    [
        born("l0", 0),
        born("l9", 1),
        born("l0", 1, frame=4),
        Corrected(end=end("l0", 1), pauli=4, at_ns=1),
        swapped(end("l0", 1), end("l0", 1)),
        Swapped(
            left=end("l0", 1),
            right=end("l0", 1, attempt=2),
            result="ok",
            outcome=0,
            signs=0,
            cost=(0, -1, 0),
            at_ns=1,
        ),
        Swapped(
            left=end("l0", 1),
            right=end("l0", 1, attempt=2),
            result="ok",
            outcome=0,
            signs=0,
            cost=(0, COST_MAX + 1, 0),
            at_ns=1,
        ),
    ],
)
def test_a_peer_that_writes_what_it_may_not_is_refused_whole(fact: Swapped | Corrected) -> None:
    mail = mail_of("a", "b")
    a = mail.nodes["a"]
    before = a.gem.replica.fold.digest()
    batch = FactBatch(incarnation=1, first=2, facts=(born("l0", 1, attempt=8), fact))
    with pytest.raises(PeerViolation):
        a.handle(5, Received(source="b", incarnation=1, message=batch))
    assert a.gem.replica.fold.digest() == before


def test_our_own_parts_may_not_write_twice_or_about_others() -> None:
    mail = mail_of("a", "b")
    a = mail.nodes["a"]
    a.write(1, born("l0", 0))
    for wrong in (born("l0", 0), born("l0", 1), Corrected(end=end("l0", 0, attempt=5), pauli=1, at_ns=1)):
        with pytest.raises(LocalMisuse):
            a.write(2, wrong)
        a.step.notices.clear()


def test_digests_off_and_nothing_missing_means_no_deadline() -> None:
    mail = mail_of("a", "b")
    mail.write("a", born("l0", 0))
    mail.deliver()
    assert all(node.deadline_ns() is None for node in mail.nodes.values())
