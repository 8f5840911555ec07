"""The arithmetic of turns, against a walk over every single attempt."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import LocalMisuse
from bellwire.core.link_messages import Window
from bellwire.core.settings import LinkSettings
from bellwire.link_layer.agreement import frame_attempts
from bellwire.link_layer.binding import entry_for
from bellwire.link_layer.turns import (
    CYCLES_COUNTED,
    attempts_in_turns,
    check_turns,
    decision_ns,
    duty_of,
    span_in_turns,
    stretch_from,
    turns_fault,
)
from tests.link_layer.bench import MS, PERIOD_NS, link_network
from tests.link_layer.lone import window

TURNS = 6
TURN_NS = 2 * MS


def turning(*, guard_ns: int = 300_000, period_ns: int = PERIOD_NS, turn_ns: int = TURN_NS) -> LinkSettings:
    link = link_network(station=True).links["a-b"]
    return msgspec.structs.replace(
        link, turn_ns=turn_ns, turns=TURNS, turn_guard_ns=guard_ns, period_ns=period_ns
    )


def granting(first: int, last: int, granted: tuple[int, ...], *, fence: int = 1, point: int = 0) -> Window:
    one = window(first, last, fence, "r")
    return msgspec.structs.replace(one, granted=granted, point=point)


def lies_in_turns(link: LinkSettings, granted: tuple[int, ...], epoch_ns: int, attempt: int) -> bool:
    """By walking: every nanosecond grid point from the start of an attempt to its decision is granted."""
    start_ns = epoch_ns + attempt * link.period_ns
    end_ns = start_ns + decision_ns(link)
    marks = [
        start_ns,
        end_ns - 1,
        *range(start_ns - start_ns % link.turn_ns + link.turn_ns, end_ns, link.turn_ns),
    ]
    return all((at_ns // link.turn_ns) % link.turns in granted for at_ns in marks)


GRANTED = st.sets(st.integers(0, TURNS - 1), min_size=1).map(lambda turns: tuple(sorted(turns)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    granted=GRANTED,
    epoch_ns=st.integers(-5 * MS, 40 * MS),
    period_ns=st.integers(30_000, 400_000),
    attempt=st.integers(0, 400),
)
def test_exactly_those_attempts_are_made_that_are_decided_within_granted_turns(
    granted: tuple[int, ...], epoch_ns: int, period_ns: int, attempt: int
) -> None:
    link = turning(period_ns=period_ns)
    windows = [granting(0, 500, granted)]
    made: set[int] = set()
    at = attempt
    while (span := span_in_turns(link, windows, epoch_ns, at)) is not None:
        assert span[0] >= at
        made.update(range(span[0], span[1] + 1))
        at = span[1] + 1
    assert made == {each for each in range(attempt, 501) if lies_in_turns(link, granted, epoch_ns, each)}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(granted=GRANTED, at_ns=st.integers(-20 * MS, 60 * MS))
def test_a_stretch_holds_the_time_or_is_the_next_one_and_begins_and_ends_where_the_grant_does(
    granted: tuple[int, ...], at_ns: int
) -> None:
    link = turning()
    stretch = stretch_from(link, granted, at_ns)
    assert stretch.end_ns > at_ns
    if len(granted) == TURNS:
        return

    def ours(time_ns: int) -> bool:
        return (time_ns // TURN_NS) % TURNS in granted

    assert not ours(stretch.start_ns - 1)
    assert not ours(stretch.end_ns)
    assert all(ours(time_ns) for time_ns in range(stretch.start_ns, stretch.end_ns, TURN_NS))
    assert not any(ours(time_ns) for time_ns in range(at_ns, stretch.start_ns, TURN_NS // 2))


def test_two_links_never_attempt_within_one_decision_of_each_other() -> None:
    """The last attempt of one link is decided, with the guard, before the first of the next one starts."""
    link = turning()
    for ours, theirs in (((0, 1, 2), (3, 4, 5)), ((0, 2, 4), (1, 3, 5)), ((5, 0), (1,))):
        busy = [
            (index * PERIOD_NS, index * PERIOD_NS + decision_ns(link))
            for index in range(600)
            if lies_in_turns(link, ours, 0, index)
        ]
        span = span_in_turns(link, [granting(0, 600, tuple(sorted(theirs)))], 0, 0)
        while span is not None:
            for attempt in range(span[0], span[1] + 1):
                start_ns = attempt * PERIOD_NS
                assert not any(
                    begun < start_ns + decision_ns(link) and start_ns < over for begun, over in busy
                )
            span = span_in_turns(link, [granting(0, 600, tuple(sorted(theirs)))], 0, span[1] + 1)


def test_a_window_with_other_turns_rules_from_its_first_attempt_on() -> None:
    link = turning(guard_ns=0)
    windows = [granting(0, 399, (0, 1), fence=1), granting(130, 529, (0,), fence=2)]
    # A turn has 20 attempts, a cycle 120. The second cycle begins under the first window ...
    assert span_in_turns(link, windows, 0, 100) == (120, 129)
    # ... and from attempt 130 on, turn 0 only: its decision takes 75 us, so all of its attempts end in it.
    assert span_in_turns(link, windows, 0, 130) == (130, 139)
    assert span_in_turns(link, windows, 0, 140) == (240, 259)


def test_windows_with_equal_turns_and_point_are_one_span_and_another_point_cuts_it() -> None:
    link = turning(guard_ns=0)
    same = [granting(0, 124, (0, 1), fence=1), granting(125, 400, (0, 1), fence=2)]
    assert span_in_turns(link, same, 0, 120) == (120, 159)
    brighter = [granting(0, 124, (0, 1), fence=1), granting(125, 400, (0, 1), fence=2, point=1)]
    assert span_in_turns(link, brighter, 0, 120) == (120, 124)
    assert span_in_turns(link, brighter, 0, 125) == (125, 159)


def test_all_turns_are_one_stretch_without_end() -> None:
    link = turning()
    assert span_in_turns(link, [granting(0, 5_000, tuple(range(TURNS)))], 0, 7) == (7, 5_000)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(granted=GRANTED)
def test_the_duty_is_the_share_of_attempts_that_are_made(granted: tuple[int, ...]) -> None:
    """Over whole cycles, with a period that divides the turn, the count is exact."""
    link = turning()
    attempts = 3 * TURNS * TURN_NS // PERIOD_NS
    made = sum(lies_in_turns(link, granted, 0, index) for index in range(attempts))
    # Rounded down once for each stretch: a decision of 375 us takes 3.75 attempts of 100 us.
    assert duty_of(link, granted) * attempts == pytest.approx(made, abs=3 * len(granted))
    exact = turning(guard_ns=25_000)  # 100 us: one attempt
    made = sum(lies_in_turns(exact, granted, 0, index) for index in range(attempts))
    assert duty_of(exact, granted) * attempts == pytest.approx(made, abs=1e-6)


def test_without_turns_the_duty_is_one() -> None:
    link = link_network(station=True).links["a-b"]
    assert duty_of(link, ()) == 1.0


@pytest.mark.parametrize("granted", [(), (3, 2), (2, 2), (-1,), (TURNS,)])
def test_turns_that_no_honest_end_would_offer_are_a_fault(granted: tuple[int, ...]) -> None:
    assert turns_fault(granting(0, 9, granted), turning()) is not None


def test_turns_on_a_link_that_takes_none_are_a_fault() -> None:
    plain = link_network(station=True).links["a-b"]
    assert turns_fault(granting(0, 9, (0,)), plain) is not None
    assert turns_fault(granting(0, 9, ()), plain) is None
    assert turns_fault(granting(0, 9, (0, 5)), turning()) is None


def test_a_turn_in_which_no_attempt_fits_is_refused() -> None:
    check_turns(turning())
    with pytest.raises(LocalMisuse, match="need 2075000 ns"):
        check_turns(turning(guard_ns=TURN_NS - 100_000))


def test_requests_that_share_a_link_all_meet_its_turns() -> None:
    """Schedule steps as long as a cycle: the turns of a link do not fall on one request time after time."""
    link = msgspec.structs.replace(turning(), frame_ns=TURNS * TURN_NS // 4)
    shared = msgspec.structs.replace(
        window(0, 10_000, 1, "p", "q", "r", "s", frame_attempts=frame_attempts(link)), granted=(2,)
    )
    served: dict[str, int] = {}
    span = span_in_turns(link, [shared], 0, 0)
    while span is not None:
        for attempt in range(span[0], span[1] + 1):
            entry = entry_for(shared, attempt, 0)
            assert entry is not None
            served[entry.request] = served.get(entry.request, 0) + 1
        span = span_in_turns(link, [shared], 0, span[1] + 1)
    assert set(served) == {"p", "q", "r", "s"}
    assert max(served.values()) <= 1.1 * min(served.values())


@given(
    granted=GRANTED,
    guard_ns=st.integers(0, 500_000),
    period_ns=st.integers(60_000, 400_000),
    epoch_ns=st.integers(0, 10**10),
    first=st.integers(0, 2_000),
    length=st.integers(0, 500),
)
def test_attempts_in_turns_are_counted_as_if_each_were_looked_at(
    granted: tuple[int, ...], guard_ns: int, period_ns: int, epoch_ns: int, first: int, length: int
) -> None:
    link = turning(guard_ns=guard_ns, period_ns=period_ns)
    last = first + length - 1
    walked = sum(lies_in_turns(link, granted, epoch_ns, one) for one in range(first, last + 1))
    assert attempts_in_turns(link, granted, epoch_ns, first, last) == walked


def test_attempts_of_many_cycles_are_counted_by_the_share_of_the_link() -> None:
    link = turning(guard_ns=25_000)  # a decision takes one attempt: the share is exact
    cycle = link.turn_ns * link.turns // link.period_ns
    exactly = attempts_in_turns(link, (1, 2, 4), 0, 0, CYCLES_COUNTED * cycle)
    nearly = attempts_in_turns(link, (1, 2, 4), 0, 0, 10 * CYCLES_COUNTED * cycle)
    assert nearly == pytest.approx(10 * exactly, rel=1e-3)
