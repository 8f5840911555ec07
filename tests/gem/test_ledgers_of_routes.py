"""Where ledgers keep to routes: who is told what, by which numbers, and how the rest is found out."""

import pytest
from msgspec.structs import replace

from bellwire.core.effects import Publish
from bellwire.core.errors import LocalMisuse
from bellwire.core.events import PeerChanged, Received, Started
from bellwire.core.facts import Began, Claimed, Fact
from bellwire.core.messages import EndNews, FactBatch, FactsWanted, Watermark
from bellwire.core.notices import EndDied
from bellwire.core.plans import store_request
from bellwire.core.settings import NetworkSettings, StoreSettings, SuperLinkSettings
from bellwire.gem import streams
from bellwire.gem.reader_streams import ReaderStreams
from tests.gem.bench import GemNode, Mail, born, end, line, released, swapped

NAMES = ("a", "b", "c", "d", "e")


def routes_only(settings: NetworkSettings) -> NetworkSettings:
    return replace(settings, ledgers="routes")


def mail_of_routes(*routes: tuple[str, ...]) -> Mail:
    """Five nodes in a row; the nodes of each route have a plan for request "r" that leads along it."""
    settings = routes_only(line(*NAMES))
    mail = Mail({name: GemNode(settings, name, digests=False) for name in NAMES})
    mail.start()
    for route in routes:
        for name in route:
            mail.post(mail.nodes[name], mail.nodes[name].plan(0, *(one for one in routes if name in one)))
    mail.deliver()
    mail.sent.clear()
    return mail


def batches(mail: Mail, to: str) -> list[tuple[str, int, tuple[Fact, ...]]]:
    return [
        (source, word.first, word.facts)
        for source, reader, word in mail.sent
        if reader == to and isinstance(word, FactBatch)
    ]


def test_facts_go_to_the_nodes_of_the_route_each_by_its_own_count_and_a_beginning_comes_first() -> None:
    mail = mail_of_routes(("a", "b", "c"))
    mail.write("b", born("l0", 1))
    mail.write("b", born("l1", 0))
    assert batches(mail, "d") == batches(mail, "e") == []
    for name in ("a", "c"):
        told = batches(mail, name)
        assert [(source, first) for source, first, _ in told] == [("b", 1), ("b", 2), ("b", 3)]
        assert isinstance(told[0][2][0], Began)
    mail.deliver()
    assert mail.nodes["a"].gem.replica.watermarks() == {"a": (1, 1), "b": (1, 3)}
    assert mail.nodes["a"].gem.replica.fold.living(end("l1", 0))


def test_each_reader_counts_what_it_is_sent() -> None:
    mail = mail_of_routes(("a", "b", "c"))
    b = mail.nodes["b"]
    mail.post(b, b.plan(1, ("b", "c", "d"), request="q"))
    mail.write("b", born("l0", 1))
    mail.write("b", replace(born("l1", 0), request="q"))
    mail.write("b", born("l0", 1, attempt=2))
    assert [first for _, first, _ in batches(mail, "a")] == [1, 2, 3]
    assert [first for _, first, _ in batches(mail, "d")] == [1, 2]
    assert [first for _, first, _ in batches(mail, "c")] == [1, 2, 3, 4]


def test_word_to_a_far_end_names_the_fact_by_the_receivers_number() -> None:
    mail = mail_of_routes(("a", "b", "c"))
    b = mail.nodes["b"]
    mail.post(b, b.plan(1, ("a", "b"), request="q"))
    mail.write("b", replace(born("l0", 1, attempt=9), request="q"))  # to a alone
    mail.write("b", born("l0", 1), born("l1", 0))
    mail.write("b", swapped(end("l0", 1), end("l1", 0)))
    news = {to: word.number for _, to, word in mail.sent if isinstance(word, EndNews)}
    assert news == {"a": 5, "c": 4}


def test_a_lost_tail_is_found_by_the_digest_in_the_readers_numbers() -> None:
    settings = routes_only(line(*NAMES))
    mail = Mail({name: GemNode(settings, name) for name in NAMES})
    mail.start()
    for name in ("a", "b", "c"):
        mail.nodes[name].plan(0, ("a", "b", "c"))
    mail.write("b", born("l0", 1))
    mail.deliver()
    mail.lossy = 1.0
    mail.write("b", born("l1", 0))
    mail.lossy = 0.0
    mail.sent.clear()
    mail.settle(rounds=3)
    marks = [word for _, to, word in mail.sent if to == "c" and isinstance(word, Watermark)]
    asked = [word for source, _, word in mail.sent if source == "c" and isinstance(word, FactsWanted)]
    assert marks[0] == Watermark(incarnation=1, last=3)
    assert asked[0].first == 3
    assert mail.nodes["c"].gem.replica.fold.living(end("l1", 0))
    assert not [to for _, to, word in mail.sent if isinstance(word, Watermark) and to in ("d", "e")]


