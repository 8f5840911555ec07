"""Facts that were missed: digests, questions, their repetition and their answers."""

from bellwire.core.effects import Send
from bellwire.core.events import PeerChanged, Received
from bellwire.core.messages import FactBatch, FactsWanted, Watermark
from bellwire.core.notices import PeerLost
from tests.gem.bench import born, end, line, mail_of


def test_a_digest_reveals_a_lost_tail() -> None:
    mail = mail_of("a", "b", digests=True)
    interval_ns = line("a", "b").timers.answer_ns
    mail.lossy = 1.0
    mail.write("a", born("l0", 0))
    assert mail.flying == []
    mail.lossy = 0.0
    mail.now_ns = mail.nodes["a"].deadline_ns() or 0
    assert mail.now_ns == interval_ns
    mail.post(mail.nodes["a"], mail.nodes["a"].fire(mail.now_ns))
    mail.deliver()
    assert mail.nodes["b"].gem.replica.fold.living(end("l0", 0))


def test_an_unanswered_question_is_repeated_until_the_peer_is_judged_lost() -> None:
    mail = mail_of("a", "b")
    a = mail.nodes["a"]
    interval_ns = line("a", "b").timers.answer_ns
    batch = FactBatch(incarnation=1, first=5, facts=(born("l0", 1),))
    wanted = Send(to="b", message=FactsWanted(incarnation=1, first=2), urgency="control")
    assert a.handle(1_000, Received(source="b", incarnation=1, message=batch)) == [wanted]
    assert a.handle(1_001, Received(source="b", incarnation=1, message=batch)) == []
    assert a.deadline_ns() == 1_000 + interval_ns
    assert a.fire(1_000 + interval_ns) == [wanted]
    mark = Received(source="b", incarnation=1, message=Watermark(incarnation=1, last=5))
    assert a.handle(1_001 + interval_ns, mark) == []  # an answer that brought nothing is not asked for again
    assert a.deadline_ns() == 1_000 + 2 * interval_ns
    assert a.handle(2_000, PeerChanged(peer="b", state="down", incarnation=1)) == []
    assert a.told(PeerLost) == [PeerLost(peer="b")]
    assert a.deadline_ns() is None


def test_a_long_story_is_fetched_in_several_answers() -> None:
    mail = mail_of("a", "b")
    a = mail.nodes["a"]
    story = 3_000
    for attempt in range(story):
        a.write(attempt, born("l0", 0, attempt=attempt))
    b = mail.nodes["b"]
    up = PeerChanged(peer="a", state="up", incarnation=1)
    mail.post(b, b.handle(9_000, up))
    mail.deliver()
    assert b.gem.replica.watermarks()["a"] == (1, story + 1)
    assert sum(1 for _, to, word in mail.sent if to == "a" and isinstance(word, FactsWanted)) >= 2


def test_an_asker_of_a_dead_incarnation_is_told_the_present_one() -> None:
    mail = mail_of("a", "b")
    question = Received(source="b", incarnation=1, message=FactsWanted(incarnation=9, first=1))
    answer = mail.nodes["a"].handle(5, question)
    assert answer == [Send(to="b", message=Watermark(incarnation=1, last=1), urgency="facts")]
