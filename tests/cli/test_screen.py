"""What people see: the live screen in terminals of all sizes, plain lines elsewhere, the summary."""

import io
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bellwire.cli import summary
from bellwire.cli.lab_status import LabStatus
from bellwire.cli.picture import LabPicture
from bellwire.cli.screen import Drawing, PlainLines, open_screen
from tests.cli.running import SECOND_NS, answers, at_work, delivered, status_report, three_nodes, truth


def drawn(picture: LabPicture, status: LabStatus, width: int, height: int, **terminal: Any) -> list[str]:
    console = Console(width=width, height=height, file=io.StringIO(), highlight=False, **terminal)
    with console.capture() as printed:
        console.print(Drawing(picture, status, console).whole())
    return printed.get().splitlines()


@pytest.mark.parametrize("size", [(100, 40), (80, 24), (200, 60), (60, 20), (120, 10), (30, 5)])
def test_the_screen_fits_the_terminal(size: tuple[int, int]) -> None:
    width, height = size
    lines = drawn(*at_work(), width, height)
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    assert any("demo" in line for line in lines)


def test_a_usual_terminal_shows_requests_links_nodes_and_pairs() -> None:
    text = "\n".join(drawn(*at_work(), 100, 40))
    for said in (
        "30 of 100",
        "alice-relay",
        "20.0",
        "herald ready, timing ready",
        "0 Φ+",
        "relay-bob 30.0",
    ):
        assert said in text
    assert "swaps: 5 tried, 3 succeeded, 1 failed, 1 unknown" in text
    assert "\x1b" not in text


def test_trouble_is_on_the_screen_with_its_reason() -> None:
    picture, status = at_work()
    status.look(3 * SECOND_NS, answers(herald="lost"), started=True)
    for size in ((100, 40), (70, 12)):
        text = "\n".join(drawn(picture, status, *size))
        assert "alice-relay degraded: west herald lost (no answer)" in text


def test_a_long_reason_costs_no_other_column() -> None:
    picture, status = at_work()
    troubled = answers(herald="lost")
    west = json.loads(json.dumps(troubled["west"]))
    west["instruments"]["west-herald"]["reason"] = "cannot open " + "/a/very/long/path" * 10
    status.look(3 * SECOND_NS, troubled | {"west": west}, started=True)
    lines = drawn(picture, status, 100, 40)
    assert any(line.startswith("west") and "degraded" in line and line.endswith("…") for line in lines)
    assert len(lines) < 40


def test_without_colours_nothing_is_coloured() -> None:
    picture, status = at_work()
    coloured = "\n".join(drawn(picture, status, 100, 40, force_terminal=True, color_system="standard"))
    plain = drawn(picture, status, 100, 40, force_terminal=True, color_system="standard", no_color=True)
    assert "\x1b[32m" in coloured
    assert not any(f"\x1b[{colour}m" in line for line in plain for colour in range(30, 48))


def test_plain_lines_come_when_something_changed_and_once_a_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    picture, status = at_work(pairs=2)
    now_s = [0.0]
    lines = PlainLines(picture, status, lambda: now_s[0])
    lines.draw()
    for number in range(3, 10):
        now_s[0] += 0.2
        picture.take([delivered(number)])
        lines.draw()
    now_s[0] += 10.0
    lines.draw()  # one more pair than was said at 1.0 s
    now_s[0] += 10.0
    lines.draw()  # nothing new
    assert capsys.readouterr().out.splitlines() == [
        "   0.0 s  demo: 2 of 100 pairs, 10.0 pairs/s; 2 links ready",
        "   1.0 s  demo: 7 of 100 pairs, 10.0 pairs/s; 2 links ready",
        "  11.4 s  demo: 9 of 100 pairs, 10.0 pairs/s; 2 links ready",
    ]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the captured stdout for a terminal
    monkeypatch.setenv("TERM", "dumb")
    with ExitStack() as closing:
        assert not open_screen(closing, *at_work(), quiet=False).covers


# --- the summary ------------------------------------------------------------------------------------------


def ending(tmp_path: Path, frame: int, same: bool = True) -> tuple[LabPicture, LabStatus, summary.Ended]:
    """A run that has delivered two pairs in frame 0 which truly were in `frame`."""
    lab = three_nodes()
    picture, status = LabPicture(lab, lab.requests), LabStatus(lab)
    picture.submitted(SECOND_NS)
    picture.take([delivered(1), delivered(2), status_report("completed", 2)])
    (tmp_path / "truth.jsonl").write_text(truth(1, frame) + truth(2, frame, fidelity=0.9), encoding="utf-8")
    picture.take_truth(tmp_path / "truth.jsonl")
    replay = {"same": same, "steps": 9, "machines": [{}] * 5, "ledgers": [{}] * 3, "counters": answers(4)}
    return picture, status, summary.Ended(lab, tmp_path, False, {"relay": 1}, replay, "")


def test_the_summary_says_everything_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, status, ended = ending(tmp_path, frame=0)
    summary.show(picture, status, ended)
    text = capsys.readouterr().out
    for said in (
        "Request demo completed",
        "2 of 100 delivered",
        "10.0 pairs/s from the first one on, 10.0 from submission; plan 34.2",
        "0.9000 ± 0.0000 as the network estimated, 0.8500 ± 0.0500 as the emulated world knows; plan 0.883",
        "p50 100.0 ms, p95 100.0 ms, p99 100.0 ms between pairs; the first 100.0 ms after submission",
        "0 wrong of 2 checked",
        "5 tried, 3 succeeded, 1 failed, 1 unknown",
        "relay 1 times",
        "9 steps of 5 machines, 3 ledgers: all the same",
    ):
        assert text.count(said) == 1, (said, text)
    assert "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert summary.alarms(picture, ended) == []


def test_the_same_as_one_document(tmp_path: Path) -> None:
    picture, status, ended = ending(tmp_path, frame=0)
    document = json.loads(json.dumps(summary.report(picture, status, ended)))
    assert document["links"]["alice-relay"] == {
        "station": "west",
        "heralds": 4,
        "unusable": 2,
        "unknown": 4,
        "herald_rate_hz": pytest.approx(40.0),
    }
    assert document["swaps"]["tried"] == 5
    assert (document["frame_errors"], document["interrupted"], document["restarts"]) == (
        0,
        False,
        {"relay": 1},
    )
    assert document["requests"]["demo"]["fidelity_true_mean"] == pytest.approx(0.85)


def test_wrong_frames_and_a_replay_that_differs_are_loud(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, status, ended = ending(tmp_path, frame=3, same=False)
    frames, replay = summary.alarms(picture, ended)
    assert frames.startswith("WRONG FRAMES: 2 of 2 checked pairs of request demo")
    assert replay.startswith("REPLAY DIFFERS")
    summary.show(picture, status, ended)
    assert "WRONG FRAMES" in capsys.readouterr().out
