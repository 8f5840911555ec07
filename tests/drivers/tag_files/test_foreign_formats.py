"""Files of instruments, packed by hand from their descriptions: IDQ, qutools, S-Fifteen, Swabian; and what
they are recognised by.
"""

from __future__ import annotations

import contextlib
import struct
import sys
import types
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import DamagedTagFile, UnsortedTags
from bellwire.drivers.tag_files.description import ChannelNote, Description, ReadSettings, WriteSettings
from bellwire.drivers.tag_files.formats import FORMATS, WRITABLE, format_of, open_tags
from tests.drivers.tag_files.making import block, poisson, read, whole, write

# --- ID Quantique -------------------------------------------------------------------------------------------


def test_idq_times_are_words_of_64_bits_with_the_channel_that_was_given(tmp_path: Path) -> None:
    path = tmp_path / "tags.bin"
    path.write_bytes(struct.pack("<4Q", 100, 250, 250, 1 << 45))
    source, found = read(path, "idq", ReadSettings(channel=3))
    assert found.time_ps.tolist() == [100, 250, 250, 1 << 45]
    assert found.channel.tolist() == [3] * 4
    assert found.spans[0].start_ps == 0
    assert source.description.notes == ()
    source, found = read(path, "idq")
    assert found.channel.tolist() == [1] * 4
    assert "does not name its channel" in source.description.notes[0]


def test_idq_pairs_count_from_pulses_of_a_known_period(tmp_path: Path) -> None:
    path = tmp_path / "tags.bin"
    path.write_bytes(struct.pack("<6Q", 100, 0, 5, 3, 999_999, 3))
    with pytest.raises(ConfigError, match="--reference-period-ps"):
        read(path, "idq_pairs")
    _, found = read(path, "idq_pairs", ReadSettings(reference_period_ps=1_000_000))
    assert found.time_ps.tolist() == [100, 3_000_005, 3_999_999]


def test_idq_files_of_ours_are_bare_words_and_the_sidecar_remembers_the_rest(tmp_path: Path) -> None:
    made = [block([3, 2_000_007], [4, 4])]
    write(tmp_path / "a", "idq", made)
    assert (tmp_path / "a").read_bytes() == struct.pack("<2Q", 3, 2_000_007)
    write(tmp_path / "b", "idq_pairs", made, settings=WriteSettings(reference_period_ps=1_000_000))
    assert (tmp_path / "b").read_bytes() == struct.pack("<4Q", 3, 0, 7, 2)
    for name in "ab":
        _, found = read(tmp_path / name)
        assert found.channel.tolist() == [4, 4]
        assert found.time_ps.tolist() == [3, 2_000_007]


def test_a_second_channel_is_refused_by_idq_and_nothing_stays_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one channel, and there are 1 and 2: choose with --channels 1"):
        write(tmp_path / "a", "idq", [block([3], [1]), block([5], [2], start=4)])
    assert list(tmp_path.iterdir()) == []


# --- qutools ------------------------------------------------------------------------------------------------


def packed_5(times: Sequence[int], channels: Sequence[int], *, low: bool = False) -> bytes:
    words = [
        t % (1 << 37) << 3 | c if low else c << 37 | t % (1 << 37)
        for t, c in zip(times, channels, strict=True)
    ]
    return b"".join(word.to_bytes(5, "little") for word in words)


