"""`bellwire plan` as an operator uses it: what it prints and what it writes.

Owns the tests of cli/plan*.py where the answer is a plan; test_plan_refusals.py has the rest. Commands run in
this process unless the test is about the process itself.
"""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bellwire.cli.plan_methods import LINES, methods_by_kind
from bellwire.planner.batch.methods import BATCH_METHODS
from bellwire.planner.methods import METHODS
from bellwire.planner.multipartite.methods import GHZ_METHODS, GRAPH_METHODS
from tests.cli.planning import BATCH, LINE, PAIR, batch, bellwire, document, line_file, refusal

PROGRAM = [sys.executable, "-c", "from bellwire.cli.main import app; app()"]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return line_file(tmp_path)


# --- one pair ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [name for name in METHODS if name != "route"])
def test_every_method_plans_a_line_of_a_graphml_file(network: Path, method: str) -> None:
    found = document(bellwire(network, *PAIR, "--method", method, "--json"))
    assert found["method"] == method
    assert found["route"] == ["A", "B", "C", "D"]
    for key in ("latency_s", "rate_hz", "fidelity", "success_probability"):
        assert isinstance(found[key], float), key
    assert found["rate_hz"] == pytest.approx(1.0 / found["latency_s"])
    assert found["tree"]["latency_s"] == found["latency_s"]
    assert {found["tree"]["left"], found["tree"]["right"]} == {"A", "D"}
    assert set(found["instructions"]) == {"A", "B", "C", "D"}
    assert found["topology"] == {"name": "line", "nodes": 4, "links": 3, "notes": found["topology"]["notes"]}


def test_the_defaults_are_those_of_the_paper(network: Path) -> None:
    found = document(bellwire(network, *PAIR, "--json"))
    assert found["method"] == "dp"
    assert 1e3 * found["latency_s"] == pytest.approx(107.28902833, abs=5e-9)


def test_people_get_the_tree(network: Path) -> None:
    result = bellwire(network, *PAIR)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("A to D by dp: 107.3 ms per pair (9.321 pairs/s), fidelity 0.9")
    assert "└─ link, 10 km" in result.stdout
    assert result.stderr == ""


def test_a_route_is_kept_to_and_a_node_avoided(tmp_path: Path) -> None:
    diamond = LINE.replace('source="B" target="C"', 'source="B" target="D"').replace(
        'source="C" target="D"', 'source="A" target="C"'
    )
    edge = '<edge source="C" target="D"><data key="l">20</data></edge>\n  </graph>'
    path = tmp_path / "diamond.graphml"
    path.write_text(diamond.replace("  </graph>", edge), encoding="utf-8")
    assert document(bellwire(path, *PAIR, "--json"))["route"] == ["A", "B", "D"]
    assert document(bellwire(path, *PAIR, "--avoid", "B", "--json"))["route"] == ["A", "C", "D"]
    on_route = document(bellwire(path, *PAIR, "--route", "A,C,D", "--json"))
    assert (on_route["method"], on_route["route"]) == ("route", ["A", "C", "D"])
    assert refusal(bellwire(path, *PAIR, "--route", "A,D")) == "no link between A and D on the route A-D"


def test_a_wanted_rate_slows_every_link_and_a_rate_too_high_is_refused_with_the_best(network: Path) -> None:
    found = document(bellwire(network, *PAIR, "--rate", "5", "--json"))
    assert found["rate_hz"] == pytest.approx(5.0)
    fast = document(bellwire(network, *PAIR, "--json"))
    for slow_link, fast_link in zip(found["use"]["links"], fast["use"]["links"], strict=True):
        assert slow_link["rate_hz"] < fast_link["rate_hz"]
    assert refusal(bellwire(network, *PAIR, "--rate", "50")) == (
        "A-D: 50 pairs/s are not reached: at most 9.321 by method dp"
    )


def test_purification_reaches_a_fidelity_that_swapping_alone_does_not(network: Path) -> None:
    alone = refusal(bellwire(network, *PAIR, "--fidelity", "0.99"))
    assert "fidelity 0.99 is not reached" in alone
    found = document(bellwire(network, *PAIR, "--method", "past", "--fidelity", "0.99", "--json"))
    assert found["fidelity"] >= 0.99
    rounds = [each for node in found["instructions"].values() for each in node["purification"]]
    assert rounds
    assert all(each["scheme"] == "dejmps" for each in rounds)


