"""Bookings against a model that looks at every nanosecond: one holder at a time, leases that end, tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bellwire.core.errors import LocalMisuse
from bellwire.planner.calendar.bookings import Booking, Calendar, Claim, Refused, Wish

RESOURCES = ("memories:hub", "emitters:hub", "switch:s")
HORIZON_NS = 24


def wish(holder: str, from_ns: int, to_ns: int, *claims: Claim, expires_ns: int | None = None) -> Wish:
    return Wish(holder, claims or (Claim("memories:hub"),), from_ns, to_ns, expires_ns)


def booked(calendar: Calendar, one: Wish, now_ns: int = 0) -> Booking:
    found = calendar.book(one, now_ns)
    assert isinstance(found, Booking), found
    return found


@st.composite
def wishes(draw: st.DrawFn) -> Wish:
    names = draw(st.lists(st.sampled_from(RESOURCES), min_size=1, max_size=3, unique=True))
    claims = tuple(
        Claim(name, draw(st.sampled_from((None, "1", "2"))) if name.startswith("switch") else None)
        for name in names
    )
    from_ns = draw(st.integers(0, HORIZON_NS - 2))
    to_ns = draw(st.integers(from_ns + 1, HORIZON_NS))
    expires_ns = draw(st.one_of(st.none(), st.integers(1, 40)))
    return Wish(draw(st.sampled_from("abc")), claims, from_ns, to_ns, expires_ns)


class CalendarMachine(RuleBasedStateMachine):
    """Any history of booking, cancelling, extending and waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.calendar = Calendar("hub")
        self.now_ns = 0
        self.alive: dict[int, Booking] = {}
        self.void: list[tuple[int, int]] = []
        self.newest_fence = 0

    def clashes(self, one: Wish, but: int | None = None) -> bool:
        """By looking at every moment of every booking."""
        for other in self.alive.values():
            if other.lease == but or not other.holds(self.now_ns):
                continue
            if not set(range(one.from_ns, one.to_ns)) & set(range(other.wish.from_ns, other.wish.to_ns)):
                continue
            for mine in one.claims:
                for theirs in other.wish.claims:
                    if mine.resource == theirs.resource and (
                        mine.setting is None or mine.setting != theirs.setting
                    ):
                        return True
        return False

    def granted(self, found: Booking) -> None:
        assert found.fence > self.newest_fence
        self.newest_fence = found.fence
        self.alive[found.lease] = found

    @rule(one=wishes())
    def book(self, one: Wish) -> None:
        found = self.calendar.book(one, self.now_ns)
        assert isinstance(found, Refused) == self.clashes(one)
        if isinstance(found, Refused):
            holder = self.alive[found.lease]
            assert (found.holder, found.until_ns) == (holder.wish.holder, holder.wish.to_ns)
        else:
            self.granted(found)

    @rule(several=st.lists(wishes(), min_size=2, max_size=4))
    def book_all(self, several: list[Wish]) -> None:
        before = tuple(self.calendar)
        found = self.calendar.book_all(several, self.now_ns)
        if isinstance(found, Refused):
            assert tuple(self.calendar) == tuple(one for one in before if one.holds(self.now_ns))
        else:
            for one in found:
                assert not self.clashes(one.wish)
                self.granted(one)

    @rule(place=st.integers(0, 50), stale=st.booleans())
    def cancel(self, place: int, stale: bool) -> None:
        if not self.alive:
            return
        lease, one = sorted(self.alive.items())[place % len(self.alive)]
        fence = one.fence - 1 if stale else one.fence
        done = self.calendar.cancel(lease, fence)
        if stale:
            assert not done
        if done:
            self.void.append((lease, one.fence))
            del self.alive[lease]

    @rule(place=st.integers(0, 50), longer_ns=st.integers(0, 5), lease_ns=st.integers(0, 9))
    def extend(self, place: int, longer_ns: int, lease_ns: int) -> None:
        if not self.alive:
            return
        lease, one = sorted(self.alive.items())[place % len(self.alive)]
        expires_ns = None if one.wish.expires_ns is None else one.wish.expires_ns + lease_ns
        found = self.calendar.extend(
            lease, one.fence, self.now_ns, to_ns=one.wish.to_ns + longer_ns, expires_ns=expires_ns
        )
        if not one.holds(self.now_ns):
            assert found is None
        elif isinstance(found, Booking):
            self.void.append((lease, one.fence))
            self.granted(found)
        else:
            assert self.clashes(one.wish._replace(to_ns=one.wish.to_ns + longer_ns), but=lease)

    @rule(ns=st.integers(1, 10))
    def wait(self, ns: int) -> None:
        self.now_ns += ns

    @invariant()
    def nobody_holds_what_another_has(self) -> None:
        for resource in RESOURCES:
            for at_ns in range(HORIZON_NS + 6):
                holders = self.calendar.holders(resource, at_ns, self.now_ns)
                settings_held = {
                    claim.setting
                    for one in holders
                    for claim in one.wish.claims
                    if claim.resource == resource
                }
                assert len(holders) <= 1 or (len(settings_held) == 1 and None not in settings_held)

    @invariant()
    def void_tokens_order_nothing(self) -> None:
        for lease, fence in self.void[-8:]:
            for resource in RESOURCES:
                assert not any(self.calendar.may_act(lease, fence, resource, at) for at in range(HORIZON_NS))


