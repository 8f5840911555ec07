"""What side 0 says next about a window, once side 1 has answered."""

from bellwire.core.link_messages import Window, WindowAnswer, WindowOffer
from tests.link_layer.bench import MS
from tests.link_layer.lone import LoneEnd


def answered(one: Window, reason: str = "") -> WindowAnswer:
    """Side 1's word about an offer; without a reason it takes it."""
    return WindowAnswer(
        link="a-b", run=one.run, fence=one.fence, accepted=not reason, reason=reason, granted=()
    )


def offered(end: LoneEnd) -> Window:
    """The one window that was offered since the last look."""
    (offer,) = end.sent(WindowOffer, "b")
    end.take()
    return offer.window


def after_refusal(end: LoneEnd, now_ns: int, one: Window, reason: str) -> Window:
    """Side 1 refuses; the next offer, which side 0 makes by its own timer and not before."""
    end.hear(now_ns, "b", answered(one, reason))
    assert end.sent(WindowOffer) == []
    end.wait(now_ns + end.network.timers.answer_ns // 10)
    return offered(end)


def with_an_early_offer() -> tuple[LoneEnd, Window]:
    """Side 0 at 60 ms, whose offer of another schedule begins so much later that it could be said again.

    The offer before it came late by a long round trip, which side 0 has learnt from.
    """
    end = LoneEnd("a", station=False)
    end.want(0, "r")
    end.hear(MS, "b", answered(offered(end)))
    end.want(10 * MS, "s")
    one = after_refusal(end, 40 * MS, offered(end), "late")
    assert end.end.book.starts_ns(one.first) > 100 * MS
    return end, one


def test_an_offer_that_came_too_late_is_not_said_again_but_made_anew_for_later_attempts() -> None:
    end, one = with_an_early_offer()
    other = after_refusal(end, 62 * MS, one, "late")
    assert other.schedule == one.schedule
    assert other.fence > one.fence
    assert other.first > one.first


def test_an_offer_for_a_request_that_side_one_does_not_know_yet_is_said_again_unchanged() -> None:
    end, one = with_an_early_offer()
    assert after_refusal(end, 62 * MS, one, "unknown request s") == one