def test_waiting_and_throttling_are_options(network: Path) -> None:
    exact = document(bellwire(network, *PAIR, "--waiting", "exponential", "--json"))
    assert exact["waiting"] == "exponential"
    rule = document(bellwire(network, *PAIR, "--json"))
    assert exact["latency_s"] < rule["latency_s"]
    free = document(bellwire(network, *PAIR, "--no-throttle", "--json"))
    assert free["latency_s"] == pytest.approx(rule["latency_s"])
    assert sum(link["rate_hz"] for link in free["use"]["links"]) > sum(
        link["rate_hz"] for link in rule["use"]["links"]
    )


# --- networks ---------------------------------------------------------------------------------------------


def test_a_lab_is_planned_by_its_name_and_by_its_file() -> None:
    named = document(bellwire("three_node_repeater", "--from", "alice", "--to", "bob", "--json"))
    file = Path(__file__).parents[2] / "lab_configs" / "three_node_repeater.yaml"
    assert document(bellwire(file, "--from", "alice", "--to", "bob", "--json")) == named
    assert named["route"] == ["alice", "relay", "bob"]
    assert named["topology"]["name"] == "three_node_repeater"
    assert named["tree"]["children"][0]["link"] == "alice-relay"


def test_a_random_network_is_planned_from_its_recipe() -> None:
    recipe = "waxman:nodes=30,density=0.15,seed=3"
    found = document(bellwire(recipe, "--from", "n00", "--to", "n29", "--method", "balanced", "--json"))
    assert found["topology"]["nodes"] == 30
    assert found["topology"]["name"] == recipe


def test_gml_and_node_link_json_are_networks_too(tmp_path: Path) -> None:
    gml = tmp_path / "line.gml"
    nodes = " ".join(f'node [ id {index} label "{name}" ]' for index, name in enumerate("ABCD"))
    edges = " ".join(f"edge [ source {index} target {index + 1} length_km 10.0 ]" for index in range(3))
    gml.write_text(f"graph [ {nodes} {edges} ]", encoding="utf-8")
    node_link = tmp_path / "line.json"
    graph = {
        "directed": False,
        "multigraph": False,
        "graph": {},
        "nodes": [{"id": name, "name": name} for name in "ABCD"],
        "edges": [{"source": a, "target": b, "dist": 10.0} for a, b in ("AB", "BC", "CD")],
    }
    node_link.write_text(json.dumps(graph), encoding="utf-8")
    for path in (gml, node_link):
        found = document(bellwire(path, *PAIR, "--json"))
        assert 1e3 * found["latency_s"] == pytest.approx(107.28902833, abs=5e-9), path


def test_long_edges_of_a_graph_file_get_repeaters(network: Path) -> None:
    found = document(bellwire(network, *PAIR, "--max-span", "5", "--json"))
    assert found["topology"]["links"] == 6
    assert found["leaves"] == 6


# --- several requests -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        (),
        ("--objective", "fair"),
        ("--objective", "priority", "--single-method", "balanced"),
        ("--method", "levels"),
        ("--method", "levels", "--objective", "max_min"),
        ("--method", "levels", "--solver", "cbc"),
    ],
    ids=" ".join,
)
def test_every_way_to_plan_a_batch_gives_each_request_its_trees(
    network: Path, tmp_path: Path, choice: tuple[str, ...]
) -> None:
    found = document(bellwire(network, "--requests", batch(tmp_path, BATCH), *choice, "--json"))
    assert [each["request"] for each in found["requests"]] == ["long", "short"]
    for each in found["requests"]:
        assert each["trees"]
        assert each["rate_hz"] > 0.0
        assert {"method", "latency_s", "rate_hz", "fidelity", "success_probability", "tree"} <= each["trees"][
            0
        ].keys()
    assert found["requests"][1]["rate_hz"] <= 20.0 * (1.0 + 1e-9)
    assert (found["bound_hz"] is not None) == ("levels" in choice)
    told = {link["request"] for node in found["instructions"].values() for link in node["links"]}
    assert told == {"long", "short"}


