"""Surveys and interval counts of streams, against the tally of blocks and plain sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.tag_counting import joined, tally
from bellwire.drivers.tag_files.formats import open_tags
from bellwire.drivers.tag_files.interval_counts import IntervalCounter
from bellwire.drivers.tag_files.survey import survey
from bellwire.drivers.time_tags import TagBlock
from tests.drivers.tag_files.making import block, poisson, write
from tests.drivers.tag_files.test_round_trips import streams


@given(made=streams((1, 2, -3)), interval_ps=st.sampled_from([7, 1000, 10**7, 10**12]))
@settings(max_examples=60, deadline=None)
def test_valid_intervals_hold_what_a_tally_of_the_joined_stream_counts(
    made: list[TagBlock], interval_ps: int
) -> None:
    counter = IntervalCounter(interval_ps)
    try:
        for one in made:
            counter.take(one)
    except ConfigError:
        assert made[-1].stop_ps // interval_ps >= 1_000_000
        return
    (found,) = counter.result()
    expected = tally(joined(made), interval_ps=interval_ps, channels=[1, 2, -3])
    assert int(found.valid.sum()) * interval_ps == expected.live_ps
    for channel, counted in expected.singles.items():
        singles = found.singles.get(channel, np.zeros(len(found.valid), np.int64))
        assert int(singles[found.valid].sum()) == counted


def test_intervals_begin_with_their_epoch_and_leave_the_rest_out() -> None:
    counter = IntervalCounter(10, [1, 9])
    counter.take(block([3, 12, 15, 29], [1, 1, 2, 1], stop=35))
    counter.take(block([107], [1], start=100, stop=121, epoch=4, lost=((108, 109),)))
    first, second = counter.result()
    assert {one: counts.tolist() for one, counts in first.singles.items()} == {1: [1, 1, 1], 9: [0, 0, 0]}
    assert (first.left_out_ps, second.left_out_ps) == (5, 1)
    assert second.singles[1].tolist() == [1, 0]
    assert second.valid.tolist() == [False, True]


def test_an_interval_that_is_none_or_far_too_short_is_refused() -> None:
    with pytest.raises(LocalMisuse):
        IntervalCounter(0)
    with pytest.raises(ConfigError, match="take longer ones"):
        IntervalCounter(1).take(block([5_000_000], [1]))


def test_a_survey_tells_rates_and_losses(tmp_path: Path) -> None:
    """10,000 tags at 100 kHz: 0.1 s."""
    made = poisson(1e5, 10_000, [1, 2], seed=6)
    write(
        tmp_path / "a",
        "parquet",
        [*made, block([], [], start=made[-1].stop_ps + 500, stop=made[-1].stop_ps + 600)],
    )
    steps: list[float] = []
    found = survey(open_tags(tmp_path / "a"), steps.append)
    assert found.tags == 10_000
    assert found.counts == {
        channel: sum(int((one.channel == channel).sum()) for one in made) for channel in (1, 2)
    }
    assert found.lost_ps == 500
    assert found.covered_ps == made[-1].stop_ps + 600
    assert found.rate_hz(1) == pytest.approx(found.counts[1] / (found.covered_ps * 1e-12))
    assert steps == sorted(steps)