@pytest.mark.parametrize("header", [b"", b"\x91" * 40])
def test_qutools_tags_of_10_bytes_are_units_of_81_ps(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tags.bin"
    tags = [(5, 0), (9, 3), (9, 1), (1 << 40, 104)]
    path.write_bytes(header + b"".join(struct.pack("<qH", *tag) for tag in tags))
    source, found = read(path, "qutools", tags_max=3)
    assert found.time_ps.tolist() == [81 * time for time, _ in tags]
    assert found.channel.tolist() == [channel for _, channel in tags]
    assert "81 ps were taken" in source.description.notes[0]
    source, found = read(path, "qutools", ReadSettings(resolution_ps=Fraction(1)))
    assert found.time_ps.tolist() == [time for time, _ in tags]
    assert source.description.resolution_ps == 1


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("header", [b"", bytes(40), b"made by a test, forty bytes of any kind "])
@pytest.mark.parametrize("tags_max", [1, 7, 1000])
@pytest.mark.parametrize("start", [3, (1 << 37) - 10**6])
def test_qutools_tags_of_5_bytes_begin_anew_every_11_s(
    header: bytes, low: bool, tags_max: int, start: int, tmp_path: Path
) -> None:
    """300 tags, with the turn before, in the middle of, and once more behind them."""
    gaps = np.random.default_rng(4).integers(1, 20_000, 300)
    gaps[250] = 1 << 35
    gaps[260] = 1 << 36
    times = (start + np.cumsum(gaps)).tolist()
    channels = [index % 7 for index in range(300)]
    path = tmp_path / "tags.bin"
    path.write_bytes(header + packed_5(times, channels, low=low))
    found = read(path, "qutools_compressed", tags_max=tags_max)[1]
    first = 0 if start < 1 << 36 else times[0] // (1 << 37) << 37
    assert found.time_ps.tolist() == [81 * (time - first) for time in times]
    assert found.channel.tolist() == channels


def test_5_byte_tags_of_one_channel_are_told_from_early_ones_and_the_doubt_is_said(tmp_path: Path) -> None:
    path = tmp_path / "tags.bin"
    times = np.cumsum(np.random.default_rng(4).integers(1, 20_000, 300)).tolist()
    for low, channels in ((False, [5] * 300), (True, [1, 2] * 150)):
        path.write_bytes(packed_5(times, channels, low=low))
        source, found = read(path, "qutools_compressed")
        assert found.channel.tolist() == channels
        assert found.time_ps.tolist() == [81 * time for time in times]
        assert any("both orders" in note for note in source.description.notes)


def test_a_small_fall_of_5_byte_tags_is_disorder_and_no_turn(tmp_path: Path) -> None:
    path = tmp_path / "tags.bin"
    many = [*range(0, 5000 * 10, 10), 17]
    path.write_bytes(packed_5(many, [index % 5 for index in range(len(many))]))
    with pytest.raises(UnsortedTags) as refusal:
        read(path, "qutools_compressed")
    assert refusal.value.offset == 5000 * 5


# --- S-Fifteen ----------------------------------------------------------------------------------------------


def test_a1_is_54_bits_of_time_and_a_pattern_of_inputs(tmp_path: Path) -> None:
    events = [(256, 0b0001), (512, 0b1010), (1024, 0), (1 << 50, 0b1000)]
    words = [time << 10 | pattern for time, pattern in events]
    plain, legacy = tmp_path / "plain", tmp_path / "legacy"
    plain.write_bytes(b"".join(struct.pack("<Q", word) for word in words))
    legacy.write_bytes(b"".join(struct.pack("<II", word >> 32, word & 0xFFFFFFFF) for word in words))
    for path, name in ((plain, "a1"), (legacy, "a1_legacy")):
        _, found = read(path, name, tags_max=2)
        assert found.time_ps.tolist() == [1000, 2000, 2000, 4000, (1 << 50) * 1000 // 256]
        assert found.channel.tolist() == [1, 2, 4, 0, 4]
        write(tmp_path / f"{name}.again", name, open_tags(path, format_name=name).blocks())
        assert (tmp_path / f"{name}.again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("channel", "time"), [(11, 5), (-1, 5), (1, 1 << 60), (1, -5000)])
def test_a1_refuses_what_its_bits_cannot_hold(channel: int, time: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write(tmp_path / "a", "a1", [block([time], [channel], start=min(0, time))])
    assert list(tmp_path.iterdir()) == []


def test_an_a1_file_out_of_order_is_refused_at_the_event(tmp_path: Path) -> None:
    words = [time << 10 | 3 for time in (100, 200, 150)]
    (tmp_path / "a").write_bytes(struct.pack("<3Q", *words))
    with pytest.raises(UnsortedTags) as refusal:
        read(tmp_path / "a", "a1")
    assert refusal.value.offset == 16


# --- Swabian ------------------------------------------------------------------------------------------------


class Buffer:
    def __init__(self, events: Sequence[tuple[int, int, int]]) -> None:
        self._events = np.array(events, np.int64).reshape(-1, 3)

    def getTimestamps(self) -> np.ndarray:  # noqa: N802 - the library's name
        return self._events[:, 0]

    def getChannels(self) -> np.ndarray:  # noqa: N802 - the library's name
        return self._events[:, 1].astype(np.int32)

    def getEventTypes(self) -> np.ndarray:  # noqa: N802 - the library's name
        return self._events[:, 2].astype(np.uint8)


class Reader:
    """What the library's FileReader does, on a list: (time, channel, TagType)."""

    events: Sequence[tuple[int, int, int]] = ()

    def __init__(self, path: str) -> None:
        self._content = Path(path).read_bytes()
        self._at = 0

    def hasData(self) -> bool:  # noqa: N802 - the library's name
        return self._at < len(self.events) or self._content == b"SITTcut"

    def getData(self, wanted: int) -> Buffer:  # noqa: N802 - the library's name
        part = self.events[self._at : self._at + wanted]
        self._at += len(part)
        return Buffer(part)

    def getConfiguration(self) -> str:  # noqa: N802 - the library's name
        if self._content == b"SITTjunk":
            raise ValueError("Expecting value: line 1 column 1 (char 0)")
        return '{"serial": "2138000ABC", "model": "Time Tagger Ultra"}'


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[Reader]:
    module = types.ModuleType("Swabian.TimeTagger")
    module.FileReader = Reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "Swabian", types.ModuleType("Swabian"))
    monkeypatch.setitem(sys.modules, "Swabian.TimeTagger", module)
    monkeypatch.setattr(Reader, "events", [])
    return Reader


@pytest.mark.parametrize("tags_max", [1, 2, 3, 100])
def test_ttbin_overflows_become_losses(library: type[Reader], tags_max: int, tmp_path: Path) -> None:
    library.events = [
        (100, 1, 0),
        (200, -2, 0),
        (250, 0, 2),  # an overflow begins
        (260, 1, 4),  # events are missing
        (400, 0, 3),  # it ends
        (500, 1, 0),
        (600, 0, 4),
        (700, 0, 3),
        (900, 1, 0),
    ]
    path = tmp_path / "a.ttbin"
    path.write_bytes(b"SITT....")
    source, found = read(path, tags_max=tags_max)
    assert found.time_ps.tolist() == [100, 200, 500, 900]
    assert found.channel.tolist() == [1, -2, 1, 1]
    assert found.spans[0].lost == ((250, 400), (600, 700))
    assert source.description.serial_number == "2138000ABC"
    assert source.description.device == "Time Tagger Ultra"


def test_a_ttbin_that_the_library_refuses_is_one_fault(library: type[Reader], tmp_path: Path) -> None:
    (tmp_path / "a.ttbin").write_bytes(b"SITTjunk")
    with pytest.raises(DamagedTagFile, match="the maker's library finds no configuration"):
        read(tmp_path / "a.ttbin")


def test_a_ttbin_that_promises_tags_and_delivers_none_ends(library: type[Reader], tmp_path: Path) -> None:
    library.events = [(100, 1, 0)]
    (tmp_path / "a.ttbin").write_bytes(b"SITTcut")
    with pytest.raises(DamagedTagFile, match="says that there are more tags, and delivers none"):
        read(tmp_path / "a.ttbin")
    source, found = read(tmp_path / "a.ttbin", settings=ReadSettings(salvage=True))
    assert found.time_ps.tolist() == [100]
    assert source.troubles


def test_without_the_library_a_ttbin_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "Swabian", None)
    (tmp_path / "a.ttbin").write_bytes(b"SITT....")
    with pytest.raises(ConfigError, match="pip install Swabian-TimeTagger"):
        read(tmp_path / "a.ttbin")


# --- HDF5 and Parquet of others -----------------------------------------------------------------------------


def test_photon_hdf5_of_others_is_read_with_and_without_detectors(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["photon_data/timestamps"] = np.array([1, 4, 4, 9], np.int64)
        file["photon_data/timestamps_specs/timestamps_unit"] = 12.5e-9
    source, found = read(path)
    assert found.time_ps.tolist() == [12_500, 50_000, 50_000, 112_500]
    assert found.channel.tolist() == [0] * 4
    assert source.description.resolution_ps == 12_500
    with h5py.File(path, "a") as file:
        file["photon_data/detectors"] = np.array([0, 1, 0, 1], np.uint8)
    assert read(path)[1].channel.tolist() == [0, 1, 0, 1]


def test_other_hdf5_files_are_no_tags(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(ConfigError, match="no Photon-HDF5 file"):
        read(tmp_path / "a.h5")


def test_a_parquet_file_of_others_needs_the_two_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"time_ps": [5, 9], "channel": [1, 2]}), path)
    _, found = read(path)
    assert found.time_ps.tolist() == [5, 9]
    assert found.spans[0].start_ps == 5
    pq.write_table(pa.table({"time_ps": [5, 9], "channel": [1, 1 << 16]}), path)
    with pytest.raises(ConfigError, match="channel 65536 is beyond"):
        read(path)
    pq.write_table(pa.table({"time_ps": [5.0, 9.0], "channel": [1, 2]}), path)
    with pytest.raises(ConfigError, match="column time_ps is double: signed integers are needed"):
        read(path)
    pq.write_table(pa.table({"t": [5, 9]}), path)
    with pytest.raises(ConfigError, match="its columns are t: tags need time_ps and channel"):
        read(path)


# --- recognition --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WRITABLE))
def test_every_format_is_recognised_by_its_content_whatever_its_suffix(name: str, tmp_path: Path) -> None:
    """2000 tags at 1 MHz, of four channels where the format has them."""
    channels = [4] if name.startswith("idq") else [1, 2, 3, 4]
    made = poisson(1e6, 2000, channels, seed=7)
    settings = WriteSettings(reference_period_ps=10**9 if name == "idq_pairs" else None)
    path = tmp_path / "tags.ptu.bin.hdf5"
    write(path, name, made, settings=settings)
    (tmp_path / "tags.ptu.bin.hdf5.json").unlink()
    assert format_of(path).name == name


@pytest.mark.parametrize("low", [False, True])
def test_qutools_files_are_recognised(low: bool, tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(1).integers(1, 10**5, 500)).tolist()
    channels = [index % 5 for index in range(500)]
    path = tmp_path / "tags"
    path.write_bytes(bytes(40) + packed_5(times, channels, low=low))
    assert format_of(path).name == "qutools_compressed"
    path.write_bytes(b"".join(struct.pack("<qH", t, c) for t, c in zip(times, channels, strict=True)))
    assert format_of(path).name == "qutools"


def test_what_fits_several_formats_asks_and_the_sidecar_answers(tmp_path: Path) -> None:
    path = tmp_path / "tags"
    path.write_bytes(struct.pack("<2Q", 5 << 10 | 1, 9 << 10 | 2))
    with pytest.raises(ConfigError, match=r"its content fits .*a1.* say which with --from"):
        open_tags(path)
    write(tmp_path / "known", "a1", [block([1000, 2000], [1, 2])])
    assert format_of(tmp_path / "known").name == "a1"


def test_noise_an_empty_file_and_no_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise"
    path.write_bytes(np.random.default_rng(2).bytes(4000))
    with pytest.raises(ConfigError, match="no known format of tags; known are parquet, ptu"):
        open_tags(path)
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="the file is empty"):
        open_tags(path)
    with pytest.raises(ConfigError, match="there is no such file"):
        open_tags(tmp_path / "absent")
    with pytest.raises(ConfigError, match=r'unknown format "ptx" .did you mean "ptu"'):
        open_tags(path, format_name="ptx")
    path.write_bytes(b"x")
    with pytest.raises(ConfigError, match="does not begin as parquet does"):
        open_tags(path, format_name="parquet")


@pytest.mark.parametrize("name", sorted(FORMATS))
@given(content=st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_no_bytes_make_a_reader_fail_in_another_way_than_it_says(
    name: str, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    magic = {"parquet": b"PAR1", "ptu": b"PQTTTR\0\0", "photon_hdf5": b"\x89HDF\r\n\x1a\n", "ttbin": b"SITT"}
    path = tmp_path_factory.mktemp("any") / "tags"
    path.write_bytes(magic.get(name, b"") + content)
    settings_with_period = ReadSettings(reference_period_ps=1000)
    with contextlib.suppress(ConfigError, DamagedTagFile):
        whole(open_tags(path, settings_with_period, format_name=name).blocks(3))


def test_labels_of_channels_survive_in_photon_hdf5_itself(tmp_path: Path) -> None:
    described = Description(format="made up", channels=(ChannelNote(number=2, label="idler"),))
    write(tmp_path / "a.h5", "photon_hdf5", [block([5, 6], [1, 2])], described)
    (tmp_path / "a.h5.json").unlink()
    source, _ = read(tmp_path / "a.h5")
    assert {note.number: note.label for note in source.description.channels} == {1: "1", 2: "idler"}
