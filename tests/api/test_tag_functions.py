"""Files and counts of time tags by plain functions, against brute force and closed forms.

Seeds are fixed. Where a count is compared with an expectation, the tolerance is 5 standard deviations: a
fresh seed would fail once in 1.7 million.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bellwire.api import (
    ConfigError,
    TagBlock,
    accidentals,
    blocks_of,
    convert_tags,
    count_coincidences,
    delay_histogram,
    find_clock,
    fit_peak,
    g2_by_delay,
    heralded_g2,
    open_tags,
    read_tags,
    save_tags,
)

S = 10**12
Times = NDArray[np.int64]


def block(times: dict[int, Times], seconds: float, start_ps: int = 0) -> TagBlock:
    """Tags by channel as one block of so many seconds."""
    time_ps = np.concatenate(list(times.values())) + start_ps
    channel = np.repeat(list(times), [len(one) for one in times.values()]).astype(np.int16)
    order = np.argsort(time_ps, kind="stable")
    return TagBlock(0, start_ps, start_ps + round(seconds * S), time_ps[order], channel[order])


def few(seed: int, number: int = 400) -> TagBlock:
    """Tags of three channels in 10 us, so dense that many meet."""
    chance = np.random.default_rng(seed)
    return block({one: np.sort(chance.integers(0, 10**7, number)) for one in (1, 2, 3)}, 1e-5)


@pytest.fixture
def source() -> TagBlock:
    """40000 pairs/s on channels 1 and 2, the second 2500 +- 300 ps later, for one second."""
    chance = np.random.default_rng(3)
    first = chance.integers(0, S - 10_000, 40_000)
    second = first + 2500 + np.rint(chance.normal(0, 300, 40_000)).astype(np.int64)
    return block({1: first, 2: np.clip(second, 0, S - 1)}, 1.0)


def test_coincidences_are_those_of_brute_force() -> None:
    tags = few(1)
    times = {one: tags.time_ps[tags.channel == one] for one in (1, 2, 3)}
    found = count_coincidences(tags, [(1, 2), (1, 2, 3)], 20_000, delays_ps={2: 500})
    # a loss touches nothing here, but the ends of the block are not live within half a window
    live = [t for t in times[1] if t >= 10_000 and t + 10_000 < 10**7]
    assert found.live_ps <= 10**7
    near = [
        [bool(np.any(np.abs(times[2] + 500 - t) <= 10_000)), bool(np.any(np.abs(times[3] - t) <= 10_000))]
        for t in live
    ]
    assert abs(found.coincidences[1, 2] - sum(two for two, _ in near)) <= 1
    assert abs(found.coincidences[1, 2, 3] - sum(two and three for two, three in near)) <= 1
    assert found.coincidences[1, 2] > 100


def test_a_block_blocks_in_order_and_a_file_count_alike(tmp_path: Path, source: TagBlock) -> None:
    half = int(np.searchsorted(source.time_ps, S // 2))
    parts = [
        TagBlock(0, 0, S // 2, source.time_ps[:half], source.channel[:half]),
        TagBlock(0, S // 2, S, source.time_ps[half:], source.channel[half:]),
    ]
    save_tags(parts, tmp_path / "run.parquet")
    counted = [
        count_coincidences(tags, [(1, 2)], 2000, delays_ps={2: -2500}).coincidences[1, 2]
        for tags in (source, parts, tmp_path / "run.parquet", str(tmp_path / "run.parquet"))
    ]
    assert len(set(counted)) == 1
    assert counted[0] == pytest.approx(40_000 * 0.99914, abs=5 * (40_000 * 0.00086) ** 0.5)


def test_times_of_a_tagger_that_has_run_for_weeks_count_as_any(source: TagBlock) -> None:
    late = block({1: source.time_ps[source.channel == 1]}, 1.0, start_ps=3 * 10**18)
    histogram = delay_histogram(late, 1, 1, bin_ps=1000, range_ps=10_000)
    assert histogram.starts > 39_000


def test_the_peak_of_delays_is_where_it_was_put(source: TagBlock) -> None:
    histogram = delay_histogram(source, 1, 2, bin_ps=50, range_ps=6000)
    peak = fit_peak(histogram)
    assert peak is not None
    assert peak.centre.value == pytest.approx(2500, abs=5 * 300 / 40_000**0.5)
    assert peak.sigma.value == pytest.approx(300, rel=5 / (2 * 40_000) ** 0.5)
    beside = delay_histogram(source, 1, 2, bin_ps=50, range_ps=6000, centre_ps=1_000_000)
    assert fit_peak(beside) is None


def test_unrelated_light_has_g2_of_one_and_accidentals_by_its_singles() -> None:
    chance = np.random.default_rng(5)
    tags = block({one: chance.integers(0, S, 60_000) for one in (1, 2)}, 1.0)
    values, sigmas = g2_by_delay(delay_histogram(tags, 1, 2, bin_ps=10**6, range_ps=20 * 10**6))
    assert values.mean() == pytest.approx(1.0, abs=5 * float(sigmas.mean()) / len(values) ** 0.5)
    found = count_coincidences(tags, [(1, 2)], 10**6)
    expected = accidentals(found, (1, 2))
    assert expected.value == pytest.approx(60_000**2 * 1e-6, rel=0.01)
    assert found.combinations[1, 2] == pytest.approx(expected.value, abs=5 * expected.value**0.5)


def test_a_photon_that_takes_one_way_has_a_heralded_g2_near_zero_and_two_at_once_near_one() -> None:
    chance = np.random.default_rng(7)
    herald = np.sort(chance.integers(0, S, 20_000))
    way = chance.integers(2, 4, len(herald))
    one = block({1: herald, 2: herald[way == 2], 3: herald[way == 3]}, 1.0)
    assert heralded_g2(one, 1, 2, 3, 1000).value < 0.01
    clicks = chance.random((2, len(herald))) < 0.3
    two = block({1: herald, 2: herald[clicks[0]], 3: herald[clicks[1]]}, 1.0)
    found = heralded_g2(two, 1, 2, 3, 1000)
    assert found.value == pytest.approx(1.0, abs=5 * found.sigma)


def test_the_clock_between_two_files_is_the_one_that_was_planted(tmp_path: Path) -> None:
    chance = np.random.default_rng(9)
    first = np.sort(chance.integers(0, S, 40_000))
    second = first + np.rint(chance.normal(0, 300, len(first))).astype(np.int64)
    second += 321_000_000 + second // 50_000_000
    save_tags(block({1: first}, 1.1), tmp_path / "here.parquet")
    save_tags(block({4: second}, 1.1), tmp_path / "there.parquet")
    found = find_clock(tmp_path / "here.parquet", tmp_path / "there.parquet", oscillator="rubidium")
    assert found.clock.rate_e15 == pytest.approx(-20_000_000, abs=5 * found.clock.sigma_rate_e15)
    moved = found.on_reference(read_tags(tmp_path / "there.parquet"))
    assert moved.channel[0] == 4
    both = block({1: first, 2: moved.time_ps[moved.time_ps >= 0]}, 1.1)
    peak = fit_peak(delay_histogram(both, 1, 2, bin_ps=50, range_ps=4000))
    assert peak is not None
    assert peak.centre.value == pytest.approx(0.0, abs=10.0)
    assert repr(found).startswith("add -321")


def test_conversion_keeps_what_the_format_can_and_says_what_it_cannot(
    tmp_path: Path, source: TagBlock
) -> None:
    save_tags(source, tmp_path / "run.parquet", comment="made up")
    assert open_tags(tmp_path / "run.parquet").description.comment == "made up"
    assert convert_tags(tmp_path / "run.parquet", tmp_path / "run.ptu").lost == ()
    assert np.array_equal(read_tags(tmp_path / "run.ptu").time_ps, source.time_ps)
    rounded = convert_tags(tmp_path / "run.parquet", tmp_path / "run.a1")
    assert "rounded to 3.90625 ps" in rounded.lost[0]
    one = convert_tags(tmp_path / "run.parquet", tmp_path / "two.parquet", channels=[2], rename={2: 9})
    assert one.tags == int((source.channel == 2).sum())
    assert {int(c) for b in blocks_of(one.path) for c in np.unique(b.channel)} == {9}


def test_a_file_whose_blocks_end_by_an_error_is_not_there(tmp_path: Path) -> None:
    def blocks() -> Iterator[TagBlock]:
        yield few(2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        save_tags(blocks(), tmp_path / "half.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: open_tags("nothing.parquet"), "nothing.parquet: there is no such file"),
        (lambda: save_tags(few(1), "tags.txt"), "no format has this suffix: name one of parquet"),
        (lambda: save_tags(few(1), "t.bin", to="ttbin"), 'unknown format that can be written "ttbin"'),
        (lambda: count_coincidences(few(1), [(1, 1)], 100), "is no pattern of two or more different"),
        (lambda: count_coincidences(few(1), [(1, 2)], -1), "cannot be negative"),
        (lambda: delay_histogram(few(1), 1, 2, bin_ps=1, range_ps=10**9), "take 2 to 2000000 bins"),
        (lambda: find_clock(few(1), few(1), oscillator="quarz"), 'did you mean "quartz"'),
        (lambda: find_clock(few(1), few(1), oscillator="quartz", channels=[8]), "0 tags of these channels"),
        (lambda: g2_by_delay(delay_histogram(few(1), 8, 9)), "measure longer"),
    ],
)
def test_what_was_typed_wrong_is_said_in_one_sentence(
    call: object, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(call)
    with pytest.raises(ConfigError, match=complaint) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_only_one_epoch_is_counted_where_it_is_asked_for(source: TagBlock) -> None:
    other = TagBlock(1, 0, S, source.time_ps[:0], source.channel[:0])
    alone = count_coincidences([source, other], [(1, 2)], 2000, epoch=0)
    assert alone.live_ps == count_coincidences(source, [(1, 2)], 2000).live_ps
    with pytest.raises(ConfigError, match="epochs 0, 1 have no time in common"):
        read_tags([source, other])
    with pytest.raises(ConfigError, match="there are no tags"):
        read_tags([])
    assert [one.epoch for one in itertools.islice(blocks_of([source, other], epoch=1), 2)] == [1]
