"""Files that ask the planner for something: what good ones become, and the one line that a bad one gets.

Owns the tests of bellwire/labs/plan_requests.py.
"""

from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.labs.plan_requests import read_consumption, read_requests, read_target
from bellwire.planner.requests import Limits
from bellwire.planner.topology import Topology
from tests.planner.single.test_exact import chain

GOOD = """\
# nightly batch
- id: first
  from: A
  to: C
  rate_hz: 2.5
  fidelity: 0.9
  priority: 3
  max_age_s: 1.5
  max_leaves: 4
- {id: second, from: C, to: B}
"""


def network() -> Topology:
    return chain(10.0, 10.0)


def written(folder: Path, text: str, name: str = "batch.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_key_of_a_request_is_read_and_what_is_left_out_comes_from_the_command_line(
    tmp_path: Path,
) -> None:
    first, second = read_requests(written(tmp_path, GOOD), network(), Limits(age_s=7.0, fidelity=0.5))
    assert (first.request, first.source, first.destination) == ("first", "A", "C")
    assert (first.rate_hz, first.weight) == (2.5, 3.0)
    assert first.limits == Limits(age_s=1.5, leaves=4, fidelity=0.9)
    assert (second.request, second.source, second.destination) == ("second", "C", "B")
    assert (second.rate_hz, second.weight) == (None, 1.0)
    assert second.limits == Limits(age_s=7.0, leaves=None, fidelity=0.5)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("batch.json", '[\n\t{"id": "r", "from": "A", "to": "B", "priority": 2}\n]'),
        ("batch.json", '{"requests": [{"id": "r", "from": "A", "to": "B", "priority": 2}]}'),
        ("batch.yaml", "requests:\n  - {id: r, from: A, to: B, priority: 2}\n"),
    ],
    ids=["JSON list with tabs", "JSON mapping", "YAML mapping"],
)
def test_json_and_yaml_with_and_without_the_key_are_the_same(tmp_path: Path, name: str, text: str) -> None:
    (request,) = read_requests(written(tmp_path, text, name), network())
    assert (request.request, request.source, request.destination, request.weight) == ("r", "A", "B", 2.0)


UNIT = 'must be a number; write the bare number, the unit is part of the key, is "2.5 Hz"'
BAD = [
    ("rate_hz: 2.5", "rate_herz: 2.5", ".rate_herz", 'unknown key "rate_herz" (did you mean "rate_hz"?)'),
    ("from: A", "from: Ab", ".from", 'unknown node "Ab" (did you mean "A"?)'),
    ("to: C", "to: A", "", '"first": A needs no entanglement with itself'),
    ("id: first", 'id: ""', ".id", 'string should have at least 1 character, is ""'),
    ("  to: C\n", "", ".to", 'the key "to" is missing in requests[0]'),
    ("rate_hz: 2.5", "rate_hz: -2.5", ".rate_hz", "must be above 0.0, is -2.5"),
    ("rate_hz: 2.5", "rate_hz: .inf", ".rate_hz", "must be a finite number, is inf"),
    ("rate_hz: 2.5", "rate_hz: .nan", ".rate_hz", "must be a finite number, is nan"),
    ("rate_hz: 2.5", "rate_hz: 2.5 Hz", ".rate_hz", UNIT),
    ("fidelity: 0.9", "fidelity: 1.1", ".fidelity", "must be at most 1.0, is 1.1"),
    ("priority: 3", "priority: 0", ".priority", "must be above 0.0, is 0"),
    ("max_age_s: 1.5", "max_age_s: 0", ".max_age_s", "must be above 0.0, is 0"),
    ("max_leaves: 4", "max_leaves: 0.5", ".max_leaves", "must be a whole number, is 0.5"),
]


