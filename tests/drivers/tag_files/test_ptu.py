"""PTU files: ours are read by ptufile, and records that are packed by hand are read by us, kind by kind."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import ptufile
import pytest
from numpy.typing import NDArray

from bellwire.core.errors import ConfigError
from bellwire.drivers.tag_files.damage import DamagedTagFile
from bellwire.drivers.tag_files.description import Description
from tests.drivers.tag_files.making import block, poisson, read, whole, write

T2_KINDS = {
    "picoharp": 0x00010203,
    "hydraharp_1": 0x00010204,
    "hydraharp_2": 0x01010204,
    "timeharp_n": 0x00010205,
    "timeharp_p": 0x00010206,
    "multiharp": 0x00010207,
}
NEWER = ["hydraharp_2", "timeharp_n", "timeharp_p", "multiharp"]


def entry(name: str, kind: int, value: bytes) -> bytes:
    return struct.pack("<32siI", name.encode(), -1, kind) + value


def ptu(
    kind: int, records: list[int], *, resolution_s: float = 1e-12, count: int | None = None, mode: int = 2
) -> bytes:
    """A file as the format's own description demands, packed by hand."""
    whole_number, real = 0x10000008, 0x20000008
    number = len(records) if count is None else count
    text = b"made by hand\0\0\0\0"
    return b"".join(
        [
            b"PQTTTR\0\0" + b"1.0.00\0\0",
            entry("HW_Type", 0x4001FFFF, struct.pack("<q", len(text))) + text,
            entry("Measurement_Mode", whole_number, struct.pack("<q", mode)),
            entry("TTResultFormat_TTTRRecType", whole_number, struct.pack("<q", kind)),
            entry("TTResultFormat_BitsPerRecord", whole_number, struct.pack("<q", 32)),
            entry("MeasDesc_GlobalResolution", real, struct.pack("<d", resolution_s)),
            entry("TTResult_NumberOfRecords", whole_number, struct.pack("<q", number)),
            entry("Header_End", 0xFFFF0008, bytes(8)),
            *(struct.pack("<I", record) for record in records),
        ]
    )


def photon(channel: int, time: int) -> int:
    return channel << 25 | time


def special(channel: int, time: int) -> int:
    return 1 << 31 | channel << 25 | time


def pico(channel: int, time: int) -> int:
    return channel << 28 | time


def as_fields(channel: NDArray[np.int16]) -> NDArray[np.int16]:
    """Channels as ptufile tells them: the fields of the records, in which sync and the first input are 0."""
    return np.maximum(channel - 1, 0).astype(np.int16)


def found_in(path: Path, content: bytes, tags_max: int = 1000) -> tuple[list[int], list[int]]:
    path.write_bytes(content)
    _, found = read(path, tags_max=tags_max)
    return found.time_ps.tolist(), found.channel.tolist()


@pytest.mark.parametrize("tags_max", [1, 2, 100])
@pytest.mark.parametrize("name", NEWER)
def test_newer_records_count_their_turns(name: str, tags_max: int, tmp_path: Path) -> None:
    records = [
        photon(0, 7),
        special(0, 8),  # the sync input
        special(63, 1),
        photon(7, 0),
        special(63, 1000),
        photon(1, (1 << 25) - 1),
        special(63, 0),  # older firmware: one turn
        photon(2, 5),
    ]
    turn = 1 << 25
    times, channels = found_in(tmp_path / "a.ptu", ptu(T2_KINDS[name], records), tags_max)
    assert times == [7, 8, turn, 1001 * turn + turn - 1, 1002 * turn + 5]
    assert channels == [1, 0, 8, 2, 3]


def test_the_first_hydraharp_turns_one_at_a_time_and_earlier(tmp_path: Path) -> None:
    records = [photon(0, 7), special(63, 1), photon(1, 2), special(63, 5), photon(2, 3), special(0, 9)]
    times, channels = found_in(tmp_path / "a.ptu", ptu(T2_KINDS["hydraharp_1"], records))
    assert times == [7, 33_552_000 + 2, 2 * 33_552_000 + 3, 2 * 33_552_000 + 9]
    assert channels == [1, 2, 3, 0]


def test_the_picoharp_has_four_bits_of_channel_and_its_own_turn(tmp_path: Path) -> None:
    records = [
        pico(0, 7),
        pico(4, 9),
        pico(15, 0),
        pico(1, 5),
        pico(15, 1600 | 0b0101),  # markers 1 and 3; the lowest bits of their time are they themselves
        pico(15, 0),
        pico(0, 1),
    ]
    times, channels = found_in(tmp_path / "a.ptu", ptu(T2_KINDS["picoharp"], records, resolution_s=4e-12))
    turn = 210_698_240
    assert times == [28, 36, 4 * (turn + 5), 4 * (turn + 1600), 4 * (turn + 1600), 4 * (2 * turn + 1)]
    assert channels == [0, 4, 1, 101, 103, 0]


