"""Streams of blocks: any cut gives one result, far times stay exact, faults of form are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bellwire.core.errors import LocalMisuse
from bellwire.drivers.tag_counting import tally
from bellwire.drivers.tags.blocks_in_order import PIECE_PS, TIME_MAX_PS, TagCounter
from bellwire.drivers.tags.coincidences import StreamedCoincidences
from bellwire.drivers.tags.gates import Gates
from bellwire.drivers.tags.histograms import Bins, StreamedCorrelation, StreamedStartStop
from bellwire.drivers.tags.pattern_tables import polarisation_table
from bellwire.drivers.tags.patterns import StreamedPatterns
from bellwire.drivers.time_tags import TagBlock

TABLE = polarisation_table(1, 2, 3, 4)
TAGS = ((0, 1), (0, 2), (3, 3), (5, 1), (5, 1), (9, 4), (10, 2), (14, 3), (14, 4), (19, 2))


def block_of(
    tags: Sequence[tuple[int, int]],
    start_ps: int,
    stop_ps: int,
    lost: tuple[tuple[int, int], ...] = (),
    epoch: int = 0,
) -> TagBlock:
    return TagBlock(
        epoch,
        start_ps,
        stop_ps,
        np.array([time_ps for time_ps, _ in tags], np.int64),
        np.array([channel for _, channel in tags], np.int16),
        lost,
    )


def all_counters() -> list[StreamedCoincidences | StreamedPatterns | StreamedCorrelation | StreamedStartStop]:
    return [
        StreamedCoincidences([(1, 2), (3, 4, 1)], 6, {1: 7}),
        StreamedPatterns(TABLE, Gates(5, [(1, 4)]), {2: -9}),
        StreamedCorrelation(1, 2, Bins(-4, 3, 3)),
        StreamedStartStop(2, 3, Bins(1, 2, 4), {3: 12}),
    ]


def results(blocks: Sequence[TagBlock]) -> str:
    counters = all_counters()
    for counter in counters:
        for block in blocks:
            counter.take(block)
    return repr([counter.result() for counter in counters])


def test_two_cuts_at_any_places_change_nothing() -> None:
    lost = ((6, 8), (8, 9))

    def part(start_ps: int, stop_ps: int) -> TagBlock:
        tags = [tag for tag in TAGS if start_ps <= tag[0] < stop_ps]
        spans = tuple((max(a, start_ps), min(b, stop_ps)) for a, b in lost)
        return block_of(tags, start_ps, stop_ps, spans)

    whole = results([block_of(TAGS, 0, 40, lost)])
    for first in range(41):
        for second in range(first, 41):
            assert results([part(0, first), part(first, second), part(second, 40)]) == whole


def test_what_lies_between_two_blocks_is_lost() -> None:
    early, late = block_of(TAGS[:3], 0, 4), block_of(TAGS[7:], 12, 40)
    stated = block_of((*TAGS[:3], *TAGS[7:]), 0, 40, ((4, 12),))
    assert results([early, late]) == results([stated])


def test_a_new_epoch_joins_no_tags_of_the_old_one() -> None:
    counter = StreamedCoincidences([(1, 2)], 2)
    counter.take(block_of([(5, 1)], 0, 10))
    counter.take(block_of([(5, 2)], 0, 10, epoch=1))
    found = counter.result()
    assert found.combinations == {(1, 2): 0}
    assert found.singles == {1: 1, 2: 1}
    assert (found.live_ps, found.discarded_ps) == (16, 4)


def test_a_loss_costs_what_it_touches_and_no_ps_more() -> None:
    counter = StreamedCoincidences([(1, 2)], 4, {2: 100})
    counter.take(block_of([(150, 1), (50, 2)][::-1], 0, 1000, ((500, 510),)))
    found = counter.result()
    # Half the window is 2. Channel 1 is unknown at [500, 510), channel 2, 100 later, at [600, 610): each
    # costs 10 + 4 ps. The beginning costs 100 + 2, the end 2 of channel 1 and, because channel 2 is known
    # 100 further, no more.
    assert found.discarded_ps == 2 * 14 + 102 + 2
    assert found.combinations == {(1, 2): 1}


@pytest.mark.parametrize("origin_ps", [-TIME_MAX_PS, -(1 << 53) - 7, 0, (1 << 57) + 3, TIME_MAX_PS - 40])
def test_far_from_zero_everything_is_counted_as_near_it(origin_ps: int) -> None:
    counters = all_counters()[:1] + all_counters()[2:]
    moved = [StreamedPatterns(TABLE, Gates(5, [(1, 4)], origin_ps), {2: -9}), *counters]
    near = [StreamedPatterns(TABLE, Gates(5, [(1, 4)]), {2: -9}), *all_counters()[:1], *all_counters()[2:]]
    for one, other in zip(moved, near, strict=True):
        one.take(block_of([(time + origin_ps, channel) for time, channel in TAGS], origin_ps, origin_ps + 40))
        other.take(block_of(TAGS, 0, 40))
        assert repr(one.result()) == repr(other.result())


def test_hours_of_silence_do_not_blur_a_picosecond() -> None:
    gap_ps = 5 * PIECE_PS
    tags = [(0, 1), (gap_ps, 1), (gap_ps + 2, 2), (2 * gap_ps + 3, 1), (2 * gap_ps + 6, 2)]
    block = block_of(tags, -10, 2 * gap_ps + 100)
    pairs = StreamedCoincidences([(1, 2)], 4)
    delays = StreamedCorrelation(1, 2, Bins(2, 1, 2))
    gates = StreamedPatterns(TABLE, Gates(gap_ps // 20 + 1, [(0, 3)]), keep=("no_herald",))
    for counter in (pairs, delays, gates):
        counter.take(block)
    assert pairs.result().combinations == {(1, 2): 1}
    assert delays.result().counts.tolist() == [1, 1]
    # Attempts are gap / 20 + 1 long: the tags at gap lie 20 and 18 ps before attempt 20, those at 2 gap 37
    # and 34 ps before attempt 40; only the tag at 0 is in a gate.
    assert [part.attempt.tolist() for part in gates.heralds()] == [[0]]


def test_after_hours_of_silence_a_tag_is_in_the_gate_of_its_own_attempt() -> None:
    """Attempts of 3 ps: the quotient is as long as it can be."""
    late = [PIECE_PS * 100 + off for off in range(9)]
    counter = StreamedPatterns(TABLE, Gates(3, [(0, 1)]), keep=("no_herald",))
    counter.take(block_of([(time, 2) for time in late], -10, late[-1] + 10))
    attempts = [int(attempt) for part in counter.heralds() for attempt in part.attempt]
    assert attempts == [time // 3 for time in late if time % 3 == 0]


def test_the_existing_counter_and_the_engine_agree_where_nothing_is_lost() -> None:
    chance = np.random.default_rng(11)
    times, channels = np.sort(chance.integers(0, 10**6, 5000)), chance.integers(1, 4, 5000).astype(np.int16)
    keep = (times >= 100) & (times < 10**6 - 100)
    block = TagBlock(0, 0, 10**6, times[keep], channels[keep])
    patterns = ((1, 2), (3, 1, 2))
    counter = StreamedCoincidences(patterns, 101)
    counter.take(block)
    known = tally(block, interval_ps=10**6, channels=(1, 2, 3), patterns=patterns, window_ps=101)
    assert counter.result().coincidences == known.coincidences
    assert counter.result().singles == known.singles
    assert known.coincidences[3, 1, 2] > 0


def test_memory_does_not_grow_with_the_stream() -> None:
    chance = np.random.default_rng(12)
    counters = all_counters()
    sizes = []
    for number in range(200):
        start_ps = number * 10**6
        times = np.sort(chance.integers(start_ps, start_ps + 10**6, 1000))
        block = TagBlock(0, start_ps, start_ps + 10**6, times, chance.integers(1, 5, 1000).astype(np.int16))
        for counter in counters:
            counter.take(block)
        sizes.append(sum(size_of(counter) for counter in counters))
    assert max(sizes[20:]) < 1.01 * max(sizes[:20])  # a few more or fewer tags wait after each block


def size_of(counter: TagCounter) -> int:
    """Bytes of arrays that a counter holds, itself and in its buffers."""
    held = [*vars(counter).values(), *vars(getattr(counter, "_buffers", object)).values()]
    return sum(
        part.nbytes if part.base is None else part.base.nbytes
        for part in held
        if isinstance(part, np.ndarray)
    )


def test_arrays_that_are_views_or_read_only_are_counted_too() -> None:
    records = np.array(list(TAGS), [("time", np.int64), ("channel", np.int16)])
    records.flags.writeable = False
    strided = TagBlock(0, 0, 40, records["time"], records["channel"])
    assert results([strided]) == results([block_of(TAGS, 0, 40)])


@pytest.mark.parametrize(
    ("block", "complaint"),
    [
        (block_of([(3, 1)], 5, 9), r"tags from 3 to 3 ps in a block of \[5, 9\)"),
        (block_of([(9, 1)], 5, 9), "tags from 9"),
        (block_of([], 9, 5), "end is before its start"),
        (block_of([], 0, TIME_MAX_PS + 1), "beyond"),
        (block_of([(1, 1), (3, 1), (2, 1)], 0, 9), "not in order"),
        (block_of([(1, 1), (7, 1), (2, 1), (3, 2), (8, 1)], 0, 9), "not in order"),
        (TagBlock(0, 0, 9, np.zeros(2, np.int64), np.zeros(1, np.int16)), "2 times and 1 channels"),
        (TagBlock(0, 0, 9, np.zeros(2), np.zeros(2, np.int16)), "float64"),  # type: ignore[arg-type]  # the fault
    ],
)
@pytest.mark.parametrize("piece_tags", [2, 1000])
def test_a_block_of_wrong_form_is_refused(
    block: TagBlock, complaint: str, piece_tags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bellwire.drivers.tags.blocks_in_order.PIECE_TAGS", piece_tags)
    for counter in all_counters():
        with pytest.raises(LocalMisuse, match=complaint):
            counter.take(block)


def test_a_block_that_goes_back_in_time_is_refused() -> None:
    counter = StreamedCoincidences([(1, 2)], 2)
    counter.take(block_of([], 0, 10))
    with pytest.raises(LocalMisuse, match="a block from 9 ps follows one up to 10 ps"):
        counter.take(block_of([], 9, 20))


def test_what_cannot_be_counted_is_refused_before_the_first_block() -> None:
    with pytest.raises(LocalMisuse, match="two or more different"):
        StreamedCoincidences([(1, 1)], 2)
    with pytest.raises(LocalMisuse, match="negative"):
        StreamedCoincidences([(1, 2)], -1)
    with pytest.raises(LocalMisuse, match="no channel"):
        StreamedCoincidences([], 1)
    with pytest.raises(LocalMisuse, match=r"channels \[9\]"):
        StreamedCoincidences([(1, 2)], 1, {9: 4})
    with pytest.raises(LocalMisuse, match="channel 40000"):
        StreamedCoincidences([(1, 40000)], 1)
    with pytest.raises(LocalMisuse, match="beyond"):
        StreamedCoincidences([(1, 2)], 1, {1: 1 << 51})
    with pytest.raises(LocalMisuse, match="bins from -1 ps"):
        StreamedStartStop(1, 2, Bins(-1, 1, 3))
    with pytest.raises(LocalMisuse, match="one of 1 ps"):
        Bins(0, 0, 3)
    with pytest.raises(LocalMisuse, match="2 gates"):
        StreamedPatterns(TABLE, Gates(9, [(0, 1), (2, 3)]))
    with pytest.raises(LocalMisuse, match="phi"):
        StreamedPatterns(TABLE, Gates(9, [(0, 1)]), keep=("phi",))
    for windows in ([], [(0, 10)], [(-1, 2)], [(3, 3)], [(0, 4), (3, 6)]):
        with pytest.raises(LocalMisuse, match="gate"):
            Gates(9, windows)
    with pytest.raises(LocalMisuse, match="attempts every 0 ps"):
        Gates(0, [(0, 1)])
