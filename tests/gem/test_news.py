"""Word about ends: where it goes on to, how much is remembered, and which is forgotten first."""

from typing import Literal

import pytest

from bellwire.core.facts import Swapped
from bellwire.core.ids import End
from bellwire.core.messages import EndNews
from bellwire.gem import news as news_module
from bellwire.gem.news import Forwarding, WaitingNews
from bellwire.gem.streams import Streams
from tests.gem.test_streams import facts


def left(number: int) -> End:
    """Own end of r on its left link."""
    return End("a-r", 1, number, 0, 1)


def right(number: int) -> End:
    """Own end of r on its right link."""
    return End("r-b", 1, number, 0, 0)


def swap(number: int, result: Literal["ok", "failed"] = "ok") -> Swapped:
    return Swapped(
        left=left(number), right=right(number), result=result, outcome=0, signs=0, cost=(0, 0, 0), at_ns=0
    )


def word(end: End, number: int = 1) -> EndNews:
    return EndNews(end=end, author="z", incarnation=1, number=number)


def swapped(forwarding: Forwarding, number: int, result: Literal["ok", "failed"] = "ok") -> None:
    """A swap of two link pairs, of which a and b have the far ends."""
    far = (left(number).partner, "a"), (right(number).partner, "b")
    forwarding.swapped(swap(number, result), *far)


def test_news_for_either_end_of_a_swap_concerns_the_far_end_on_the_other_side() -> None:
    forwarding = Forwarding("r")
    swapped(forwarding, 1)
    assert forwarding.onward(word(left(1))) == ("b", word(right(1).partner))
    assert forwarding.onward(word(right(1))) == ("a", word(left(1).partner))
    assert forwarding.dropped == 0


def test_after_a_swap_that_failed_nothing_took_the_place_of_its_ends() -> None:
    forwarding = Forwarding("r")
    swapped(forwarding, 1, "failed")
    assert forwarding.onward(word(left(1))) is None
    assert forwarding.dropped == 1


def test_a_way_that_leads_through_own_ends_is_followed_to_another_node() -> None:
    """The far end of the first swap was an own end, which the second swap took."""
    forwarding = Forwarding("r")
    forwarding.swapped(swap(1), (left(1).partner, "a"), (left(2), "r"))
    swapped(forwarding, 2)
    assert forwarding.onward(word(left(1))) == ("b", word(right(2).partner))


def test_the_oldest_swaps_are_forgotten_first_and_news_of_them_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(news_module, "WENT_KEPT", 4)
    forwarding = Forwarding("r")
    for number in (1, 2, 3):
        swapped(forwarding, number)
    assert forwarding.onward(word(left(1))) is None
    assert forwarding.onward(word(right(1))) is None
    assert forwarding.dropped == 2
    for number in (2, 3):
        assert forwarding.onward(word(left(number))) == ("b", word(right(number).partner))


def test_news_waits_for_its_fact_once_and_ripens_in_the_order_in_which_it_came() -> None:
    waiting, streams = WaitingNews(), Streams()
    words = [word(left(1), 3), word(left(2), 1), word(left(3), 2)]
    for one in (*words, words[0]):
        waiting.keep(one)
    assert len(waiting) == 3
    assert waiting.ripe(streams) == []
    streams.offer("z", 1, 1, facts(1, 2))
    assert waiting.ripe(streams) == words[1:]
    assert waiting.ripe(streams) == []
    streams.offer("z", 1, 3, facts(3, 3))
    assert waiting.ripe(streams) == words[:1]


def test_news_that_waits_is_bounded_and_what_is_more_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_module, "NEWS_KEPT", 2)
    waiting = WaitingNews()
    for number in (1, 2, 3):
        waiting.keep(word(left(number)))
    assert waiting.news == [word(left(1)), word(left(2))]
    assert waiting.dropped == 1