def test_who_serves_a_request_later_is_told_what_went_before() -> None:
    mail = mail_of_routes(("a", "b", "c"))
    mail.write("a", born("l0", 0))
    mail.write("b", born("l0", 1), born("l1", 0))
    mail.write("c", born("l1", 1), born("l2", 0))
    mail.write("b", swapped(end("l0", 1), end("l1", 0)))
    mail.deliver()
    d = mail.nodes["d"]
    mail.post(d, d.plan(20, ("a", "b", "c", "d")))
    mail.write("d", born("l2", 1))
    mail.write("c", swapped(end("l1", 1), end("l2", 0)))
    mail.deliver()
    assert not d.gem.replica.fold.complete(end("l2", 1))
    for name in ("a", "b", "c"):
        mail.post(mail.nodes[name], mail.nodes[name].plan(21, ("a", "b", "c", "d")))
    mail.deliver()
    assert d.gem.replica.fold.far_end(end("l2", 1)) == end("l0", 0)
    assert d.gem.replica.fold.complete(end("l2", 1))
    # Told once: another plan with the same nodes brings nothing more.
    assert mail.nodes["b"].plan(22, ("a", "b", "c", "d")) == []


def test_a_half_that_its_author_tells_others_only_is_asked_about_and_heard_of_until_it_ends() -> None:
    """b serves the request with a alone, as far as it knows; c holds the far half of its pair."""
    mail = mail_of_routes(("a", "b"))
    c = mail.nodes["c"]
    mail.post(c, c.plan(0, ("b", "c")))
    mail.write("b", replace(born("l1", 0), at_ns=0))
    mail.write("c", replace(born("l1", 1), at_ns=0))
    mail.deliver()
    assert not c.gem.replica.fold.complete(end("l1", 1))
    interval_ns = line("a", "b").timers.answer_ns
    assert c.deadline_ns() == interval_ns
    mail.now_ns = interval_ns
    mail.post(c, c.fire(interval_ns))
    mail.deliver()
    assert c.gem.replica.fold.complete(end("l1", 1))
    mail.now_ns += interval_ns
    assert not [one for one in c.fire(mail.now_ns) if not isinstance(one, Publish)]
    c.forget()
    mail.write("b", released(end("l1", 0), "cutoff"))
    mail.deliver()
    assert c.told(EndDied) == [EndDied(end=end("l1", 1))]


def test_an_author_that_restarts_tells_those_who_ask_that_it_has_begun_anew() -> None:
    mail = mail_of_routes(("a", "b", "c"))
    mail.write("a", born("l0", 0))
    mail.write("b", born("l0", 1))
    mail.deliver()
    a = mail.nodes["a"]
    a.forget()
    settings = routes_only(line(*NAMES))
    b = mail.nodes["b"] = GemNode(settings, "b", digests=False, incarnation=2)
    assert [one for one in b.handle(30, Started(incarnation=2)) if isinstance(one, Publish)] == [
        Publish(
            batch=FactBatch(incarnation=2, first=1, facts=(Began(incarnation=2, survivors=(), at_ns=30),)),
            urgent_to=(),
            audience=(),
        )
    ]
    mail.post(a, a.handle(31, PeerChanged(peer="b", state="up", incarnation=2)))
    mail.deliver()
    assert a.told(EndDied) == [EndDied(end=end("l0", 0))]
    # Whoever has never heard of it does not ask.
    assert mail.nodes["e"].handle(32, PeerChanged(peer="b", state="up", incarnation=2)) == []


def test_what_no_request_explains_is_told_to_whoever_serves_anything_and_to_the_other_end() -> None:
    mail = mail_of_routes(("a", "b"))
    mail.write("b", replace(born("l1", 0), request=None))
    assert [to for _, to, word in mail.sent if isinstance(word, FactBatch)].count("e") == 0
    assert {to for _, to, word in mail.sent if isinstance(word, FactBatch)} == {"a", "c"}


def test_nodes_of_a_request_that_may_claim_from_a_store_hear_of_the_store_until_it_is_over() -> None:
    store = store_request("b", "d")
    link = SuperLinkSettings(
        request=store, route=("b", "c", "d"), tree="((b c) (c d))", target=1, threshold=1
    )
    settings = replace(routes_only(line(*NAMES)), stores=StoreSettings(continuous=True, super_links=(link,)))
    mail = Mail({name: GemNode(settings, name, digests=False) for name in NAMES})
    mail.start()
    for name in ("b", "c", "d"):
        mail.nodes[name].plan(0, ("b", "c", "d"), request=store)
    stored = [replace(born("l1", 0), request=store), replace(born("l1", 1), request=store)]
    stored += [replace(born("l2", 0), request=store), replace(born("l2", 1), request=store)]
    mail.write("b", stored[0])
    mail.write("c", stored[1], stored[2])
    mail.write("d", stored[3])
    mail.write("c", swapped(end("l1", 1), end("l2", 0)))
    mail.deliver()
    a = mail.nodes["a"]
    assert "b" not in a.gem.replica.watermarks()
    for name in ("a", "b", "c", "d", "e"):
        mail.post(mail.nodes[name], mail.nodes[name].plan(30, NAMES))
    mail.deliver()
    fold = a.gem.replica.fold
    assert fold.far_end(end("l1", 0)) == end("l2", 1)
    assert fold.complete(end("l1", 0))
    mail.write("b", Claimed(end=end("l1", 0), request="r", tree=0, at_ns=31))
    mail.deliver()
    chain = fold.chain(end("l1", 0))
    assert chain is not None
    assert chain.request == "r"