def test_limits_of_the_command_line_hold_for_requests_without_their_own(
    network: Path, tmp_path: Path
) -> None:
    path = batch(tmp_path, "- {id: long, from: A, to: D}\n")
    line = refusal(bellwire(network, "--requests", path, "--max-leaves", "2"))
    assert "long" in line
    assert "limit 2" in line
    own = batch(tmp_path, "- {id: long, from: A, to: D, max_leaves: 3}\n")
    assert document(bellwire(network, "--requests", own, "--max-leaves", "2", "--json"))["requests"]


def test_a_request_that_gets_nothing_fails_the_batch_unless_told_otherwise(
    network: Path, tmp_path: Path
) -> None:
    path = batch(tmp_path, "\n".join(f"- {{id: r{index}, from: B, to: C}}" for index in range(6)))
    assert refusal(bellwire(network, "--requests", path)).startswith("request r")
    found = document(bellwire(network, "--requests", path, "--partly", "--json"))
    assert found["unserved"]
    assert len(found["requests"]) + len(found["unserved"]) == 6


@pytest.mark.parametrize("method", GHZ_METHODS)
def test_every_ghz_method_plans_three_members(network: Path, method: str) -> None:
    found = document(bellwire(network, "--ghz", "A,B,D", "--method", method, "--json"))
    assert (found["kind"], found["method"], found["members"]) == ("ghz", method, ["A", "B", "D"])
    assert found["latency_s"] > 0.0
    assert any(node["fusion"] for node in found["instructions"].values())


def test_graph_states_are_planned_by_the_shape_of_their_graph(network: Path, tmp_path: Path) -> None:
    path = batch(tmp_path, "vertices: {a: A, b: B, c: D}\nedges: [[a, b], [b, c]]\n")
    found = document(bellwire(network, "--graph", path, "--json"))
    assert (found["kind"], found["vertices"]) == ("graph", {"a": "A", "b": "B", "c": "D"})
    assert found["method"] == "graph-path"
    named = document(bellwire(network, "--graph", path, "--method", "graph-tree", "--json"))
    assert named["method"] == "graph-tree"


@pytest.mark.parametrize("order", ["total", "partial", "layers"])
def test_an_order_of_consumption_is_cut_into_batches_that_fit(
    network: Path, tmp_path: Path, order: str
) -> None:
    path = batch(tmp_path, "[[A, B], [B, C], [C, D], [A, B]]")
    arguments = (network, "--consume", path, "--order", order, "--max-age", "0.02", "--execution", "0.001")
    found = document(bellwire(*arguments, "--json"))
    assert found["kind"] == "order"
    positions = [position for each in found["batches"] for position in each["positions"]]
    assert sorted(positions) == [1, 2, 3, 4]
    assert all(each["latency_s"] <= 0.02 for each in found["batches"])
    whole_s = sum(each["latency_s"] + each["execution_s"] for each in found["batches"])
    assert found["total_s"] == pytest.approx(whole_s)
    assert f"({order} order)" in bellwire(*arguments).stdout


# --- pictures ---------------------------------------------------------------------------------------------


def test_requests_come_beside_running_ones_and_the_plan_says_how_they_were_taken(
    network: Path, tmp_path: Path
) -> None:
    running = tmp_path / "running.yaml"
    running.write_text("- {id: run, from: A, to: D, rate_hz: 2}\n", encoding="utf-8")
    coming = batch(tmp_path, "- {id: new, from: B, to: C, rate_hz: 20}\n")
    found = document(bellwire(network, "--beside", running, "--requests", coming, "--json"))
    assert found["decided"] == {"new": "takes what is left"}
    assert [share["request"] for share in found["requests"]] == ["run", "new"]
    assert "new: takes what is left" in bellwire(network, "--beside", running, "--requests", coming).stdout
    both = bellwire(network, "--beside", running, "--requests", running)
    assert (both.exit_code, both.stderr) == (2, 'two requests are called "run"\n')
    lonely = bellwire(network, "--requests", coming, "--give", "0.5")
    assert (lonely.exit_code, lonely.stdout) == (2, "")
    assert lonely.stderr == "--give is for --beside: it says what running requests give up\n"