TestCalendar = CalendarMachine.TestCase
TestCalendar.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@given(one=wishes(), other=wishes())
@settings(max_examples=150, deadline=None)
def test_whether_two_wishes_go_together_does_not_depend_on_who_comes_first(one: Wish, other: Wish) -> None:
    def both(first: Wish, second: Wish) -> bool:
        calendar = Calendar("hub")
        booked(calendar, first)
        return isinstance(calendar.book(second, 0), Booking)

    assert both(one, other) == both(other, one)


def test_a_refusal_names_resource_holder_and_times() -> None:
    calendar = Calendar("hub")
    booked(calendar, wish("keys", 0, 100, expires_ns=80))
    refused = calendar.book(wish("clock", 50, 60), 10)
    assert str(refused) == "memories:hub is held by keys until 100 ns, lease 1 runs out at 80 ns"


def test_a_lease_that_has_run_out_holds_nothing_and_its_token_orders_nothing() -> None:
    calendar = Calendar("hub")
    first = booked(calendar, wish("keys", 0, 100, expires_ns=80))
    assert calendar.may_act(first.lease, first.fence, "memories:hub", 79)
    assert not calendar.may_act(first.lease, first.fence, "memories:hub", 80)
    second = booked(calendar, wish("clock", 0, 100), 80)
    assert second.fence > first.fence
    assert calendar.extend(first.lease, first.fence, 80, expires_ns=200) is None


def test_equal_settings_of_a_switch_go_together_and_other_ones_do_not() -> None:
    calendar = Calendar("hub")
    booked(calendar, wish("a", 0, 10, Claim("switch:s", "1")))
    booked(calendar, wish("b", 5, 15, Claim("switch:s", "1")))
    assert isinstance(calendar.book(wish("c", 9, 12, Claim("switch:s", "2")), 0), Refused)
    assert isinstance(calendar.book(wish("c", 9, 12, Claim("switch:s")), 0), Refused)
    booked(calendar, wish("c", 15, 20, Claim("switch:s", "2")))


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (Wish("a", (), 0, 1), "claims nothing"),
        (wish("a", 0, 1, Claim("m"), Claim("m")), "name each resource once"),
        (wish("a", 5, 5), "books no time"),
    ],
)
def test_wishes_that_mean_nothing_are_misuse(one: Wish, says: str) -> None:
    with pytest.raises(LocalMisuse, match=says):
        Calendar("hub").book(one, 0)


def test_a_full_calendar_says_so_and_has_room_again_when_leases_have_run_out() -> None:
    calendar = Calendar("hub", bookings_max=2)
    for at_ns in range(2):
        booked(calendar, wish("a", at_ns, at_ns + 1, expires_ns=10))
    with pytest.raises(LocalMisuse, match="full: 2 bookings"):
        calendar.book(wish("a", 5, 6), 9)
    booked(calendar, wish("a", 5, 6), 10)
