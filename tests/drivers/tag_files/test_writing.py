"""Files come whole or not at all; chunks by time; memory does not grow with the file."""

from __future__ import annotations

import errno
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.tag_files import partial
from bellwire.drivers.tag_files.converting import Choice, convert
from bellwire.drivers.tag_files.damage import DiskFull
from bellwire.drivers.tag_files.description import ChannelNote, Description, WriteSettings
from bellwire.drivers.tag_files.formats import FORMATS, WRITABLE, open_tags
from bellwire.drivers.tag_files.sidecar import sha256_of
from bellwire.drivers.tag_files.source import TagSource
from bellwire.drivers.tag_files.writing import TagWriter
from bellwire.drivers.time_tags import TagBlock
from tests.drivers.tag_files.making import block, poisson, read, whole, write

SETTINGS = WriteSettings(reference_period_ps=10**9)


def one_channel(name: str) -> list[int]:
    return [4] if name.startswith("idq") else [1, 4]


@pytest.mark.parametrize("name", sorted(WRITABLE))
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_file_leaves_nothing(
    name: str, interruption: type[BaseException], tmp_path: Path
) -> None:
    made = poisson(1e6, 1000, one_channel(name), seed=1)
    seen: list[list[str]] = []

    def interrupted() -> None:
        with TagWriter(tmp_path / "a", FORMATS[name], Description(format="x"), SETTINGS) as writer:
            writer.put(made[0])
            seen.append([path.name for path in tmp_path.iterdir()])
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert len(seen[0]) == 1
    assert seen[0] != ["a"]
    assert list(tmp_path.iterdir()) == []


class _Full:
    """A file on a disk that has room for so many bytes."""

    def __init__(self, file: object, room: int) -> None:
        self._file = file
        self._room = room

    def write(self, piece: bytes) -> int:
        self._room -= len(piece)
        if self._room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._file.write(piece))  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


@pytest.mark.parametrize("name", sorted(WRITABLE))
@pytest.mark.parametrize("room", [10, 1500, 20_000])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_stops_removes_the_partial_file_and_says_so(
    name: str, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = partial.PartialFile.__init__

    def begin_on_full_disk(self: partial.PartialFile, final: Path) -> None:
        begin(self, final)
        self.file = _Full(self.file, room)  # type: ignore[assignment]

    monkeypatch.setattr(partial.PartialFile, "__init__", begin_on_full_disk)
    made = poisson(1e6, 20_000, one_channel(name), seed=1)
    with pytest.raises(DiskFull, match=r"no space left after .* the partial file was removed"):
        write(tmp_path / "a", name, made, settings=SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_chunks_that_are_complete_stay_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = partial.PartialFile.__init__

    def begin_on_full_disk(self: partial.PartialFile, final: Path) -> None:
        begin(self, final)
        if "_000000002" in final.name and final.suffix == ".parquet":
            self.file = _Full(self.file, 100)  # type: ignore[assignment]

    monkeypatch.setattr(partial.PartialFile, "__init__", begin_on_full_disk)
    made = poisson(1e6, 4000, [1], seed=1)
    with pytest.raises(DiskFull):
        write(tmp_path / "run", "parquet", made, chunk_ps=10**9)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    stem = "run_e0000_00000000"
    assert names == [f"{stem}{n}.parquet{end}" for n in (0, 1) for end in ("", ".json")]
    _, found = read(tmp_path / "run")
    expected = whole(made)
    np.testing.assert_array_equal(found.time_ps, expected.time_ps[expected.time_ps < 2 * 10**9])


def test_no_file_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ConfigError, match="never overwritten"):
        write(tmp_path / "a", "parquet", [block([5], [1])])
    assert (tmp_path / "a").read_text() == "mine"
    (tmp_path / "b.json").write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match="stands where the sidecar would be"):
        write(tmp_path / "b", "parquet", [block([5], [1])])
    assert (tmp_path / "b.json").read_text() == '{"mine": 1}'
    with pytest.raises(ConfigError, match="no such folder"):
        write(tmp_path / "absent" / "c", "parquet", [])


def test_a_file_that_appears_meanwhile_is_not_replaced_either(tmp_path: Path) -> None:
    def overtaken() -> None:
        with TagWriter(tmp_path / "a", FORMATS["parquet"], Description(format="x")) as writer:
            writer.put(block([5], [1]))
            (tmp_path / "a").write_text("mine")

    with pytest.raises(ConfigError, match="exists by now"):
        overtaken()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "mine"


def test_the_sidecar_tells_unit_coverage_gaps_channels_size_and_checksum(tmp_path: Path) -> None:
    described = Description(format="x", serial_number="7", channels=(ChannelNote(number=1, label="s"),))
    stream = [block([5, 9], [1, 2], stop=20, lost=((6, 8),)), block([30], [1], start=25)]
    (written,) = write(tmp_path / "a.ptu", "ptu", stream, described).written
    told = json.loads((tmp_path / "a.ptu.json").read_text())
    assert told["unit"] == "ps"
    assert told["resolution_ps"] == "1"
    assert told["serial_number"] == "7"
    assert [(one["number"], one["label"]) for one in told["channels"]] == [(1, "s"), (2, None)]
    assert told["spans"] == [
        {"epoch": 0, "start_ps": 0, "stop_ps": 31, "tags": 3, "lost": [[6, 8], [20, 25]]}
    ]
    assert told["size_bytes"] == written.size_bytes == (tmp_path / "a.ptu").stat().st_size
    assert told["sha256"] == written.sha256 == sha256_of(tmp_path / "a.ptu")


