"""The sequencer against attempts written out one by one, and proof that planted faults are noticed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers.herald_frames import OutputSource
from bellwire.simulator_backend.devices import herald_sequencer
from bellwire.simulator_backend.devices.herald_sequencer import AttemptEdge, Output, Pulse, Slot
from tests.simulator_backend.devices.planting import noticed_by, plant

START = 5_000
PERIOD = 10


def sequencer(frame: int = 0, *slots: Slot, **changes: Any) -> herald_sequencer.Sequencer:
    """Fine units and ticks are the same here."""
    words = {"fine_bits": 0, "period_ticks": PERIOD, "frame_ticks": frame, "slots": slots, **changes}
    return herald_sequencer.Sequencer(herald_sequencer.SequencerSettings(**words), START)


def written_out(frame: int, slots: tuple[Slot, ...], frames: int) -> list[AttemptEdge]:
    """Every attempt of the first frames, by walking through the slots with a clock."""
    edges: list[AttemptEdge] = []
    for number in range(frames):
        at = 0
        for index, slot in enumerate(slots):
            for _ in range(slot.attempts):
                if at < frame:
                    stamp = START + number * frame + at
                    edges.append(AttemptEdge(len(edges), stamp, index, slot.link, slot.bank, slot.outputs))
                at += PERIOD
            at += slot.gap_ticks if slot.attempts else 0
    return edges


THREE = (Slot(3, link=7, gap_ticks=5), Slot(0, link=1, gap_ticks=99), Slot(2, link=9, bank=1, outputs=2))


def attempts_without_frames_follow_each_other_for_ever() -> None:
    one = sequencer()
    assert one.last_at(START - 1) is None
    assert [one.last_at(START + t).attempt for t in (0, 9, 10, 99_999)] == [0, 0, 1, 9_999]  # type: ignore[union-attr]
    assert one.edge_of(9_999) == AttemptEdge(9_999, START + 99_990, 0, 0, 0, 0)


def slots_follow_each_other_and_the_rest_of_the_frame_is_quiet() -> None:
    one = sequencer(100, *THREE)
    assert [one.edge_of(attempt) for attempt in range(10)] == written_out(100, THREE, 2)
    found = [one.last_at(START + t) for t in (0, 29, 34, 35, 54, 99, 100)]
    assert [edge.attempt if edge else None for edge in found] == [0, 2, 2, 3, 4, 4, 5]
    assert [edge.link if edge else None for edge in found] == [7, 7, 7, 9, 9, 9, 7]


def attempts_beyond_the_end_of_a_frame_are_not_made() -> None:
    one = sequencer(25, Slot(5, link=1), Slot(5, link=2))
    assert [one.edge_of(a).stamp - START for a in range(5)] == [0, 10, 20, 25, 35]  # type: ignore[union-attr]
    assert one.shortest_spacing() == 5


def a_run_with_an_end_has_no_attempt_beyond_it() -> None:
    one = sequencer(attempts_max=3)
    assert one.edge_of(3) is None
    assert one.last_at(START + 10**6) == AttemptEdge(2, START + 20, 0, 0, 0, 0)


def boundaries_are_frames_or_attempts() -> None:
    assert [sequencer().next_boundary(START + t) for t in (-1, 0, 9, 10)] == [
        START,
        START + 10,
        START + 10,
        START + 20,
    ]
    one = sequencer(100, *THREE)
    assert [one.next_boundary(START + t) for t in (0, 99, 100)] == [START + 100, START + 100, START + 200]


def a_change_goes_on_with_the_numbers() -> None:
    one = sequencer(100, *THREE)
    changed = herald_sequencer.SequencerSettings(
        fine_bits=0, period_ticks=PERIOD, frame_ticks=100, slots=(Slot(1, link=4),)
    )
    one.change(changed, START + 200)
    assert one.edge_of(10) == AttemptEdge(10, START + 200, 0, 4, 0, 0)
    assert one.edge_of(11) == AttemptEdge(11, START + 300, 0, 4, 0, 0)
    assert one.edge_of(9) is None
    before = one.last_at(START + 199)
    assert before == AttemptEdge(9, START + 145, 2, 9, 1, 2)
    assert one.settings == changed


def a_table_that_was_emptied_makes_no_attempts_and_forgets_none() -> None:
    one = sequencer(100, *THREE)
    one.change(
        herald_sequencer.SequencerSettings(fine_bits=0, period_ticks=PERIOD, frame_ticks=100), START + 100
    )
    last = one.last_at(START + 999)
    assert last is not None
    assert last.attempt == 4
    assert one.edge_of(5) is None
    assert one.shortest_spacing() is None
    one.change(sequencer(100, Slot(1)).settings, START + 1000)
    assert one.edge_of(5) == AttemptEdge(5, START + 1000, 0, 0, 0, 0)


def outputs_pulse_where_they_are_named() -> None:
    outputs = (
        Output(OutputSource.EACH_ATTEMPT, 1, 3),
        Output(OutputSource.SLOTS, 2, 8, inverted=True),
        Output(OutputSource.HIGH, 0, 5),
        Output(OutputSource.EACH_ATTEMPT, 4, 4),
    )
    one = sequencer(100, *THREE, outputs=outputs)
    first, fourth = one.edge_of(0), one.edge_of(3)
    assert first is not None
    assert fourth is not None
    assert one.pulses(first) == (Pulse(0, START + 1, START + 3, False),)
    assert one.pulses(fourth) == (
        Pulse(0, START + 36, START + 38, False),
        Pulse(1, START + 37, START + 43, True),
    )


DIRECTED = [
    attempts_without_frames_follow_each_other_for_ever,
    slots_follow_each_other_and_the_rest_of_the_frame_is_quiet,
    attempts_beyond_the_end_of_a_frame_are_not_made,
    a_run_with_an_end_has_no_attempt_beyond_it,
    boundaries_are_frames_or_attempts,
    a_change_goes_on_with_the_numbers,
    a_table_that_was_emptied_makes_no_attempts_and_forgets_none,
    outputs_pulse_where_they_are_named,
]

PLANTED: dict[str, tuple[str, str]] = {
    "slot one attempt too long": ("fitting = min(slot.attempts, max", "fitting = min(slot.attempts + 1, max"),
    "gap forgotten": ("(slot.gap_ticks << settings.fine_bits)", "0"),
    "gap of an empty slot waited for": ("            if slot.attempts:\n", "            if True:\n"),
    "attempt of the next slot too early": ("min(number, following - 1)", "number"),
    "frame overfilled": ("max(0, -(-(self.frame - offset) // self.period))", "slot.attempts"),
    "attempts numbered from 1": (
        "attempt = self.base_attempt + number",
        "attempt = self.base_attempt + number + 1",
    ),
    "numbers begin anew after a change": ("else last.attempt + 1", "else 0"),
    "change forgets what was before": ("            self._before = self._layout\n", "            pass\n"),
    "one attempt too many": ("attempt >= limit)", "attempt > limit)"),
    "attempts after the end": ("min(number, limit - 1 - layout.base_attempt)", "number"),
    "boundary of attempts inside a frame": ("step = layout.frame or layout.period", "step = layout.period"),
    "boundary that is now": ("(since // step + 1) * step", "-(-since // step) * step"),
    "bank of another slot": (
        "slot = self.settings.slots[self._slots[place]]",
        "slot = self.settings.slots[place]",
    ),
    "output in every slot": ("edge.outputs >> number & 1", "True"),
    "output of the wrong slot": ("edge.outputs >> number & 1", "edge.outputs >> number + 1 & 1"),
    "empty pulse": ("output.stop > output.start", "output.stop >= output.start"),
    "inversion lost": ("edge.stamp + output.stop, output.inverted", "edge.stamp + output.stop, False"),
    "short end of a frame overlooked": (
        "(*edges[1:], edges[0] + self.frame)",
        "(*edges[1:], edges[0] + 10**9)",
    ),
}


@pytest.mark.parametrize("case", DIRECTED, ids=lambda case: case.__name__)
def test_attempts_begin_where_the_table_says(case: Any) -> None:
    case()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, herald_sequencer, PLANTED[fault])
    assert noticed_by(DIRECTED), f"no directed case noticed: {fault}"


slots_of_any_kind = st.lists(
    st.builds(
        Slot,
        attempts=st.integers(0, 6),
        link=st.integers(0, 3),
        outputs=st.integers(0, 15),
        bank=st.integers(0, 1),
        gap_ticks=st.integers(0, 30),
    ),
    min_size=1,
    max_size=6,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(slots_of_any_kind, st.integers(1, 300), st.integers(0, 900))
def test_any_table_gives_the_attempts_of_a_walk_through_its_slots(
    slots: list[Slot], frame: int, after: int
) -> None:
    one = sequencer(frame, *slots)
    edges = written_out(frame, tuple(slots), 1 + 900 // frame + 1)
    assert [one.edge_of(edge.attempt) for edge in edges] == edges
    begun = [edge for edge in edges if edge.stamp <= START + after]
    assert one.last_at(START + after) == (begun[-1] if begun else None)
    spacings = [late.stamp - early.stamp for early, late in pairwise(edges)]
    if len(edges) > sum(slot.attempts for slot in slots):
        assert one.shortest_spacing() == min(spacings)
