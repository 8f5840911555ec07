"""Go-back-N on the host, and proof that planted faults of it are noticed."""

from __future__ import annotations

from typing import Any

import pytest

from bellwire.drivers import event_stream
from bellwire.drivers.frames import Bound, Events
from tests.simulator_backend.devices.planting import noticed_by, plant


def events(first: int, *records: bytes) -> Events:
    return Events(first, 1, 1, records)


def a_hole_is_never_jumped() -> None:
    stream = event_stream.EventStream(5)
    assert stream.take(events(6, b"b")) is None
    assert stream.take(events(5, b"a")) == events(5, b"a")
    assert stream.take(events(6, b"b")) == events(6, b"b")
    assert (stream.expected, stream.rerequests) == (7, 1)


def a_record_is_delivered_once() -> None:
    stream = event_stream.EventStream()
    stream.take(events(0, b"a", b"b"))
    assert stream.take(events(0, b"a", b"b", b"c")) == events(2, b"c")
    assert stream.take(events(1, b"b", b"c")) == events(3)
    assert (stream.expected, stream.repeats) == (3, 4)


def a_bound_counts_only_when_nothing_before_it_is_missing() -> None:
    stream = event_stream.EventStream(4)
    assert stream.covers(Bound(1, 1, 9, 4, 0, 1, 0, 0))
    assert not stream.covers(Bound(1, 1, 9, 5, 0, 1, 0, 0))


def credit_acknowledges_only_what_was_taken() -> None:
    stream = event_stream.EventStream()
    stream.take(events(0, b"a"))
    stream.take(events(7, b"z"))
    assert stream.credit().acknowledged == 1
    assert stream.credit().granted == 1 + event_stream.CREDIT_WINDOW


def giving_up_never_goes_backwards() -> None:
    stream = event_stream.EventStream(9)
    assert stream.skip_to(12) == 3
    assert stream.skip_to(10) == 0
    assert stream.expected == 12


DIRECTED = [
    a_hole_is_never_jumped,
    a_record_is_delivered_once,
    a_bound_counts_only_when_nothing_before_it_is_missing,
    credit_acknowledges_only_what_was_taken,
    giving_up_never_goes_backwards,
]

PLANTED = {
    "hole jumped": ("if events.first > self.expected:", "if False:"),
    "repeat delivered": ("known = self.expected - events.first", "known = 0"),
    "bound taken early": ("bound.next_event <= self.expected", "bound.next_event <= self.expected + 1"),
    "acknowledged too much": (
        "self.expected + CREDIT_WINDOW, self.expected)",
        "self.expected + CREDIT_WINDOW, self.expected + 1)",
    ),
    "goes backwards": ("max(0, sequence - self.expected)", "sequence - self.expected"),
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_the_stream_is_taken_whole_and_in_order(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, event_stream, PLANTED[fault])
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"
