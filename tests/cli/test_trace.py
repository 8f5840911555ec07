"""`bellwire trace`: where it finds records, what it prints, and how it refuses."""

import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from bellwire.cli.main import app
from bellwire.cli.trace_axis import Axis, span_text

SVG = "{http://www.w3.org/2000/svg}"


def bellwire(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def trace_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.jsonl"
    done = bellwire("simulate", "three_node_repeater", "--duration", "0.3", "--trace", path, "--json")
    assert done.exit_code == 0
    return path


def test_the_picture_has_a_lane_for_each_node_and_the_swap_in_the_relays(trace_file: Path) -> None:
    said = bellwire("trace", "demo", "--run", trace_file, "--pair", "1").stdout
    lanes = {line.split()[0]: line for line in said.splitlines() if "·" in line}
    assert list(lanes) == ["alice", "west", "relay", "east", "bob"]
    assert "X" in lanes["relay"]
    assert "h" in lanes["west"]
    assert all("D" in lanes[node] for node in ("alice", "bob"))
    assert "Pair 1 of demo: delivered" in said
    assert "heralds" in said


def test_json_is_one_document_with_shares_and_the_pair(trace_file: Path) -> None:
    document = json.loads(bellwire("trace", "de", "--run", trace_file, "--json").stdout)
    assert document["request"]["request"] == "demo"
    assert sum(document["request"]["shares"].values()) == pytest.approx(1.0)
    assert document["pair"]["number"] == document["request"]["delivered"]
    assert document["orders_unknown"] == {}


def test_the_svg_is_well_formed_and_draws_every_moment_qubit_and_message(
    trace_file: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "pair.svg"
    arguments = ("trace", "demo", "--run", trace_file, "--pair", "1", "--json", "--svg", picture)
    pair = json.loads(bellwire(*arguments).stdout)["pair"]
    drawn = ElementTree.fromstring(picture.read_text(encoding="utf-8"))
    titles = [one.text or "" for one in drawn.iter(f"{SVG}title")]
    texts = [one.text for one in drawn.iter(f"{SVG}text")]
    assert set(pair["nodes"]) <= set(texts)
    shown = [one for one in pair["moments"] if one["kind"] != "window"]
    assert all(any(one["text"] in title for title in titles) for one in shown)
    assert len([one for one in drawn.iter(f"{SVG}rect") if one.find(f"{SVG}title") is not None]) == len(
        pair["holdings"]
    )
    arrows = [one for one in drawn.iter(f"{SVG}line") if one.get("marker-end")]
    assert len(arrows) == len(pair["passages"])
    assert all(float(one.get("x1", "0")) < float(one.get("x2", "0")) for one in arrows), "no message is early"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), 'begins with "nobody"; there are demo'),
        (("demo", "--pair", "999"), "demo has no pair 999: 1 to "),
        (("demo", "--lab", "three_node_repeater"), "--run and --lab name a run both"),
        (("demo", "--pair", "1", "--svg", "/nowhere/at/all.svg"), "cannot be written: No such file"),
    ],
)
def test_what_cannot_be_traced_is_refused_in_one_line(
    trace_file: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = bellwire("trace", arguments[0], "--run", trace_file, *arguments[1:])
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert refused.stdout == ""


def test_a_folder_that_is_no_run_and_a_state_without_runs_are_refused(tmp_path: Path) -> None:
    assert "neither a run directory" in bellwire("trace", "demo", "--run", tmp_path).stderr
    assert "no such run" in bellwire("trace", "demo", "--run", tmp_path / "gone").stderr
    assert "no run is kept here" in bellwire("trace", "demo", "--state", tmp_path).stderr
    assert (
        "no run of two_node_link"
        in bellwire("trace", "x", "--state", tmp_path, "--lab", "two_node_link").stderr
    )


def test_a_request_without_pairs_says_where_its_time_went_and_what_was_missing(tmp_path: Path) -> None:
    trace = tmp_path / "short.jsonl"
    bellwire("simulate", "three_node_repeater", "--duration", "0.005", "--trace", trace, "--json")
    said = bellwire("trace", "demo", "--run", trace).stdout
    assert "0 pairs delivered, " in said
    assert "without a pair or a window at the end: " in said
    assert "last: plan active" in said
    assert "no picture for --svg" in bellwire("trace", "demo", "--run", trace, "--svg", tmp_path / "a").stderr


def test_times_keep_their_order_on_the_axis_and_microseconds_stay_apart_beside_seconds() -> None:
    axis = Axis([0, 1_000, 2_000, 5_000_000_000])
    places = [axis.place(at_ns) for at_ns in (0, 1_000, 2_000, 5_000_000_000)]
    assert places[0] == 0.0
    assert places[-1] == pytest.approx(1.0)
    assert all(after - before > 0.15 for before, after in pairwise(places))
    assert axis.place(-5) == 0.0
    assert axis.place(9_000_000_000) == pytest.approx(1.0)
    assert axis.place(2_500_000_000) == pytest.approx((places[2] + places[3]) / 2, abs=1e-6)
    assert Axis([7]).place(7) == 0.0


def test_spans_are_told_with_their_unit() -> None:
    assert [span_text(ns) for ns in (0, 999, -1_500, 2_000_000, 61_000_000_000)] == [
        "0 ns", "999 ns", "-1.5 us", "2 ms", "61 s"
    ]  # fmt: skip
