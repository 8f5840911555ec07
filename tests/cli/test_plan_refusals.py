"""What `bellwire plan` refuses: one line on stderr, exit code 2, nothing on stdout.

Owns the tests of cli/plan*.py where the answer is no.
"""

from pathlib import Path

import pytest

from tests.cli.planning import BATCH, LINE, PAIR, batch, bellwire, line_file, refusal


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return line_file(tmp_path)


# --- refusals ---------------------------------------------------------------------------------------------

WRONG: list[tuple[tuple[str, ...], str]] = [
    ((), "what is to be planned? One of --from and --to, --requests, --ghz, --graph, --consume"),
    (("--from", "A"), "a pair has two ends: --to is missing"),
    (("--to", "A"), "a pair has two ends: --from is missing"),
    ((*PAIR, "--ghz", "A,B,C"), "--from and --to and --ghz cannot be planned in one go"),
    (("--from", "A", "--to", "Dd"), 'unknown node "Dd" (did you mean "D"?)'),
    (("--from", "A", "--to", "A"), "request A-A: A needs no entanglement with itself"),
    ((*PAIR, "--method", "pd"), 'unknown planning method "pd" (did you mean "dp"?)'),
    (
        (*PAIR, "--method", "levels"),
        'method "levels" plans batches (--requests), not one pair (--from, --to)',
    ),
    ((*PAIR, "--fidelity", "1.2"), "fidelity 1.2 is outside 0..1"),
    ((*PAIR, "--fidelity", "nan"), "fidelity nan is outside 0..1"),
    ((*PAIR, "--max-age", "-1"), "age limit -1 s must be above 0"),
    ((*PAIR, "--max-age", "nan"), "age limit nan s must be above 0"),
    ((*PAIR, "--max-leaves", "0"), "a tree has at least one link, not 0"),
    ((*PAIR, "--rate", "-5"), "request A-D: rate -5/s must be finite and above 0"),
    ((*PAIR, "--rate", "nan"), "request A-D: rate nan/s must be finite and above 0"),
    ((*PAIR, "--rate", "inf"), "request A-D: rate inf/s must be finite and above 0"),
    ((*PAIR, "--rounds", "-1"), "purification rounds -1 must be 0 or more"),
    ((*PAIR, "--scheme", "dejmp"), 'unknown purification scheme "dejmp" (did you mean "dejmps"?)'),
    ((*PAIR, "--waiting", "expon"), 'unknown waiting rule "expon" (did you mean "exponential"?)'),
    ((*PAIR, "--avoid", "Q"), 'unknown node "Q" (known: A, B, C, D)'),
    ((*PAIR, "--avoid", "B"), "no route between A and D is left: "),
    ((*PAIR, "--route", "A,,D"), '--route "A,,D" must be names with a comma between them'),
    ((*PAIR, "--route", "A,B,A,D"), "route A-B-A-D visits a node twice"),
    ((*PAIR, "--max-span", "0"), "--max-span 0 km must be finite and above 0"),
    ((*PAIR, "--objective", "fair"), "--objective is for --requests; it says nothing about --from and --to"),
    ((*PAIR, "--partly"), "--partly is for --requests; it says nothing about --from and --to"),
    ((*PAIR, "--order", "total"), "--order is for --consume; it says nothing about --from and --to"),
    (("--ghz", "A,B,D", "--route", "A,B"), "--route is for --from and --to; it says nothing about --ghz"),
    (("--ghz", "A"), "a GHZ state needs 2 members or more, not 1"),
    (("--ghz", "A,B,A"), "A is a member twice"),
    (("--ghz", "A,B", "--method", "dp"), 'method "dp" plans one pair (--from, --to), not GHZ states (--ghz)'),
    ((*PAIR, "--json", "--svg", "-"), "stdout can hold only one of --json, --svg - and --dot -"),
    ((*PAIR, "--svg", "x", "--dot", "x"), "--svg and --dot would both write x"),
    (
        (*PAIR, "--svg", "no/such/folder.svg"),
        "no/such/folder.svg: cannot be written: there is no such folder",
    ),
    ((*PAIR, "--svg", "."), "is a folder; name a file"),
    (("--consume", "x", "--svg", "x.svg"), "there is no picture of an order of consumption"),
    (("--requests", "nowhere.yaml"), "nowhere.yaml: cannot read this requests file: No such file"),
]