@pytest.mark.parametrize("first", ["b", "c"])
def test_of_an_end_that_a_reader_has_heard_to_be_over_nothing_is_told_any_more(first: str) -> None:
    """c swapped a pair of a store with one of a request, which everybody heard. Whoever serves the store from
    then on is told what became of its pairs: the birth of that end would come after its end."""
    store = store_request("b", "c")
    link = SuperLinkSettings(request=store, route=("b", "c"), tree="(b c)", target=1, threshold=1)
    settings = replace(routes_only(line(*NAMES)), stores=StoreSettings(continuous=True, super_links=(link,)))
    mail = Mail({name: GemNode(settings, name, digests=False) for name in NAMES})
    mail.start()
    for name in ("b", "c"):
        mail.nodes[name].plan(0, ("b", "c"), request=store)
    for name in ("b", "c", "d"):
        mail.nodes[name].plan(0, ("b", "c", "d"))
    a, c = mail.nodes["a"], mail.nodes["c"]
    mail.post(
        c, c.handle(1, Received(source="a", incarnation=1, message=FactsWanted(incarnation=1, first=1)))
    )
    mail.write("b", replace(born("l1", 0), request=store))
    mail.write("c", replace(born("l1", 1), request=store), born("l2", 0))
    mail.write("d", born("l2", 1))
    mail.write("b", Claimed(end=end("l1", 0), request="r", tree=0, at_ns=4))
    mail.write("c", swapped(end("l1", 1), end("l2", 0)))
    mail.write("b", released(end("l1", 0), "delivered"))
    mail.write("d", released(end("l2", 1), "delivered"))
    mail.deliver()
    assert a.gem.replica.watermarks()["c"][1] > 1  # the swap was heard of
    for name in (first, *(name for name in ("b", "c", "d") if name != first)):
        mail.post(mail.nodes[name], mail.nodes[name].plan(30, NAMES, request="other"))
        mail.deliver()
    assert not a.gem.replica.fold.living(end("l1", 1))
    assert not any(
        fact == replace(born("l1", 1), request=store) for _, _, facts in batches(mail, "a") for fact in facts
    )


def test_a_question_of_one_who_was_told_nothing_is_answered_with_the_beginning() -> None:
    mail = mail_of_routes(("a", "b"))
    b = mail.nodes["b"]
    answer = b.handle(5, Received(source="e", incarnation=1, message=FactsWanted(incarnation=1, first=1)))
    mail.post(b, answer)
    mail.deliver()
    assert mail.nodes["e"].gem.replica.watermarks() == {"b": (1, 1), "e": (1, 1)}


def test_a_reader_is_given_numbers_of_remembered_facts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that serves nothing any more: what an author keeps does not grow with its past."""
    monkeypatch.setattr(streams, "FACTS_KEPT", 10)
    own = streams.OwnStream()
    own.begin(1)
    readers = ReaderStreams(own)
    for number in range(1, 26):
        assert own.add(born("l0", 0, attempt=number)) == number
        readers.append("a" if number <= 5 else "b", (number,), now_ns=number)
    readers.forget()
    assert list(readers.sent("a")) == []
    assert list(readers.sent("b")) == list(range(16, 26))
    assert (readers.last("a"), readers.last("b")) == (5, 20)
    (batch,) = readers.chunks("b", 1)
    assert (batch.first, batch.base, len(batch.facts)) == (11, 11, 10)
    assert list(readers.chunks("a", 1)) == []
    with pytest.raises(LocalMisuse):
        readers.number("a", 3)


def test_what_is_told_about_an_end_is_what_became_of_it_and_of_those_it_was_joined_with() -> None:
    own = streams.OwnStream()
    own.begin(1)
    first, second, other = born("l0", 1), born("l1", 0), born("l1", 0, attempt=2)
    joined = swapped(end("l0", 1), end("l1", 0))
    for fact in (first, other, second, joined, released(end("l1", 0, attempt=2), "cutoff")):
        own.add(fact)
    births = {end("l0", 1): 1, end("l1", 0, attempt=2): 2, end("l1", 0): 3}
    assert own.about_end(end("l1", 0), births, own.last) == ([1, 3, 4], [first, second, joined])
    assert own.about_end(end("l1", 0, attempt=2), births, own.last)[0] == [2, 5]
    assert own.about_end(end("l0", 1, attempt=9), births, own.last) == ([], [])
