"""Streams: order, holes, repetition, restarts, and what an author remembers."""

from random import Random

import msgspec
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.core.facts import Began, Corrected, Fact
from bellwire.core.ids import End
from bellwire.gem import streams as streams_module
from bellwire.gem.streams import CHUNK_BYTES, CHUNK_FACTS, FACTS_HELD, OwnStream, Streams


def fact(number: int) -> Corrected:
    """A fact that can be told from the others."""
    return Corrected(end=End("l", 1, number, 0, 0), pauli=0, at_ns=number)


def facts(first: int, last: int) -> tuple[Fact, ...]:
    """Facts of these numbers."""
    return tuple(fact(number) for number in range(first, last + 1))


def test_facts_behind_a_hole_wait_and_follow_in_order() -> None:
    streams = Streams()
    assert tuple(streams.offer("a", 1, 1, facts(1, 2))) == facts(1, 2)
    assert tuple(streams.offer("a", 1, 5, facts(5, 6))) == ()
    assert streams.hole("a") == 3
    assert not streams.reached("a", 1, 5)
    assert tuple(streams.offer("a", 1, 3, facts(3, 4))) == facts(3, 6)
    assert streams.hole("a") is None
    assert streams.watermarks() == {"a": (1, 6)}
    assert streams.reached("a", 1, 6)


def test_repeated_and_overlapping_batches_give_each_fact_once() -> None:
    random = Random(5)
    for _ in range(200):
        streams = Streams()
        got: list[Fact] = []
        while len(got) < 40:
            first = random.randrange(1, 41)
            last = min(40, first + random.randrange(8))
            got += streams.offer("a", 1, first, facts(first, last))
        assert tuple(got) == facts(1, 40)
        assert streams.repeated > 0
        assert streams.hole("a") is None


def test_a_higher_incarnation_starts_again_and_the_old_one_is_refused() -> None:
    streams = Streams()
    streams.offer("a", 1, 1, facts(1, 3))
    streams.offer("a", 1, 9, facts(9, 9))
    assert tuple(streams.offer("a", 2, 1, facts(1, 1))) == facts(1, 1)
    assert tuple(streams.offer("a", 1, 4, facts(4, 8))) == ()
    assert streams.stale == 1
    assert streams.hole("a") is None
    assert streams.reached("a", 1, 99)  # will never come: whoever waits for it may stop


def test_a_stream_goes_on_behind_what_its_author_has_forgotten() -> None:
    streams = Streams()
    streams.offer("a", 1, 1, facts(1, 2))
    streams.offer("a", 1, 4, facts(4, 4))
    assert tuple(streams.offer("a", 1, 10, facts(10, 11), base=10)) == facts(10, 11)
    assert streams.skipped == 7
    assert streams.watermarks() == {"a": (1, 11)}


def test_facts_that_waited_behind_a_hole_follow_when_their_author_has_forgotten_the_hole() -> None:
    """The first fact that the author still has is one of those that wait."""
    streams = Streams()
    streams.offer("a", 1, 1, facts(1, 2))
    streams.offer("a", 1, 5, facts(5, 7))
    assert tuple(streams.offer("a", 1, 8, facts(8, 8), base=5)) == facts(5, 8)
    assert (streams.skipped, streams.repeated) == (2, 0)
    assert streams.hole("a") is None


def test_facts_behind_a_hole_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "FACTS_HELD", 3)
    streams = Streams()
    streams.offer("a", 1, 2, facts(2, 9))
    assert streams.dropped == 5
    assert tuple(streams.offer("a", 1, 1, facts(1, 1))) == facts(1, 4)


def test_an_author_answers_in_chunks_from_what_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "FACTS_KEPT", 600)
    own = OwnStream()
    own.begin(3)
    for number in range(1, 1001):
        assert own.add(fact(number)) == number
    batches = list(own.chunks(1))
    assert [len(batch.facts) for batch in batches] == [256, 256, 88]
    assert own.base == 401
    assert [batch.base for batch in batches] == [401] * len(batches)
    assert all(len(batch.facts) <= CHUNK_FACTS for batch in batches)
    assert all(len(msgspec.msgpack.encode(batch.facts)) <= CHUNK_BYTES + 8 for batch in batches)
    streams = Streams()
    got = [one for batch in batches for one in streams.offer("a", 3, batch.first, batch.facts, batch.base)]
    assert tuple(got) == facts(401, 1000)
    assert list(own.chunks(1001)) == []


def test_chunks_of_large_facts_are_cut_by_their_size() -> None:
    own = OwnStream()
    own.begin(1)
    survivors = tuple(End("l", 1, number, 0, 0) for number in range(1000))
    for number in range(1, 7):
        own.add(Began(incarnation=1, survivors=survivors, at_ns=number))
    size = len(msgspec.msgpack.encode(Began(incarnation=1, survivors=survivors, at_ns=1)))
    assert 2 * size < CHUNK_BYTES < 4 * size
    batches = list(own.chunks(1))
    assert sum(len(batch.facts) for batch in batches) == 6
    assert all(len(batch.facts) <= CHUNK_BYTES // size for batch in batches)


def test_an_own_stream_needs_a_higher_incarnation_to_begin() -> None:
    own = OwnStream()
    with pytest.raises(LocalMisuse):
        own.add(fact(1))
    own.begin(2)
    own.add(fact(1))
    with pytest.raises(LocalMisuse):
        own.begin(2)
    own.begin(3)
    assert own.add(fact(1)) == 1


def test_a_hole_is_filled_as_fast_as_its_facts_come_although_everything_behind_it_is_full() -> None:
    """Once, of each batch that filled a hole only the first fact was taken after a flood."""
    streams = Streams()
    assert tuple(streams.offer("a", 1, 1, facts(1, 1))) == facts(1, 1)
    streams.offer("a", 1, 100_001, facts(100_001, 100_000 + FACTS_HELD))
    assert len(streams.authors["a"].held) == FACTS_HELD
    assert tuple(streams.offer("a", 1, 2, facts(2, 257))) == facts(2, 257)
    assert streams.next_number("a", 1) == 258
    assert streams.dropped == 0
