"""What is written in a format is read back: times, channels, coverage and losses, or the loss is told."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.drivers.tag_files.a1 import RESOLUTION_PS
from bellwire.drivers.tag_files.description import ChannelNote, Description, WriteSettings
from bellwire.drivers.tag_files.ticks import rounding_ps, to_ps, to_ticks
from bellwire.drivers.time_tags import TagBlock
from tests.drivers.tag_files.making import block, read, whole, write

CHANNELS = {
    "parquet": (-32_768, -3, 0, 1, 32_767),
    "ptu": (0, 1, 2, 63, 101, 104),
    "photon_hdf5": (-3, 0, 1, 2, 300),
    "idq": (4,),
    "idq_pairs": (4,),
    "a1": (1, 2, 3, 4, 10),
    "a1_legacy": (1, 2, 3, 4, 10),
}
PERIOD_PS = 1_000_000
FULL = Description(
    format="made up",
    device="a tagger",
    serial_number="0042",
    firmware="1.2",
    clock_source="10 MHz",
    clock_locked=True,
    pps_utc=((17, "2026-01-01T00:00:00Z"),),
    software="daq",
    software_version="3",
    software_commit="abc",
    created_at="2026-01-01T00:00:00+00:00",
    comment="a test",
    channels=(
        ChannelNote(
            number=1, label="signal", detector="A", delay_ps=-5, threshold_v=0.1, dead_time_ps=30_000
        ),
    ),
)


@st.composite
def streams(draw: st.DrawFn, channels: tuple[int, ...], step_ps: int = 1) -> list[TagBlock]:
    """One epoch of up to 6 blocks with gaps, losses, equal times and empty blocks."""
    made: list[TagBlock] = []
    edge = 0
    for _ in range(draw(st.integers(1, 6))):
        start = edge + draw(st.sampled_from([0, 0, 7, 10**13])) * step_ps
        gaps = draw(st.lists(st.sampled_from([0, 1, 3, 40, 10**6, 1 << 25, 1 << 36]), max_size=12))
        times = start + np.cumsum(np.array(gaps, np.int64)) * step_ps
        numbers = draw(st.lists(st.sampled_from(channels), min_size=len(gaps), max_size=len(gaps)))
        edge = (int(times[-1]) if len(gaps) else start) + draw(st.integers(1, 50)) * step_ps
        lost = ((start, min(start + 2, edge)),) if draw(st.booleans()) else ()
        made.append(block(times, numbers, start=start, stop=edge, lost=lost))
    return made


@pytest.mark.parametrize("name", ["parquet", "ptu", "photon_hdf5", "idq", "idq_pairs"])
@given(data=st.data(), tags_max=st.sampled_from([1, 2, 5, 1000]))
@settings(max_examples=25, deadline=None)
def test_tags_coverage_and_losses_survive(name: str, data: st.DataObject, tags_max: int) -> None:
    made = data.draw(streams(CHANNELS[name]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tags"
        period = WriteSettings(reference_period_ps=PERIOD_PS if name == "idq_pairs" else None)
        writer = write(path, name, made, FULL, period)
        source, found = read(path, name, tags_max=tags_max)
    expected = whole(made)
    assert writer.losses == []
    np.testing.assert_array_equal(found.time_ps, expected.time_ps)
    np.testing.assert_array_equal(found.channel, expected.channel)
    assert found.spans == expected.spans
    assert source.description.serial_number == "0042"


@pytest.mark.parametrize("name", ["a1", "a1_legacy"])
@given(data=st.data(), tags_max=st.sampled_from([1, 2, 5, 1000]))
@settings(max_examples=25, deadline=None)
def test_a1_keeps_what_its_ticks_can_hold(name: str, data: st.DataObject, tags_max: int) -> None:
    """Steps of 1000 ps are 256 ticks, so that times are exact; channels of one time rise and are single."""
    made = data.draw(streams(CHANNELS[name], step_ps=1000))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tags"
        writer = write(path, name, made)
        source, found = read(path, name, tags_max=tags_max)
    expected = whole(made)
    pairs = sorted(set(zip(expected.time_ps.tolist(), expected.channel.tolist(), strict=True)))
    assert list(zip(found.time_ps.tolist(), found.channel.tolist(), strict=True)) == pairs
    doubles = len(expected.time_ps) - len(pairs)
    assert (writer.losses == []) == (doubles == 0)
    assert not doubles or f"{doubles} tags were left out" in writer.losses[0]
    assert source.description.resolution_ps == RESOLUTION_PS
    assert (found.spans[0].start_ps, found.spans[-1].stop_ps) == (
        expected.spans[0].start_ps,
        expected.spans[-1].stop_ps,
    )


@pytest.mark.parametrize("name", ["ptu", "photon_hdf5"])
@pytest.mark.parametrize("text", ["1", "4", "25", "81", "125/32", "16191/200", "80"])
def test_the_resolution_survives_and_times_on_its_grid_are_exact(
    name: str, text: str, tmp_path: Path
) -> None:
    resolution_ps = Fraction(text)
    ticks = np.cumsum(np.random.default_rng(3).integers(0, 1 << 20, 2000)).astype(np.int64)
    times = to_ps(ticks, resolution_ps)
    made = [block(times, np.ones(len(times), np.int16))]
    writer = write(tmp_path / "tags", name, made, Description(format="made up", resolution_ps=resolution_ps))
    (tmp_path / "tags.json").unlink()
    source, found = read(tmp_path / "tags")
    assert source.description.resolution_ps == resolution_ps
    np.testing.assert_array_equal(found.time_ps, times)
    assert writer.losses == []


@pytest.mark.parametrize("name", ["ptu", "photon_hdf5"])
def test_a_coarser_resolution_rounds_and_says_by_how_much(name: str, tmp_path: Path) -> None:
    made = [block([0, 11, 12, 13, 50], [1] * 5)]
    writer = write(tmp_path / "tags", name, made, settings=WriteSettings(resolution_ps=Fraction(25)))
    _, found = read(tmp_path / "tags")
    assert found.time_ps.tolist() == [0, 0, 0, 25, 50]
    assert writer.losses == ["times were rounded to 25 ps, by up to 12 ps"]


def test_parquet_keeps_every_word_of_the_description_inside_the_file(tmp_path: Path) -> None:
    write(tmp_path / "tags", "parquet", [block([5], [1])], FULL)
    (tmp_path / "tags.json").unlink()
    source, _ = read(tmp_path / "tags")
    for field in FULL.__dataclass_fields__:
        if field not in ("format", "spans"):
            assert getattr(source.description, field) == getattr(FULL, field), field


def test_parquet_keeps_epochs_apart(tmp_path: Path) -> None:
    made = [
        block([5, 5, 9], [1, 2, 1], stop=20, epoch=1),
        block([], [], stop=10, epoch=2),
        block([3, 8], [2, 2], start=2, stop=30, epoch=5, lost=((4, 6),)),
        block([1000], [1], start=900, epoch=5),
    ]
    write(tmp_path / "tags", "parquet", made)
    _, found = read(tmp_path / "tags", tags_max=2)
    assert found.spans == whole(made).spans
    assert found.spans[-1].lost == ((4, 6), (30, 900))
    assert found.time_ps.tolist() == [5, 5, 9, 3, 8, 1000]


@given(
    resolution_ps=st.fractions(1, 10**9, max_denominator=10_000),
    ticks=st.lists(st.integers(-(1 << 30), 1 << 30), min_size=1, max_size=20),
)
def test_a_tick_of_a_picosecond_or_more_survives_picoseconds(
    resolution_ps: Fraction, ticks: list[int]
) -> None:
    given_ticks = np.array(ticks, np.int64)
    times = to_ps(given_ticks, resolution_ps)
    assert all(
        abs(int(time) - tick * resolution_ps) <= Fraction(1, 2)
        for time, tick in zip(times, ticks, strict=True)
    )
    np.testing.assert_array_equal(to_ticks(times, resolution_ps), given_ticks)
    assert not rounding_ps(times, given_ticks, resolution_ps).any()
