"""The picture of a history: a readable PNG of a sensible size, whatever the records lack."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image
import pytest

from bellwire.calibration.history_plot import IN_FORCE, OUT_OF_LIMITS, PANELS_MAX, draw_history
from bellwire.calibration.records import CalibrationRecord, Outcome, Quantity
from bellwire.core.errors import ConfigError
from tests.calibration.made_records import HOUR_S, NOW_NS, made, visible


def drawn(records: list[CalibrationRecord], path: Path) -> set[str]:
    """Which of the colours that mean something are in the picture, by more than a legend's few points."""
    assert draw_history(records, path, NOW_NS) == 0
    pixels = (matplotlib.image.imread(path)[:, :, :3] * 255).round().astype(int).reshape(-1, 3)
    names = {"in force": IN_FORCE, "outside": OUT_OF_LIMITS}
    found = {
        name: int((abs(pixels - [int(colour[k : k + 2], 16) for k in (1, 3, 5)]).max(axis=1) <= 3).sum())
        for name, colour in names.items()
    }
    return {name for name, count in found.items() if count > 800}


def test_what_is_in_force_and_what_is_out_of_limits_show(tmp_path: Path) -> None:
    good = [visible(str(k), 0.9 - 0.01 * k, ago_s=(9 - k) * HOUR_S) for k in range(8)]
    bad = visible("bad", 0.6, ago_s=HOUR_S)
    aborted = made("aborted", Outcome.ABORTED, ago_s=HOUR_S / 2)
    assert drawn([*good, aborted], tmp_path / "good.png") == {"in force", "outside"}
    assert drawn([*good, bad, aborted], tmp_path / "bad.png") == {"outside"}


def test_one_record_without_limit_or_end_is_drawn(tmp_path: Path) -> None:
    record = made("one", valid_for_s=math.inf, quantities={"width": Quantity(21.0, math.nan, "ps")}, ago_s=60)
    assert drawn([record], tmp_path / "one.png") == {"in force"}


def test_more_quantities_than_there_is_room_for_are_counted(tmp_path: Path) -> None:
    found = {f"q{k}": Quantity(float(k), 0.1) for k in range(PANELS_MAX + 3)}
    assert draw_history([made("one", quantities=found)], tmp_path / "many.png", NOW_NS) == 3


@pytest.mark.parametrize("quantities", [{}, {"visibility": Quantity(math.nan, 0.1)}])
def test_nothing_to_draw_is_said(tmp_path: Path, quantities: dict[str, Quantity]) -> None:
    with pytest.raises(ConfigError, match="has a quantity to draw"):
        draw_history([made("one", quantities=quantities)], tmp_path / "none.png", NOW_NS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "said"), [("no/where.png", "cannot be written"), ("a.doc", "in .png")])
def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        draw_history([visible("one", 0.9)], tmp_path / name, NOW_NS)