@pytest.mark.parametrize("tags_max", [1, 3, 100])
@pytest.mark.parametrize("name", ["hydraharp_1", *NEWER])
def test_markers_become_one_tag_for_each_line(name: str, tags_max: int, tmp_path: Path) -> None:
    records = [photon(0, 1), special(0b1010, 5), photon(0, 9), special(1, 10)]
    times, channels = found_in(tmp_path / "a.ptu", ptu(T2_KINDS[name], records), tags_max)
    assert times == [1, 5, 5, 9, 10]
    assert channels == [1, 102, 104, 1, 101]


@pytest.mark.parametrize("tags_max", [1, 2, 3, 100])
def test_markers_may_stand_a_little_out_of_order_and_are_sorted(tags_max: int, tmp_path: Path) -> None:
    records = [photon(0, 4_999_950), photon(0, 5_000_000), special(1, 4_999_900), photon(0, 5_000_100)]
    records += [special(2, 6_000_000)]
    records += [photon(1, 5_999_000), photon(1, 6_500_000)]
    times, channels = found_in(tmp_path / "a.ptu", ptu(T2_KINDS["multiharp"], records), tags_max)
    assert times == [4_999_900, 4_999_950, 5_000_000, 5_000_100, 5_999_000, 6_000_000, 6_500_000]
    assert channels == [101, 1, 1, 1, 2, 102, 2]


@pytest.mark.parametrize("name", ["multiharp", "picoharp"])
def test_photons_out_of_order_are_refused_with_their_place(name: str, tmp_path: Path) -> None:
    make = pico if name == "picoharp" else photon
    content = ptu(T2_KINDS[name], [make(0, 5), make(1, 9), make(0, 8), make(1, 20)])
    path = tmp_path / "a.ptu"
    path.write_bytes(content)
    with pytest.raises(DamagedTagFile, match="a tag at 8 ps stands after one at 9 ps") as refusal:
        read(path, tags_max=2)
    assert refusal.value.offset == len(content) - 8


@pytest.mark.parametrize("name", NEWER)
@pytest.mark.parametrize("field", [16, 40, 62])
def test_a_record_that_no_instrument_writes_is_refused(name: str, field: int, tmp_path: Path) -> None:
    content = ptu(T2_KINDS[name], [photon(0, 5), special(field, 9), photon(0, 20)])
    (tmp_path / "a.ptu").write_bytes(content)
    with pytest.raises(DamagedTagFile, match="no instrument writes") as refusal:
        read(tmp_path / "a.ptu")
    assert refusal.value.offset == len(content) - 8


def test_more_turns_than_any_measurement_are_damage_and_no_wrong_times(tmp_path: Path) -> None:
    (tmp_path / "a.ptu").write_bytes(
        ptu(T2_KINDS["multiharp"], [special(63, (1 << 25) - 1)] * 4000 + [photon(0, 1)])
    )
    with pytest.raises(DamagedTagFile):
        read(tmp_path / "a.ptu")


def test_records_behind_those_that_the_header_tells_are_left_out(tmp_path: Path) -> None:
    records = [photon(0, 5), photon(0, 6), photon(0, 7)]
    assert found_in(tmp_path / "a.ptu", ptu(T2_KINDS["multiharp"], records, count=2))[0] == [5, 6]
    assert found_in(tmp_path / "b.ptu", ptu(T2_KINDS["multiharp"], records, count=0))[0] == [5, 6, 7]


def test_t3_files_and_unknown_records_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ptu"
    path.write_bytes(ptu(0x00010304, [], mode=3))
    with pytest.raises(ConfigError, match="mode 3"):
        read(path)
    path.write_bytes(ptu(0x00010399, [1]))
    with pytest.raises(ConfigError, match="0x00010399"):
        read(path)


def test_a_header_that_makes_no_sense_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    """Cut within the header, whichever byte: a fault that names the file, never another error."""
    content = ptu(T2_KINDS["multiharp"], [photon(0, 5)])
    path = tmp_path / "a.ptu"
    for size in range(8, len(content) - 4):
        path.write_bytes(content[:size])
        with pytest.raises(DamagedTagFile):
            read(path)