@pytest.mark.parametrize(("arguments", "problem"), WRONG, ids=[" ".join(each[0]) for each in WRONG])
def test_what_cannot_be_is_one_line_and_exit_code_2(
    network: Path, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in refusal(bellwire(network, *arguments))


@pytest.mark.parametrize(
    ("text", "arguments", "problem"),
    [
        (
            BATCH,
            ("--objective", "fare"),
            'unknown objective of method iterative "fare" (did you mean "fair"?)',
        ),
        (BATCH, ("--method", "level"), 'unknown planning method "level" (did you mean "levels"?)'),
        (BATCH, ("--method", "levels", "--solver", "glpk"), 'unknown solver "glpk"'),
        (BATCH, ("--single-method", "bp"), 'unknown planning method "bp" (did you mean "dp"?)'),
        (
            BATCH,
            ("--method", "levels", "--single-method", "dp"),
            "--single-method is for method iterative; in method levels the programme makes trees",
        ),
        (BATCH.replace("short", "long"), (), 'two requests are called "long", the first on line 1'),
        (BATCH.replace("to: D", "to: A"), (), '"long": A needs no entanglement with itself'),
        (BATCH.replace("rate_hz: 2,", "rate_hz: .nan,"), (), "must be a finite number, is nan"),
        (BATCH.replace("priority", "prority"), (), 'unknown key "prority" (did you mean "priority"?)'),
    ],
)
def test_a_wrong_batch_is_one_line_and_exit_code_2(
    network: Path, tmp_path: Path, text: str, arguments: tuple[str, ...], problem: str
) -> None:
    assert problem in refusal(bellwire(network, "--requests", batch(tmp_path, text), *arguments))


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ('<edge source="B" target="C"><data key="l">10</data></edge>', "", "no route between A and D: "),
        ('<data key="l">10</data>', '<data key="l">-10</data>', "-10"),
        ('<data key="l">10</data>', '<data key="l">NaN</data>', "nan"),
        ('<data key="l">10</data>', "", "length_km"),
        ("</graphml>", "", "line.graphml"),
    ],
    ids=["disconnected", "negative length", "length that is no number", "no length", "broken XML"],
)
def test_a_network_that_cannot_be_is_refused(network: Path, was: str, becomes: str, problem: str) -> None:
    network.write_text(LINE.replace(was, becomes, 1), encoding="utf-8")
    assert problem in refusal(bellwire(network, *PAIR))


def test_a_node_without_capacity_carries_nothing(network: Path) -> None:
    key = '<key id="m" for="node" attr.name="memories" attr.type="int"/>\n  <graph '
    text = LINE.replace("<graph ", key, 1).replace(
        '<node id="B"/>', '<node id="B"><data key="m">0</data></node>'
    )
    network.write_text(text, encoding="utf-8")
    assert "have no capacity, cannot swap" in refusal(bellwire(network, *PAIR))
    assert refusal(bellwire(network, "--from", "B", "--to", "C")) == "B-C: B has no free memory"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere.graphml", "nowhere.graphml"),
        ("three_node_repeatr", 'no lab file or shipped lab "three_node_repeatr" (did you mean "three_node'),
        ("waxman:nodes=x", 'nodes = "x" must be a whole number'),
        ("waxman:node=5", 'unknown parameter of a random network "node" (did you mean "nodes"?)'),
    ],
)
def test_a_network_that_is_not_there_is_named(name: str, problem: str) -> None:
    assert problem in refusal(bellwire(name, *PAIR))


def test_repeaters_are_put_into_graph_files_only() -> None:
    for name in ("three_node_repeater", "waxman:nodes=5"):
        assert "--max-span is for graph files" in refusal(bellwire(name, *PAIR, "--max-span", "5"))


def test_no_network_at_all_is_asked_for() -> None:
    assert refusal(bellwire(*PAIR)).startswith("which network? Name a lab, a network file, or waxman:")
