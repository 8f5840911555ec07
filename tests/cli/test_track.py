"""`bellwire track`: lines and documents, what ends it and how, wrong input; the keeper itself is scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from bellwire.calibration import keeping
from bellwire.calibration.keeping import News, NewsKind
from bellwire.calibration.records import Quantity
from bellwire.cli.exits import Commands
from bellwire.cli.track import document, line, track
from bellwire.runtime import console

LAB = "entangled_photons"
AT_NS = 1_700_000_000 * 10**9
app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
app.command()(track)


@app.callback()
def _group() -> None:
    """One command alone would be no group, and errors are turned into lines by the group."""


LOOKED = News(
    kind=NewsKind.LOOKED,
    at_ns=AT_NS,
    link="alice-bob",
    reason="within its limits",
    procedure="keep_clock",
    outcome="passed",
    record_id="alice-bob.keep_clock.1",
    quantities={"residual_ps": Quantity(3.25, 0.4, "ps"), "odd": Quantity(float("nan"), 1.0)},
    applied={"bob-paddles angle_deg.1": 61.5},
)
FAILED = News(
    kind=NewsKind.LOOKED,
    at_ns=AT_NS,
    link="alice-bob",
    reason="error_z = 0.05 (<= 0.03, NOT MET)",
    procedure="keep_polarisation",
    outcome="failed",
)
REPAIRING = News(
    kind=NewsKind.REPAIRING,
    at_ns=AT_NS,
    link="alice-bob",
    reason="keep_polarisation failed",
    procedure="polarisation",
)
PUT_OFF = News(
    kind=NewsKind.PUT_OFF, at_ns=AT_NS, link="alice-bob", reason="bob-tagger is held by grace for 5.0 s more"
)


class Scripted:
    """In the place of `Keeping`: tells what the test wrote, then ends after its rounds or waits."""

    script: tuple[News, ...] = ()
    made: dict[str, Any] = {}  # noqa: RUF012  # the test reads what the command handed over

    def __init__(self, bench: Any, access: Any, *rest: Any, on_news: Any) -> None:
        Scripted.made = {"link": bench.link, "looks": [one.name for one in rest[2]], "grant": rest[3]}
        self._on_news = on_news

    async def run(self, rounds: int | None = None) -> None:
        Scripted.made["rounds"] = rounds
        for news in self.script:
            self._on_news(news)
        if rounds is None:
            await asyncio.Event().wait()


@asynccontextmanager
async def no_console(*_: object) -> AsyncIterator[None]:
    yield None


@pytest.fixture(autouse=True)
def _scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "Keeping", Scripted)
    monkeypatch.setattr(console, "Console", no_console)


def run(folder: Path, *arguments: str, code: int = 0, script: tuple[News, ...] = (LOOKED,)) -> Result:
    Scripted.script = script
    found = CliRunner().invoke(app, ["track", *arguments, "--state", str(folder)])
    assert found.exit_code == code, found.output
    return found


def test_once_makes_every_look_once_and_says_a_line_for_each(tmp_path: Path) -> None:
    said = run(tmp_path, LAB, "--once").output
    assert "keep_clock" in said
    assert "passed: residual_ps 3.25 ± 0.4 ps" in said
    assert Scripted.made["link"] == "alice-bob"
    assert Scripted.made["rounds"] == 1
    assert Scripted.made["looks"] == ["references", "keep_clock", "keep_delay", "keep_polarisation"]


def test_once_ends_without_success_where_a_look_failed_or_was_put_off(tmp_path: Path) -> None:
    for news in (FAILED, PUT_OFF):
        run(tmp_path, LAB, "--once", code=1, script=(LOOKED, news))
    # a later look that passed is what counts
    run(
        tmp_path,
        LAB,
        "--once",
        script=(FAILED, REPAIRING, _passed("polarisation"), _passed(FAILED.procedure)),
    )


def _passed(procedure: str) -> News:
    kind = NewsKind.REPAIRED if procedure == "polarisation" else NewsKind.LOOKED
    return News(kind=kind, at_ns=AT_NS, link="alice-bob", reason="", procedure=procedure, outcome="passed")


def test_it_ends_after_the_time_that_was_said(tmp_path: Path) -> None:
    run(tmp_path, LAB, "alice-bob", "--every", "30", "--for", "0.2")
    assert Scripted.made["rounds"] is None
    assert Scripted.made["grant"].every_s == 30.0
    assert Scripted.made["grant"].length_s == 2.5


def test_json_is_one_document_a_line_and_nothing_else(tmp_path: Path) -> None:
    said = run(tmp_path, LAB, "--once", "--json", code=1, script=(LOOKED, PUT_OFF)).output
    first, second = (json.loads(one) for one in said.splitlines())
    assert first["kind"] == "looked"
    assert first["quantities"]["residual_ps"] == {"value": 3.25, "sigma": 0.4, "unit": "ps"}
    assert first["quantities"]["odd"]["value"] is None
    assert first["applied"] == {"bob-paddles angle_deg.1": 61.5}
    assert (second["kind"], second["procedure"], second["outcome"]) == ("put_off", None, None)


def test_every_kind_of_news_has_a_line_with_its_reason() -> None:
    for news in (LOOKED, FAILED, REPAIRING, PUT_OFF):
        assert news.reason in line(news)
    for kind in NewsKind:
        told = News(kind=kind, at_ns=AT_NS, link="alice-bob", reason="because", procedure="clock")
        assert "because" in line(told)
        assert document(told)["kind"] == kind.value
    assert "is run: keep_polarisation failed" in line(REPAIRING)
    assert "put off: bob-tagger is held by grace" in line(PUT_OFF)


def test_wrong_input_is_one_line(tmp_path: Path) -> None:
    for arguments, said in (
        ([LAB, "alice-bo"], 'no link is called "alice-bo"'),
        ([LAB, "--once", "--for", "5"], "leave out --for"),
        ([LAB, "--every", "10", "--window", "11"], "--window 11 must lie above 0"),
        (["two_node_link"], "none of them has a calibration section"),
    ):
        assert said in run(tmp_path, *arguments, code=2).output
