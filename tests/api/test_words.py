"""What `bellwire.api` offers: every name is there and explained, loaded late, and shown as plain text."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import bellwire.api
from bellwire.api.calibrations import Calibration, Calibrations
from bellwire.api.lab_files import find_lab, shipped_labs
from bellwire.api.progress import ProgressLine
from bellwire.api.text_tables import span, text_table
from bellwire.calibration.procedure import Progress
from bellwire.calibration.records import CalibrationRecord, Check, Outcome, Quantity
from bellwire.calibration.store import CalibrationStore
from bellwire.core.errors import ConfigError

ENDED_NS = time.time_ns() - 216_000_000_000_000
"""Two and a half days ago: it is "2 d ago" however long the tests take."""

RECORD = CalibrationRecord(
    record_id="west.darks.1",
    link="west",
    procedure="darks",
    outcome=Outcome.PASSED,
    reason="within its limits",
    started_ns=ENDED_NS - 2_500_000_000,
    ended_ns=ENDED_NS,
    valid_for_s=86_400.0,
    quantities={"dark_hz.h": Quantity(51.25, 3.6, "1/s"), "width_ps": Quantity(259.0, 0.0, "ps")},
    checks=(Check("dark_hz.h", 51.25, None, 2000.0, "1/s"), Check("share", 0.9, 0.75)),
    applied={"middle-delay delay_ps": 320.0},
    overrides=("without clock, by the operator",),
)


@pytest.fixture
def store(tmp_path: Path) -> CalibrationStore:
    return CalibrationStore(tmp_path)


@pytest.mark.parametrize("name", bellwire.api.__all__)
def test_every_name_is_there_and_has_a_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(bellwire.api, name))


def test_every_function_and_method_of_the_facade_shows_an_example() -> None:
    """Examples are read, not run: they speak of a laboratory."""
    bare = [
        f"{kind.__name__}.{name}"
        for kind in (bellwire.api.Lab, bellwire.api.Link, bellwire.api.Device)
        for name, member in vars(kind).items()
        if inspect.isfunction(member) and not name.startswith("_") and ">>>" not in (member.__doc__ or "")
    ]
    functions = [getattr(bellwire.api, name) for name in bellwire.api.__all__]
    bare += [
        one.__name__ for one in functions if inspect.isfunction(one) and ">>>" not in (one.__doc__ or "")
    ]
    assert bare == []


def test_the_synchronous_and_the_asynchronous_words_are_the_same() -> None:
    from bellwire.api import asynchronous, synchronous, synchronous_link

    def words(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert words(synchronous_link.Link) == words(asynchronous.Link) | {"bench"}
    assert words(synchronous.Lab) == words(asynchronous.Lab) | {"close", "devices", "links", "state"}
    assert words(synchronous.Device) == words(asynchronous.Device) | {"name"}


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="opne_lab"):
        bellwire.api.opne_lab  # noqa: B018
    assert "open_lab" in dir(bellwire.api)


def test_importing_the_interface_loads_neither_numba_nor_pyplot_nor_pyarrow() -> None:
    text = (
        "import sys, bellwire.api; light = set(sys.modules)\n"
        "assert not light & {'numpy', 'zmq', 'scipy'}, light & {'numpy', 'zmq', 'scipy'}\n"
        "from bellwire.api import open_lab\n"
        "print(sorted({'numba', 'matplotlib', 'pyarrow', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ---- plain text


def test_a_run_shows_values_with_errors_limits_what_was_set_and_what_was_opened(
    store: CalibrationStore,
) -> None:
    assert repr(Calibration(RECORD, store)).splitlines() == [
        "darks of west passed: within its limits",
        "2.5 s, 2 d ago, holds for 24 h",
        "gate opened by hand: without clock, by the operator",
        "set: middle-delay delay_ps = 320",
        "",
        "quantity    value     ±   unit   limits",
        "────────────────────────────────────────",
        "dark_hz.h   51.25   3.6   1/s    <= 2000",
        "width_ps      259     -   ps",
        "check: share = 0.9 (>= 0.75)",
    ]


def test_several_runs_are_found_by_place_and_by_name(store: CalibrationStore) -> None:
    failed = replace(RECORD, procedure="clock", outcome=Outcome.FAILED, reason="no light")
    runs = Calibrations(
        "Calibration of west",
        [Calibration(RECORD, store), Calibration(failed, store)],
        left_out={"window": "needs clock, which did not pass"},
    )
    assert (len(runs), runs.passed) == (2, False)
    assert runs[0] is runs["darks"]
    assert [one.procedure for one in runs[1:]] == ["clock"]
    text = repr(runs)
    assert "dark_hz.h 51.25 ± 3.6 1/s, width_ps 259 ± - ps" in text
    assert "no light" in text
    assert "needs clock, which did not pass" in text
    with pytest.raises(ConfigError, match="window was left out: needs clock"):
        runs["window"]
    with pytest.raises(ConfigError, match='did you mean "darks"'):
        runs["dark"]
    assert repr(Calibrations("Calibrations of west", [])) == "Calibrations of west: nothing yet"


def test_a_picture_is_shown_by_its_bytes_and_missed_when_it_has_gone(store: CalibrationStore) -> None:
    store.prepare()
    name = store.keep_file(RECORD.record_id, ".png", b"\x89PNG picture")
    drawn = Calibration(replace(RECORD, plot=name), store)
    assert drawn.plot.png == b"\x89PNG picture"
    assert drawn.plot._repr_png_() == drawn.plot.png
    drawn.plot.path.unlink()
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        _ = drawn.plot.png
    assert drawn.data == {}


def test_numbers_stand_to_the_right_and_words_to_the_left() -> None:
    assert text_table(["name", "value"], [["a", "1"], ["bcd", "200"]]).splitlines()[2:] == [
        "a          1",
        "bcd      200",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.123, "4.12 s"),
        (90.0, "1.5 min"),
        (86_400.0, "24 h"),
        (604_800.0, "7 d"),
        (float("inf"), "for ever"),
    ],
)
def test_lengths_of_time_are_said_in_their_largest_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_progress_is_written_as_a_line_for_each_end_where_nothing_can_be_overwritten(
    store: CalibrationStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ProgressLine()
    line.progress(Progress("darks", "counting", 0.5))
    line.ended(Calibration(RECORD, store))
    assert capsys.readouterr().out == "darks passed in 2.5 s: within its limits\n"
    ProgressLine(quiet=True).ended(Calibration(RECORD, store))
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    line.progress(Progress("darks", "counting", 0.5, {"rate_hz": 51.25}))
    assert capsys.readouterr().out.rstrip() == "\rdarks  50%: counting (rate_hz 51.25)"


# ---- lab files


def test_labs_are_found_by_path_and_by_shipped_name(tmp_path: Path) -> None:
    assert find_lab("entangled_photons") == shipped_labs() / "entangled_photons.yaml"
    own = tmp_path / "own.yaml"
    own.write_text("lab: own\n", encoding="utf-8")
    assert find_lab(own) == own
    with pytest.raises(ConfigError, match='did you mean "entangled_photons"'):
        find_lab("entangled_photon")
    with pytest.raises(ConfigError, match="there is no such lab file"):
        find_lab("labs/none.yaml")
