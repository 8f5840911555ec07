"""Programs of other projects, each in a process of its own, on our files of time tags: phconvert on
Photon-HDF5, fpfind on a1, QMI on PTU records, and the maker's library on what we ask of it for ttbin.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from bellwire.drivers.tag_files.description import Description, WriteSettings
from bellwire.drivers.tag_files.formats import FORMATS, open_tags
from bellwire.drivers.tag_files.ptu_header import read_header
from bellwire.drivers.tag_files.writing import TagWriter
from bellwire.drivers.time_tags import TagBlock
from tests.judges.conftest import Peer

pytestmark = pytest.mark.judge

RESOLUTION_PS = Fraction(25)


def made(channels: list[int], step_ps: int) -> TagBlock:
    """1000 tags on a grid, in a tenth of a second."""
    chance = np.random.default_rng(12)
    times = np.sort(chance.choice(10**11 // step_ps, 1000, replace=False)) * step_ps
    return TagBlock(0, 0, 10**11, times, chance.choice(np.array(channels, np.int16), 1000))


def write(path: Path, name: str, block: TagBlock, resolution_ps: Fraction = Fraction(1)) -> None:
    described = Description(format="made up", resolution_ps=resolution_ps, device="a tagger")
    settings = WriteSettings(original=Path("run_7.ttbin"))
    with TagWriter(path, FORMATS[name], described, settings) as writer:
        writer.put(block)


async def test_phconvert_finds_our_photon_hdf5_valid_and_reads_the_same(peer: Peer, tmp_path: Path) -> None:
    block = made([-2, 1, 4, 300], 25)
    write(tmp_path / "tags.hdf5", "photon_hdf5", block, RESOLUTION_PS)
    seen = json.loads(await peer("phconvert_tags.py", tmp_path / "tags.hdf5"))
    assert seen["timestamps"] == (block.time_ps // 25).tolist()
    assert seen["detectors"] == block.channel.tolist()
    assert seen["unit_s"] == pytest.approx(25e-12, rel=1e-12)
    assert seen["ids"] == [-2, 1, 4, 300]
    assert seen["counts"] == [int((block.channel == one).sum()) for one in seen["ids"]]
    assert seen["duration_s"] == pytest.approx(0.1)
    assert seen["original"] == "run_7.ttbin"


async def test_phconvert_accepts_a_file_without_a_tag(peer: Peer, tmp_path: Path) -> None:
    none = TagBlock(0, 0, 10**11, np.empty(0, np.int64), np.empty(0, np.int16))
    write(tmp_path / "tags.hdf5", "photon_hdf5", none)
    assert json.loads(await peer("phconvert_tags.py", tmp_path / "tags.hdf5"))["timestamps"] == []


@pytest.mark.parametrize("name", ["a1", "a1_legacy"])
async def test_fpfind_reads_our_a1_files_and_we_read_those_that_it_writes(
    name: str, peer: Peer, tmp_path: Path
) -> None:
    block = made([1, 2, 3, 4], 1000)
    write(tmp_path / "tags.a1", name, block)
    order = "legacy" if name == "a1_legacy" else "plain"
    seen = json.loads(await peer("fpfind_a1.py", tmp_path / "tags.a1", order, tmp_path / "again.a1"))
    assert seen["ticks"] == (block.time_ps // 1000 * 256).tolist()
    assert seen["patterns"] == (1 << (block.channel.astype(int) - 1)).tolist()
    again = list(open_tags(tmp_path / "again.a1", format_name=name).blocks())
    assert np.concatenate([one.time_ps for one in again]).tolist() == block.time_ps.tolist()
    assert np.concatenate([one.channel for one in again]).tolist() == block.channel.tolist()


async def test_qmi_decodes_the_records_of_our_ptu_files(peer: Peer, tmp_path: Path) -> None:
    block = made([0, 1, 2, 64 - 1, 101, 104], 80)
    write(tmp_path / "tags.ptu", "ptu", block, Fraction(80))
    begin = read_header(tmp_path / "tags.ptu").size_bytes
    seen = json.loads(await peer("qmi_t2_records.py", tmp_path / "tags.ptu", begin))
    assert seen["timestamps"] == (block.time_ps // 80).tolist()
    types = {0: 64, 1: 0, 2: 1, 63: 62, 101: 64 + 1, 104: 64 + 8}
    assert seen["types"] == [types[int(channel)] for channel in block.channel]


async def test_the_makers_library_reads_files_as_we_ask_it_to(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "junk.ttbin").write_bytes(b"SITT" + b"junk" * 100)
    seen = json.loads(await peer("swabian_files.py", tmp_path / "junk.ttbin"))
    assert {"hasData", "getData", "getConfiguration"} <= set(seen["reader"])
    assert {"getTimestamps", "getChannels", "getEventTypes"} <= set(seen["buffer"])
    kinds, _ = seen["refusal"]
    assert {"ValueError", "RuntimeError"} & set(kinds)
    assert (seen["promises"], seen["delivers"]) == (True, 0)
