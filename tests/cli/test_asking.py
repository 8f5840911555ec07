"""Terms of `bellwire request`: what is refused before anybody is asked, and the request that passes.

Owns the terms. The walk through a live lab is in test_live.py, every way of swapping in tests/hosts.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bellwire.cli.asking_terms import Terms, request_of, rounds_planned
from bellwire.cli.main import app
from bellwire.core.errors import ConfigError
from bellwire.core.purification_words import levels_of
from bellwire.labs import Lab, load_lab
from bellwire.labs.tunings import read_tuning
from bellwire.planner.plans import predict

LABS = Path(__file__).parents[2] / "lab_configs"
TUNING = LABS / "tunings" / "adaptive_chain.yaml"
PAIRS = ["adaptive_chain", "--from", "alice", "--to", "bob", "--count", "3"]
STATES = ["ghz_star", "--count", "3"]

REFUSED = [
    (["adaptive_chain", "--from", "alice", "--to", "bob"], "give --count, --duration or --until-cancelled"),
    (["adaptive_chain", "--from", "alice", "--count", "3"], "name both ends of the pairs"),
    (["adaptive_chain", "--from", "alcie", "--to", "bob", "--count", "3"], 'did you mean "alice"?'),
    (["adaptive_chain", "--from", "alice", "--to", "s1", "--count", "3"], 'no node "s1" in the lab'),
    ([*PAIRS, "--mode", "scor"], 'unknown generation mode "scor" (did you mean "score"?)'),
    ([*PAIRS, "--mode", "score(alpa=1)"], 'score has no option "alpa" (did you mean "alpha"?)'),
    ([*PAIRS, "--tree", "((alice r1) (r1 bob)"], "is missing"),
    ([*PAIRS, "--tree", "((alice r1) (r1 bob))"], "no usable link between r1 and bob"),
    ([*PAIRS, "--purification", "1:1"], 'need a mode that follows it, not "swap_asap"'),
    ([*PAIRS, "--purification", "adaptive", "--mode", "score"], "needs a fidelity threshold"),
    ([*PAIRS, "--purification", "twice"], '"twice" is no level, write "hops:rounds"'),
    ([*PAIRS, "--purification", "automatic"], "needs a fidelity threshold or a rate to choose rounds by"),
    ([*PAIRS, "--purification", "automatic", "--fidelity", "0.999"], "need a mode that follows the tree"),
    ([*STATES, "--ghz", "alice,bob,carol", "--link-purification", "1"], "link_purification are for pairs"),
    ([*PAIRS, "--ghz", "alice,bob,carol"], "leave out --from and --to"),
    ([*PAIRS, "--tuning", str(TUNING), "--mode", "score"], "leave out --mode"),
    ([*PAIRS, "--tuning", "absent.yaml"], "absent.yaml: cannot be read"),
    ([*PAIRS, "--tuning", str(LABS / "ghz_star.yaml")], "is no tuning file"),
    (
        ["adaptive_chain", "--from", "bob", "--to", "alice", "--count", "3", "--tuning", str(TUNING)],
        "the route leads from alice to bob, not from bob to alice",
    ),
    ([*STATES, "--ghz", "alice,bob"], "a GHZ state has three or more"),
    ([*STATES, "--ghz", "alice,bob,hub"], "hub is a repeater: members of a GHZ state are end nodes"),
    ([*STATES, "--ghz", "alice,bob,bob"], "three different members or more"),
    ([*STATES, "--ghz", "alice,bob,carol", "--mode", "oldest"], "is none for GHZ states: swap_asap, score"),
    ([*STATES, "--ghz", "alice,bob,carol", "--measure"], "members of a GHZ state keep their qubits"),
    ([*STATES, "--ghz", "alice,bob,carol", "--purification", "1:1"], "--purification is for pairs"),
    ([*STATES, "--ghz", "alice,bob,carol", "--rate", "3"], "--rate reserves lanes for pairs"),
    ([*STATES, "--ghz", "alice,bob,carol", "--fidelity", "0.99"], "0.99"),
    ([*STATES, "--graph", "alice bob, bob carol", "--ghz", "alice,bob,carol"], "two kinds of states"),
    ([*STATES, "--graph", "alice bob, bob"], '"bob" in --graph is no edge; write two nodes each'),
    ([*STATES, "--graph", "alice bob, bob carol, carol alice"], "has a cycle: 3 edges between 3 vertices"),
    ([*STATES, "--graph", "alice bob, bob hub"], "hub is a repeater"),
    ([*PAIRS, "--until-cancelled"], "until_cancelled: leave out count"),
    ([*PAIRS, "--fidelity", "0.999"], "could be promised now: "),
    ([*STATES, "--vertices", "x=alice"], "--vertices says where the vertices of --graph stand"),
    ([*STATES, "--graph", "x y, y z", "--vertices", "x alice"], "write vertex=node each"),
    (
        [*STATES, "--graph", "x y, y z", "--vertices", "x=alice, y=bob, z=bob"],
        "vertices y, z are all at bob",
    ),
    ([*PAIRS, "--order", "unknown"], "--order goes with --sequence"),
    ([*STATES, "--sequence", "alice bob"], "count is not for an entanglement_sequence"),
    (["ghz_star", "--sequence", "alice bob, bob"], '"bob" in --sequence is no pair'),
    (["ghz_star", "--sequence", "alice hub"], "hub is no end node"),
    (["ghz_star", "--sequence", "alice bob", "--after", "p1 p2"], "goes with a partial order"),
    (["ghz_star", "--sequence", "alice bob", "--hold", "0.001"], "pair 1 of the order, alice-bob"),
    ([*STATES, "--graph", "alice bob, bob carl"], 'no node "carl" in the lab (did you mean "carol"?)'),
    ([*STATES, "--graph", "alice bob, bob carol", "--rate", "3"], "leave it out for graph states"),
    ([*PAIRS, "--graph", "alice bob, bob carol"], "--graph names all members"),
    ([*PAIRS, "--tuning", str(TUNING), "--graph", "alice bob, bob carol"], "leave out --graph"),
]


@pytest.mark.parametrize(("arguments", "problem"), REFUSED, ids=[problem for _, problem in REFUSED])
def test_terms_that_no_lab_can_keep_are_one_line_before_anybody_is_asked(
    arguments: list[str], problem: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["request", *arguments, "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert problem in line


def test_good_terms_find_no_lab_that_is_up(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["request", *PAIRS, "--mode", "score", "--state", str(tmp_path)])
    assert result.exit_code == 2
    assert "is the lab up?" in result.stderr


def typed(**given: Any) -> Terms:
    """Terms with nothing but a count, and what is given."""
    absent = dict.fromkeys(
        (
            "source",
            "target",
            "ghz",
            "graph",
            "mode",
            "tree",
            "tuning",
            "purification",
            "duration_s",
            "deadline_s",
        ),
        None,
    )
    known = {"count": 3, "fidelity_min": None, "rate_min_hz": None, "measure": False, "weight": 1}
    return Terms(
        **{"link_purification": 0, "routes_max": 1, "paths": "automatic", **absent, **known, **given}
    )


def chain() -> Lab:
    return load_lab(LABS / "adaptive_chain.yaml", live=True)


def test_a_tuning_file_says_ends_mode_and_tree_as_in_the_lab_file() -> None:
    lab, tuning = chain(), read_tuning(TUNING)
    asked = request_of(typed(tuning=TUNING), lab, "mine")
    listed = lab.requests[0]
    assert asked.request_id == "mine"
    assert asked.target_nodes == listed.target_nodes == ("alice", "bob")
    assert asked.generation_mode == listed.generation_mode == tuning.mode
    assert asked.tree == listed.tree == tuning.tree
    assert asked.generation_mode.startswith("score(")


def test_mode_tree_and_purification_reach_the_request() -> None:
    ends = {"source": "alice", "target": "bob"}
    asked = request_of(typed(**ends, mode="fixed_tree", purification="1:1"), chain(), None)
    assert (asked.generation_mode, asked.purification, asked.tree) == ("fixed_tree", "1:1", None)
    assert asked.request_id.startswith("alice-bob-")
    whole = "((((alice r1) (r1 r2)) (r2 r3)) (r3 bob))"
    assert request_of(typed(**ends, tree=whole), chain(), None).tree == whole


def test_rounds_of_links_and_rounds_that_the_plan_names_are_told() -> None:
    ends = {"source": "alice", "target": "bob", "mode": "fixed_tree"}
    lab = chain()
    assert request_of(typed(**ends, link_purification=1), lab, None).link_purification == 1
    plain = predict(lab.network, request_of(typed(**ends), lab, None))
    assert not isinstance(plain, str)
    needed = request_of(
        typed(**ends, purification="automatic", fidelity_min=plain.fidelity + 0.01), lab, None
    )
    words = rounds_planned(needed, lab)
    assert words is not None
    assert levels_of(words)
    enough = request_of(
        typed(**ends, purification="automatic", fidelity_min=plain.fidelity - 0.01), lab, None
    )
    assert rounds_planned(enough, lab) is None
    assert rounds_planned(request_of(typed(**ends), lab, None), lab) is None


def test_members_of_ghz_states_are_asked_at_the_first() -> None:
    lab = load_lab(LABS / "ghz_star.yaml", live=True)
    asked = request_of(typed(ghz="carol, alice,bob", mode="score"), lab, None)
    assert asked.target_nodes == ("carol", "alice", "bob")
    assert (asked.entanglement_type, asked.consumption) == ("ghz", "keep")
    assert asked.request_id.startswith("carol-alice-bob-")


def test_graph_states_are_asked_at_the_first_node_of_the_first_edge() -> None:
    lab = load_lab(LABS / "ghz_star.yaml", live=True)
    asked = request_of(typed(graph="carol bob, bob  alice", mode="score"), lab, None)
    assert asked.target_nodes == ("carol", "bob", "alice")
    assert asked.edges == (("carol", "bob"), ("bob", "alice"))
    assert asked.entanglement_type == "graph"


def test_pairs_of_a_sequence_are_numbered_and_coordinated_by_its_first_node() -> None:
    lab = load_lab(LABS / "ghz_star.yaml", live=True)
    wanted = typed(count=None, sequence="bob carol, alice bob", order="partial", after="p2 p1", hold_s=2.0)
    asked = request_of(wanted, lab, "circuit")
    assert asked.target_nodes == ("bob", "carol", "alice")
    assert [(pair.pair_id, pair.nodes) for pair in asked.entanglement_sequence] == [
        ("p1", ("bob", "carol")),
        ("p2", ("alice", "bob")),
    ]
    assert (asked.sequence_order, asked.sequence_after) == ("partial", (("p2", "p1"),))
    assert (asked.count, asked.hold_ns) == (None, 2_000_000_000)
    elsewhere = request_of(typed(count=None, sequence="bob carol", source="alice"), lab, "circuit")
    assert elsewhere.target_nodes == ("alice", "bob", "carol")


def test_vertices_stand_where_the_map_says() -> None:
    lab = load_lab(LABS / "ghz_star.yaml", live=True)
    wanted = typed(graph="x y, y z", vertices="x=alice, y=bob,z=carol", mode="score")
    asked = request_of(wanted, lab, None)
    assert asked.target_nodes == ("alice", "bob", "carol")
    assert asked.edges == (("x", "y"), ("y", "z"))
    assert asked.vertices == (("x", "alice"), ("y", "bob"), ("z", "carol"))


def test_check_shows_the_rounds_that_a_threshold_needs(tmp_path: Path) -> None:
    text = (LABS / "three_node_repeater.yaml").read_text(encoding="utf-8")
    asked = "fidelity_min: 0.8, consumption"
    assert asked in text
    rows = {}
    for fidelity in ("0.8", "0.94"):
        path = tmp_path / f"of_{fidelity}.yaml"
        words = f"fidelity_min: {fidelity}, mode: fixed_tree, purification: automatic, consumption"
        path.write_text(text.replace(asked, words), encoding="utf-8")
        result = CliRunner().invoke(app, ["check", str(path), "--json"])
        assert result.exit_code == 0, result.output
        rows[fidelity] = json.loads(result.stdout)["requests"]["demo"]
    assert rows["0.8"]["purification"] is None
    assert rows["0.94"]["purification"] == "2:1"
    assert rows["0.94"]["fidelity"] >= 0.94 > rows["0.8"]["fidelity"]
    assert rows["0.94"]["rate_hz"] < rows["0.8"]["rate_hz"] / 2
    shown = CliRunner().invoke(app, ["check", str(tmp_path / "of_0.94.yaml")]).stdout
    assert "rounds 2:1" in shown


def test_a_steady_request_reaches_the_source_and_needs_a_rate() -> None:
    ends = {"source": "alice", "target": "bob"}
    asked = request_of(typed(**ends, rate_min_hz=2.0, reserved_only=True), chain(), None)
    assert (asked.rate_threshold_hz, asked.reserved_only) == (2.0, True)
    with pytest.raises(ConfigError, match="give --rate"):
        request_of(typed(**ends, reserved_only=True), chain(), None)