@pytest.mark.parametrize(("was", "becomes", "key", "problem"), BAD, ids=[case[1].strip() for case in BAD])
def test_a_mistake_is_one_line_with_its_place(
    tmp_path: Path, was: str, becomes: str, key: str, problem: str
) -> None:
    assert was in GOOD
    text = GOOD.replace(was, becomes, 1)
    with pytest.raises(ConfigError) as refused:
        read_requests(written(tmp_path, text), network())
    rows = text.splitlines()
    line = next((n for n, row in enumerate(rows, 1) if key and becomes and becomes in row), 2)
    assert str(refused.value) == f"batch.yaml:{line} (requests[0]{key}): {problem}"


def test_a_second_request_of_one_name_and_a_second_key_of_one_name_are_told_with_the_first(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_requests(written(tmp_path, GOOD.replace("id: second", "id: first")), network())
    place = "batch.yaml:10 (requests[1].id)"
    assert str(refused.value) == f'{place}: two requests are called "first", the first on line 2'
    with pytest.raises(ConfigError, match='the key "from" stands twice, first on line 3'):
        read_requests(written(tmp_path, GOOD.replace("priority: 3", "from: B")), network())


def test_several_mistakes_are_counted_and_nothing_speaks_of_another_command(tmp_path: Path) -> None:
    text = GOOD.replace("priority: 3", "priority: -3").replace("fidelity: 0.9", "fidelity: 9")
    with pytest.raises(ConfigError, match=r"fidelity.*\[and 1 more\]$"):
        read_requests(written(tmp_path, text), network())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"batch.yaml:1 \(requests\): the key \"requests\" is missing"),
        ("[]", "must have at least 1"),
        ("just words", "a requests file is a list of requests"),
        ("- {id: r, from: [A", "not valid YAML"),
        ("- 7", r"batch.yaml:1 \(requests\[0\]\): must be a mapping of keys to values, is 7"),
    ],
)
def test_a_file_that_holds_no_requests_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_requests(written(tmp_path, text), network())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot read this requests file: No such file"):
        read_requests(tmp_path / "nowhere.yaml", network())
    with pytest.raises(ConfigError, match="cannot read this requests file: Is a directory"):
        read_requests(tmp_path, network())
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        read_requests(binary, network())


def test_an_order_of_consumption_is_a_list_of_pairs(tmp_path: Path) -> None:
    path = written(tmp_path, "- [A, B]\n- [C, A]\n- [A, B]\n")
    assert read_consumption(path, network()) == (("A", "B"), ("C", "A"), ("A", "B"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- [A, B]\n- [A, Q]\n", r'batch.yaml:2 \(pairs\[1\]\[1\]\): unknown node "Q"'),
        ("- [A, A]\n", r"batch.yaml:1 \(pairs\[0\]\): A needs no entanglement with itself"),
        ("- [A]\n", r"the list is too short: entry 2 is missing"),
        ("{}", r'the key "pairs" is missing'),
    ],
)
def test_an_order_that_names_no_pairs_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_consumption(written(tmp_path, text), network())


def test_a_target_graph_keeps_the_order_of_its_vertices(tmp_path: Path) -> None:
    target = read_target(
        written(tmp_path, "vertices: {b: B, a: A, c: C}\nedges: [[a, b], [b, c]]\n"), network()
    )
    assert list(target.places.items()) == [("b", "B"), ("a", "A"), ("c", "C")]
    assert target.edges == (("a", "b"), ("b", "c"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("vertices: {a: A, b: Q}\nedges: [[a, b]]\n", r'batch.yaml:1 \(vertices.b\): unknown node "Q"'),
        (
            "vertices: {a: A, b: B}\nedges: [[a, c]]\n",
            r'batch.yaml:2 \(edges\[0\]\[1\]\): unknown vertex "c"',
        ),
        ("vertices: {a: A, b: B}\nedges: []\n", r"batch.yaml:1: the target graph is not connected"),
        ("vertices: {a: A, b: B}\nedges: [[a, b], [b, a]]\n", "edge b-a comes twice"),
        ("vertices: {a: A}\nedges: []\nedge: 1\n", r'unknown key "edge" \(did you mean "edges"\?\)'),
        ("- [a, b]\n", "a graph file is a mapping of vertices and edges"),
    ],
)
def test_a_target_that_is_no_connected_graph_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_target(written(tmp_path, text), network())