def test_a_picture_goes_to_its_file_and_the_text_still_to_people(network: Path, tmp_path: Path) -> None:
    svg, dot = tmp_path / "plan.svg", tmp_path / "plan.dot"
    result = bellwire(network, *PAIR, "--svg", svg, "--dot", dot)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("A to D by dp")
    assert f"written: {svg}" in result.stdout
    root = ElementTree.fromstring(svg.read_bytes())
    hints = {hint.text for hint in root.iter("{http://www.w3.org/2000/svg}title")}
    assert {"A", "B", "C", "D"} <= hints
    assert dot.read_text(encoding="utf-8").startswith("digraph plan {")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line.graphml", "plan.dot", "plan.svg"]


def test_a_picture_can_go_to_stdout_alone(network: Path) -> None:
    svg = bellwire(network, *PAIR, "--svg", "-")
    assert ElementTree.fromstring(svg.stdout.encode()).tag.endswith("svg")
    assert bellwire(network, *PAIR, "--dot", "-").stdout.startswith("digraph plan {")


def test_json_and_a_picture_can_be_had_together(network: Path, tmp_path: Path) -> None:
    svg = tmp_path / "plan.svg"
    assert document(bellwire(network, *PAIR, "--json", "--svg", svg))["method"] == "dp"
    assert svg.exists()


def test_a_refused_plan_leaves_an_older_picture_as_it_was(network: Path, tmp_path: Path) -> None:
    svg = tmp_path / "plan.svg"
    svg.write_text("older", encoding="utf-8")
    refusal(bellwire(network, *PAIR, "--fidelity", "0.9999", "--svg", svg))
    assert svg.read_text(encoding="utf-8") == "older"


# --- help and methods -------------------------------------------------------------------------------------


def test_every_method_is_listed_with_a_line_of_its_own() -> None:
    tables = {**METHODS, **BATCH_METHODS, **GHZ_METHODS, **GRAPH_METHODS}
    assert set(LINES) == set(tables)
    rows = {row["method"]: row for row in json.loads(bellwire("--methods", "--json").stdout)}
    assert set(rows) == {name for table in methods_by_kind().values() for name in table}
    text = bellwire("--methods").stdout
    assert all(name in text for name in tables)


def test_help_is_in_sections_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from bellwire.cli.main import app\n"
        "try:\n"
        "    app(['plan', '--help'])\n"
        "except SystemExit as ended:\n"
        "    assert ended.code == 0\n"
        "heavy = 'numpy networkx yaml rich pulp highspy msgspec'.split()\n"
        "loaded = [name for name in heavy if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    places = [
        ran.stdout.index(f"\n{title}:\n")
        for title in (
            "Arguments",
            "What is wanted (one of these)",
            "How to plan",
            "Limits",
            "Output",
            "Others",
        )
    ]
    assert places == sorted(places)
    assert "--requests FILE" in ran.stdout


# --- long runs --------------------------------------------------------------------------------------------


def read_terminal(terminal: int, until: bytes | None) -> bytes:
    """What a process writes until some bytes have come, or (None) until it is over; two minutes at most."""
    seen = b""
    deadline = time.monotonic() + 120
    while until is None or until not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # nobody holds the other end any more
                assert until is None, seen
                return seen
    return seen


def test_a_long_batch_shows_its_progress_and_ctrl_c_ends_it_with_130_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    text = "\n".join(f"- {{id: r{index}, from: n{index:03}, to: n{index + 150:03}}}" for index in range(150))
    path, svg = batch(tmp_path, text), tmp_path / "plan.svg"
    arguments = [
        "plan",
        "waxman:nodes=300,density=0.05",
        "--requests",
        str(path),
        "--partly",
        "--svg",
        str(svg),
    ]
    ours, theirs = pty.openpty()
    environment = dict(os.environ, TERM="xterm", COLUMNS="100")
    running = subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    try:
        seen = read_terminal(ours, until="\N{BOX DRAWINGS HEAVY HORIZONTAL}".encode())  # the bar
        running.send_signal(signal.SIGINT)
        seen += read_terminal(ours, until=None)
        output = running.communicate(timeout=60)[0]
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    assert running.returncode == 130, seen
    assert output == b""
    assert seen.rstrip().endswith(b"interrupted")
    assert b"Traceback" not in seen
    assert [each.name for each in tmp_path.iterdir()] == ["batch.yaml"]