def test_ptufile_reads_the_photons_and_markers_that_we_write(tmp_path: Path) -> None:
    made = [
        block([0, 5, 5, 1 << 25], [1, 2, 0, 63]),
        block([(1 << 25) + 1, 1 << 40, (1 << 51) + 3], [101, 104, 8], start=(1 << 25) + 1),
    ]
    described = Description(format="made up", device="MultiHarp 160", comment="a comment")
    write(tmp_path / "a.ptu", "ptu", made, described)
    with ptufile.PtuFile(tmp_path / "a.ptu") as file:
        decoded = file.decode_records()
        tags = dict(file.tags)
    expected = whole(made)
    seen = (decoded["channel"] >= 0) | (decoded["marker"] > 0)
    np.testing.assert_array_equal(decoded["time"][seen].astype(np.int64), expected.time_ps)
    photons = expected.channel < 100
    np.testing.assert_array_equal(decoded["channel"][seen][photons], as_fields(expected.channel[photons]))
    assert decoded["marker"][seen][~photons].tolist() == [1, 8]
    assert tags["TTResult_NumberOfRecords"] == len(decoded)
    assert tags["HW_Type"] == "MultiHarp 160"
    assert tags["File_Comment"] == "a comment"
    assert tags["MeasDesc_GlobalResolution"] == pytest.approx(1e-12)


def test_ptufile_and_we_agree_on_a_long_stream(tmp_path: Path) -> None:
    """50,000 tags at 30 kHz: a turn of 33.6 us about every second tag."""
    made = poisson(30e3, 50_000, [0, 1, 5, 40], seed=5)
    write(tmp_path / "a.ptu", "ptu", made)
    with ptufile.PtuFile(tmp_path / "a.ptu") as file:
        decoded = file.decode_records()
    photons = decoded["channel"] >= 0
    _, ours = read(tmp_path / "a.ptu", tags_max=777)
    np.testing.assert_array_equal(decoded["time"][photons].astype(np.int64), ours.time_ps)
    np.testing.assert_array_equal(decoded["channel"][photons], as_fields(ours.channel))
    np.testing.assert_array_equal(ours.time_ps, whole(made).time_ps)


@pytest.mark.parametrize("name", sorted(T2_KINDS))
def test_ptufile_and_we_agree_on_random_records_of_each_kind(name: str, tmp_path: Path) -> None:
    """2000 records, every fifth a turn, in rising times between the turns."""
    chance = np.random.default_rng(11)
    records: list[int] = []
    last = 0
    for _ in range(2000):
        if chance.random() < 0.2:
            records.append(pico(15, 0) if name == "picoharp" else special(63, 1))
            last = 0
        else:
            last += int(chance.integers(0, 10_000))
            input_number = int(chance.integers(0, 5))
            records.append(pico(input_number, last) if name == "picoharp" else photon(input_number, last))
    (tmp_path / "a.ptu").write_bytes(ptu(T2_KINDS[name], records))
    with ptufile.PtuFile(tmp_path / "a.ptu") as file:
        decoded = file.decode_records()
    photons = decoded["channel"] >= 0
    _, ours = read(tmp_path / "a.ptu", tags_max=97)
    np.testing.assert_array_equal(decoded["time"][photons].astype(np.int64), ours.time_ps)
    expected = ours.channel if name == "picoharp" else as_fields(ours.channel)
    np.testing.assert_array_equal(decoded["channel"][photons], expected)


@pytest.mark.parametrize("channel", [-1, 64, 100, 105])
def test_channels_that_the_records_do_not_have_are_refused(channel: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"channel {channel}: .*--rename"):
        write(tmp_path / "a.ptu", "ptu", [block([5], [channel])])
    assert list(tmp_path.iterdir()) == []


def test_a_silence_of_minutes_is_many_turns_and_nothing_is_lost(tmp_path: Path) -> None:
    """400 s of silence before the first tag and 300 s after it, 4 bytes for each 4.3 ms: 0.65 MB."""
    made = [block([400 * 10**12, 700 * 10**12, 700 * 10**12 + 1], [1, 2, 1])]
    (written,) = write(tmp_path / "a.ptu", "ptu", made).written
    assert written.size_bytes == pytest.approx(700 / 2**32 * 1e12 * 4 * 128 / 127, rel=0.01)
    _, found = read(tmp_path / "a.ptu")
    assert found.time_ps.tolist() == made[0].time_ps.tolist()
    with ptufile.PtuFile(tmp_path / "a.ptu") as file:
        decoded = file.decode_records()
    assert decoded["time"][decoded["channel"] >= 0].tolist() == made[0].time_ps.tolist()


def test_times_before_zero_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="counts from 0"):
        write(tmp_path / "a.ptu", "ptu", [block([-5], [1], start=-10)])
