"""`bellwire tags convert`, `info` and `count`: what they print, draw and write, and how they refuse."""

import contextlib
import json
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bellwire.cli import tags_progress
from bellwire.drivers.time_tags import TagBlock
from tests.cli.tagging import PNG, pairs_in, refused, run, stream, told, wrote


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    return pairs_in(tmp_path)


# --- help ---------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_without_loading_anything_heavy() -> None:
    heavy = "numpy pyarrow h5py scipy matplotlib numba rich msgspec bellwire.drivers"
    script = (
        "import sys\n"
        "from bellwire.cli import tags\n"
        "try:\n"
        "    tags.app(['--help'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        f"loaded = [name for name in {heavy.split()!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for command in ("convert", "info", "count", "coincidences", "correlate", "clock"):
        assert f"  {command} " in ran.stdout


# --- convert ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "name"), [("a.ptu", "ptu"), ("a.hdf5", "photon_hdf5"), ("a.h5", "photon_hdf5"), ("a.a1", "a1")]
)
def test_convert_there_and_back_keeps_the_tags(pairs_file: Path, out: str, name: str, tmp_path: Path) -> None:
    document = told("convert", pairs_file, tmp_path / out)
    assert (document["from"], document["to"], document["tags"]) == ("parquet", name, 80_000)
    assert Path(document["files"][0]["path"]).stat().st_size == document["files"][0]["size_bytes"]
    assert bool(document["lost"]) == (name == "a1")
    back = told("convert", tmp_path / out, tmp_path / "back.parquet")
    assert (back["from"], back["tags"]) == (name, 80_000)
    before, after = (told("info", path) for path in (pairs_file, tmp_path / "back.parquet"))
    assert before["channels"] == after["channels"]
    assert before["device"] == after["device"] == "a tagger"


def test_convert_says_what_was_written_and_what_was_lost(pairs_file: Path, tmp_path: Path) -> None:
    ran = run("convert", pairs_file, tmp_path / "a.a1")
    assert ran.exit_code == 0
    assert "80000 tags from parquet to a1:" in ran.stdout
    assert "8.00 bytes per tag" in ran.stdout
    assert "not kept: times were rounded to 3.90625 ps, by up to 2 ps" in ran.stdout


def test_convert_chooses_and_renames_channels(pairs_file: Path, tmp_path: Path) -> None:
    told("convert", pairs_file, tmp_path / "a.bin", "--channels", "2", "--rename", "2=7")
    found = told("info", tmp_path / "a.bin")
    assert [(one["channel"], one["tags"]) for one in found["channels"]] == [(7, 40_000)]


def test_convert_cuts_chunks_by_time(pairs_file: Path, tmp_path: Path) -> None:
    document = told("convert", pairs_file, tmp_path / "run", "--to", "parquet", "--chunk", "0.25")
    assert len(document["files"]) == 4
    assert sum(one["tags"] for one in document["files"]) == 80_000
    assert told("info", tmp_path / "run")["tags"] == 80_000


def test_ctrl_c_leaves_no_half_file(
    pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def interrupted(what: str) -> Iterator[Callable[[float], None]]:
        yield lambda fraction: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tags_progress, "reading", interrupted)
    before = sorted(tmp_path.iterdir())
    ran = run("convert", pairs_file, tmp_path / "a.ptu")
    assert (ran.exit_code, ran.stderr) == (130, "interrupted\n")
    assert sorted(tmp_path.iterdir()) == before


def test_convert_refuses_wrong_input_in_one_line(pairs_file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert "there is no such file" in refused("convert", tmp_path / "absent", tmp_path / "a.ptu")
    assert "never overwritten" in refused("convert", pairs_file, pairs_file)
    assert "no format has this suffix" in refused("convert", pairs_file, tmp_path / "a.xyz")
    assert "can be read, not written" in refused("convert", pairs_file, tmp_path / "a", "--to", "ttbin")
    assert 'did you mean "ptu"' in refused("convert", pairs_file, tmp_path / "a", "--to", "ptuu")
    assert "--channels 1" in refused("convert", pairs_file, tmp_path / "a.bin")
    assert "no list of channel numbers" in refused(
        "convert", pairs_file, tmp_path / "a.ptu", "--channels", "x"
    )
    assert "no pair of whole numbers" in refused("convert", pairs_file, tmp_path / "a.ptu", "--rename", "1")
    assert "beyond -32768" in refused("convert", pairs_file, tmp_path / "a.ptu", "--rename", "1=99999")
    assert "no positive number" in refused("convert", pairs_file, tmp_path / "a.ptu", "--resolution-ps", "0")
    assert "--chunk of -1 s" in refused("convert", pairs_file, tmp_path / "a.ptu", "--chunk", "-1")
    assert sorted(tmp_path.iterdir()) == before


def test_damage_is_one_line_with_its_place_and_salvage_takes_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack("<100Q", *range(1, 10_000, 100)) + b"abc")
    assert "byte 800: the file ends within a record: 3 bytes of 8; --salvage takes the 100" in refused(
        "info", path, "--from", "idq"
    )
    document = told("info", path, "--from", "idq", "--salvage", "--channel", "3")
    assert document["tags"] == 100
    assert "left out" in document["notes"][0]


# --- info and count -----------------------------------------------------------------------------------------


def test_info_tells_format_channels_rates_gaps_and_epochs(tmp_path: Path) -> None:
    path = wrote(
        tmp_path / "a",
        TagBlock(3, 0, 10**12, np.arange(0, 10**12, 10**9), np.ones(1000, np.int16), ((5, 10**9),)),
        TagBlock(4, 7, 10**10, np.array([8, 9]), np.array([1, -2], np.int16)),
    )
    found = told("info", path, "--verify")
    assert (found["format"], found["tags"], found["checksum"]) == ("parquet", 1002, "agrees")
    assert [(one["channel"], one["tags"]) for one in found["channels"]] == [(-2, 1), (1, 1001)]
    assert found["channels"][1]["rate_hz"] == pytest.approx(1001 / 1.01, rel=1e-6)
    assert [(one["epoch"], one["tags"], one["gaps_ps"]) for one in found["epochs"]] == [
        (3, 1000, [[5, 10**9]]),
        (4, 2, []),
    ]
    shown = run("info", path).stdout
    assert "gap in epoch 3: 5 to 1000000000 ps" in shown
    assert "1002 tags in 1.01 s" in shown


def test_info_notices_content_that_has_changed(tmp_path: Path) -> None:
    path = wrote(tmp_path / "a", TagBlock(0, 0, 99, np.array([8, 9]), np.array([1, 1], np.int16)), name="idq")
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    ran = run("info", path, "--verify", "--json")
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["checksum"] == "differs"
    assert "is not that of which the sidecar holds the checksum" in ran.stderr


def test_count_marks_intervals_with_losses_and_draws(tmp_path: Path) -> None:
    times = np.arange(0, 10**12, 10**9)
    path = wrote(
        tmp_path / "a", stream(times, (1 + times // 10**9 % 2).astype(np.int16), ((10**11, 10**11 + 5),))
    )
    found = told("count", path, "--interval", "0.1", "--plot", tmp_path / "a.png")
    (epoch,) = found["epochs"]
    assert epoch["counts"] == {"1": [50] * 9, "2": [50] * 9}
    assert epoch["valid"] == [True, False, *[True] * 7]
    assert epoch["left_out_ps"] == 99_000_000_001
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    shown = run("count", path, "--interval", "0.1", "--channels", "2").stdout
    assert "tags may be missing" in shown
    assert "channel 2: 500 per second over 0.8 s without losses" in shown
    assert "--interval of 0 s" in refused("count", path, "--interval", "0")
    assert "drawn as .png" in refused("count", path, "--plot", tmp_path / "a.pdf")