def test_a_folder_of_chunks_is_read_as_one_stream(tmp_path: Path) -> None:
    made = [
        *poisson(1e5, 3000, [1, 2], seed=4),
        block([7 * 10**9, 12 * 10**9], [1, 2], start=10**9, epoch=3, lost=((9 * 10**9, 11 * 10**9),)),
    ]
    writer = write(tmp_path / "run", "parquet", made, chunk_ps=5 * 10**9)
    assert len(writer.written) > 6
    source, found = read(tmp_path / "run")
    expected = whole(made)
    np.testing.assert_array_equal(found.time_ps, expected.time_ps)
    np.testing.assert_array_equal(found.channel, expected.channel)
    assert [(span.epoch, span.start_ps, span.stop_ps, span.lost) for span in found.spans] == [
        (span.epoch, span.start_ps, span.stop_ps, span.lost) for span in expected.spans
    ]
    assert source.fraction == 1.0


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    write(folder / "a.parquet", "parquet", [block([5, 50], [1, 1])])
    write(folder / "b.parquet", "parquet", [block([20], [1], start=20)])
    with pytest.raises(ConfigError, match="different runs"):
        open_tags(folder)


def test_a_second_epoch_is_refused_where_the_format_has_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds one epoch, and there are 0 and 1: choose one with --epoch"):
        write(tmp_path / "a", "ptu", [block([5], [1]), block([5], [1], epoch=1)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        [block([5, 4], [1, 1], stop=9)],
        [block([5], [1], stop=5)],
        [block([5], [1], start=6, stop=9)],
        [block([5], [1]), block([5], [1], start=5)],
    ],
)
def test_blocks_that_are_not_in_order_are_our_own_bug(wrong: list[TagBlock], tmp_path: Path) -> None:
    with pytest.raises(LocalMisuse):
        write(tmp_path / "a", "parquet", wrong)
    assert list(tmp_path.iterdir()) == []


def test_native_files_of_a_million_counts_per_second_need_three_and_a_half_bytes_a_tag(
    tmp_path: Path,
) -> None:
    """400,000 Poisson tags at 1 Mcps in four channels, fixed seed. The gaps hold log2(e * 1e6) = 21.4 bits
    and the channels 2, so that 2.9 bytes are the least that any format can need."""
    (written,) = write(tmp_path / "a", "parquet", poisson(1e6, 400_000, [1, 2, 3, 4], seed=42)).written
    assert 2.9 < written.size_bytes / written.tags <= 3.5


@pytest.mark.parametrize("name", sorted(set(WRITABLE) - {"idq_pairs", "a1_legacy"}))
def test_memory_does_not_grow_with_the_file(name: str, tmp_path: Path) -> None:
    """A million tags (10 MB as arrays) pass through 32,768 at a time. What numpy holds is traced, so that a
    reader or writer that gathers the file would show: four times as many tags, hardly more memory."""
    source_path = tmp_path / "source"
    peaks: list[int] = []
    for count in (250_000, 1_000_000):
        write(source_path, "idq", poisson(1e6, count, [1], seed=8, blocks=count // 25_000))
        source = open_tags(source_path, format_name="idq")
        small = _Small(source)
        tracemalloc.start()
        with TagWriter(tmp_path / "out", FORMATS[name], Description(format="x")) as writer:
            convert(small, writer, Choice(), lambda fraction: None)
        found = sum(len(one.time_ps) for one in open_tags(tmp_path / "out", format_name=name).blocks(32_768))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found > 0.999 * count  # an a1 event takes two tags of one channel in a tick as one
        for path in list(tmp_path.iterdir()):
            path.unlink()
    assert peaks[1] < 1.5 * peaks[0]
    assert peaks[1] < 14 << 20


class _Small:
    """A source in small blocks."""

    def __init__(self, source: TagSource) -> None:
        self._source = source
        self.path, self.description = source.path, source.description
        self.fraction, self.troubles = 0.0, source.troubles

    def blocks(self, tags_max: int = 32_768) -> Iterator[TagBlock]:
        return self._source.blocks(min(tags_max, 32_768))


def test_a_choice_takes_channels_epochs_and_new_numbers(tmp_path: Path) -> None:
    write(
        tmp_path / "a",
        "parquet",
        [block([1, 2, 3], [1, 2, 3], epoch=1), block([4, 5], [2, 3], epoch=2, start=0)],
        Description(format="x", channels=(ChannelNote(number=2, label="two"), ChannelNote(number=3))),
    )
    choice = Choice(channels=(1, 2), epoch=1, renamed={2: 1, 1: 2})
    source = open_tags(tmp_path / "a")
    with TagWriter(tmp_path / "b", FORMATS["parquet"], choice.described(source.description)) as writer:
        assert convert(source, writer, choice, lambda fraction: None) == 2
    source, found = read(tmp_path / "b")
    assert found.time_ps.tolist() == [1, 2]
    assert found.channel.tolist() == [2, 1]
    assert ChannelNote(number=1, label="two") in source.description.channels
