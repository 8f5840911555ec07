"""GraphML, GML and node-link JSON: what is read, what is remarked, and one sentence for everything wrong.

Owns the tests of sources/attributes.py, draft.py, graph_files.py and topohub_json.py.
"""

import inspect
import json
import math
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from bellwire.core.errors import ConfigError
from bellwire.planner.capacity import Residual
from bellwire.planner.methods import plan_pair
from bellwire.planner.requests import PairRequest
from bellwire.planner.sources.attributes import LINK_READERS, NODE_READERS
from bellwire.planner.sources.graph_files import read_gml, read_graphml, topology_of_graph
from bellwire.planner.sources.reading import read_topology
from bellwire.planner.topology import NODE_FIELDS, Link, Node, Topology, link_between

FILES = Path(__file__).parent / "files"


def graph(edges: list[tuple[Any, ...]], kind: "type[nx.Graph[Any]]" = nx.Graph) -> "nx.Graph[Any]":
    found = kind()
    for a, b, *attributes in edges:
        found.add_edge(a, b, **(attributes[0] if attributes else {"length_km": 5.0}))
    return found


def node_link(folder: Path, **changes: Any) -> Topology:
    document = json.loads((FILES / "spans.json").read_text(encoding="utf-8")) | changes
    path = folder / "spans.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return read_topology(path)


def test_every_field_of_a_node_and_every_parameter_of_a_link_can_be_read() -> None:
    assert set(NODE_READERS) == NODE_FIELDS
    parameters = inspect.signature(link_between).parameters.values()
    assert set(LINK_READERS) == {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}


# --- what is read ----------------------------------------------------------------------------------------


def test_graphml_gives_nodes_links_and_places() -> None:
    found = read_graphml(FILES / "house.graphml")
    assert found.name == "house"
    assert found.nodes == {
        "attic": Node(name="attic", position_km=(0.0, 3.0)),
        "hall": Node(
            name="hall",
            memories=12,
            swap_probability=0.6,
            position_km=(0.0, 0.0),
            decay_hz=(0.1, 0.2, 0.1),
        ),
        "porch": Node(name="porch", relays=False, position_km=(4.0, 0.0)),
    }
    attic, hall, porch = found.nodes.values()
    assert found.links == {
        ("attic", "hall"): link_between(attic, hall, 3.0),
        ("hall", "porch"): link_between(
            porch, hall, 4.5, architecture="sender_receiver", channels=2, fidelity=0.95
        ),
    }
    assert found.notes == ('not used: node attribute "colour" (2)',)


def test_an_edge_needs_no_more_than_its_length(tmp_path: Path) -> None:
    path = tmp_path / "line.graphml"
    nx.write_graphml(graph([("a", "b", {"length_km": 10.0}), ("b", "c", {"length_km": 10.0})]), path)
    found = read_topology(path)
    assert (found.name, found.notes) == ("line", ())
    plan = plan_pair(Residual(found), PairRequest(request="r", source="a", destination="c"))
    assert 1e3 * plan.latency_s == pytest.approx(28.53707422, abs=5e-9)


def test_gml_calls_nodes_by_label_or_else_by_id_and_knows_lists() -> None:
    found = read_gml(FILES / "row.gml")
    assert list(found.nodes) == ["east", "middle", "3"]
    assert found.nodes["east"] == Node(name="east", memories=7, relays=False, decay_hz=(0.1, 0.2, 0.3))
    assert found.nodes["middle"].swap_s == 2e-5
    assert found.links["east", "middle"].success_probability == 0.05
    assert found.links["east", "middle"].attempt_s == 1e-4
    assert found.links["3", "middle"].attenuation_length_km == 22.0
    assert (found.name, found.notes) == ("row", ())


def test_what_networkx_writes_comes_back(tmp_path: Path) -> None:
    made = nx.Graph(name="made")
    made.add_node("a", memories=3, gate_fidelity=0.99, relays=True)
    made.add_node("b", position_km="1.5, 2", swap_noise="0.97 0.01 0.01 0.01", name="bob")
    made.add_edge("a", "b", length_km=7, link="east", optical_probability=0.4, optical_s=2e-5)
    nx.write_graphml(made, tmp_path / "made.graphml")
    nx.write_gml(made, tmp_path / "made.gml")
    one, other = read_topology(tmp_path / "made.graphml"), read_topology(tmp_path / "made.gml")
    assert (one.nodes, one.links, one.name) == (other.nodes, other.links, "made")
    assert one.nodes["bob"].position_km == (1.5, 2.0)
    assert one.nodes["bob"].swap_noise == (0.97, 0.01, 0.01, 0.01)
    assert one.nodes["a"].gate_fidelity == 0.99
    link = one.links["a", "bob"]
    assert (link.link, link.length_km) == ("east", 7.0)
    assert link == link_between(
        one.nodes["a"], one.nodes["bob"], 7.0, link="east", optical_probability=0.4, optical_s=2e-5
    )


def test_one_number_of_decay_stands_for_all_three() -> None:
    made = graph([("a", "b")])
    made.nodes["a"]["decay_hz"] = 0.5
    assert topology_of_graph(made, "g").nodes["a"].decay_hz == (0.5, 0.5, 0.5)


def test_node_link_json_gives_lengths_in_km_and_remarks_what_it_leaves() -> None:
    found = read_topology(FILES / "spans.json")
    assert found.name == "spans"
    assert found.nodes == {
        "Oslo": Node(name="Oslo"),
        "Bergen": Node(name="Bergen"),
        "Moss": Node(name="Moss", memories=9),
    }
    oslo, bergen, moss = found.nodes.values()
    assert found.links == {
        ("Bergen", "Oslo"): link_between(oslo, bergen, 250.0),
        ("Moss", "Oslo"): link_between(moss, oslo, 60.0, fidelity=0.9),
    }
    assert found.notes == (
        "1 links are longer than 100 km: span_max_km puts repeaters into them",
        'not used: node attribute "pos" (3)',
        'not used: edge attribute "ecmp_fwd" (1)',
    )


def test_node_link_json_of_networkx_comes_back(tmp_path: Path) -> None:
    made = graph([("a", "b", {"length_km": 2.0, "channels": 3}), ("b", "c", {"length_km": 4.0})])
    path = tmp_path / "made.json"
    path.write_text(json.dumps(nx.node_link_data(made, edges="links")), encoding="utf-8")
    found = read_topology(path)
    assert (list(found.nodes), list(found.links)) == (["a", "b", "c"], [("a", "b"), ("b", "c")])
    assert (found.links["a", "b"].channels, found.links["b", "c"].length_km) == (3, 4.0)


# --- spans -----------------------------------------------------------------------------------------------


def test_long_spans_are_cut_into_equal_pieces_between_repeaters() -> None:
    found = read_topology(FILES / "spans.json", span_max_km=100.0)
    assert list(found.nodes) == ["Oslo", "Bergen", "Moss", "Oslo~Bergen.1", "Oslo~Bergen.2"]
    assert {link.length_km for link in found.links.values()} == {60.0, 250.0 / 3.0}
    chain = [("Oslo", "Oslo~Bergen.1"), ("Oslo~Bergen.1", "Oslo~Bergen.2"), ("Bergen", "Oslo~Bergen.2")]
    assert all(pair in found.links for pair in chain)
    assert found.notes[0] == "1 edges over 100 km cut by 2 repeaters"
    assert found.delay_s("Oslo", "Bergen") == pytest.approx(250.0 / 2e5)
    whole = read_topology(FILES / "spans.json", span_max_km=250.0)
    assert len(whole.links) == 2


def test_pieces_keep_the_properties_of_their_span_and_lie_on_the_straight_line() -> None:
    made = graph([("a", "b", {"length_km": 90.0, "fidelity": 0.9, "channels": 2, "link": "long"})])
    made.nodes["a"]["position_km"], made.nodes["b"]["position_km"] = [0.0, 0.0], [60.0, 30.0]
    found = topology_of_graph(made, "g", 30.0)
    assert [found.nodes[f"a~b.{index}"].position_km for index in (1, 2)] == [(20.0, 10.0), (40.0, 20.0)]
    assert [(link.fidelity, link.channels, link.link) for link in found.links.values()] == [
        (0.9, 2, f"long.{index}") for index in (1, 2, 3)
    ]


@pytest.mark.parametrize("key", ["success_probability", "attempt_s"])
def test_a_span_with_figures_of_its_whole_length_is_not_cut(key: str) -> None:
    made = graph([("a", "b", {"length_km": 90.0, key: 0.001})])
    with pytest.raises(ConfigError, match=f"edge a-b: {key} is given for 90 km, which span_max_km = 30 cuts"):
        topology_of_graph(made, "g", 30.0)
    assert len(topology_of_graph(made, "g", 90.0).links) == 1


@pytest.mark.parametrize("span_max_km", [0.0, -1.0, math.nan, math.inf])
def test_a_span_limit_that_makes_no_sense_is_refused(span_max_km: float) -> None:
    with pytest.raises(ConfigError, match=r"span_max_km = .* must be a finite number above 0"):
        topology_of_graph(graph([("a", "b")]), "g", span_max_km)


# --- doubled edges ---------------------------------------------------------------------------------------


def only_link(found: Topology) -> Link:
    (link,) = found.links.values()
    return link


def test_a_directed_edge_is_a_link() -> None:
    assert only_link(topology_of_graph(graph([("b", "a")], nx.DiGraph), "g")).ends == ("a", "b")


def test_two_opposite_edges_that_agree_are_one_link() -> None:
    made = graph([("a", "b"), ("b", "a")], nx.DiGraph)
    assert only_link(topology_of_graph(made, "g")).length_km == 5.0


def test_two_opposite_edges_that_differ_are_refused() -> None:
    made = graph([("a", "b"), ("b", "a", {"length_km": 6.0})], nx.DiGraph)
    with pytest.raises(ConfigError, match="edge b-a: differs from the edge in the other direction"):
        topology_of_graph(made, "g")


@pytest.mark.parametrize("kind", [nx.MultiGraph, nx.MultiDiGraph])
def test_parallel_edges_are_refused(kind: "type[nx.Graph[Any]]") -> None:
    with pytest.raises(
        ConfigError, match="edge a-b: two edges join these nodes: write one, with channels = 2"
    ):
        topology_of_graph(graph([("a", "b"), ("a", "b")], kind), "g")


def test_opposite_edges_of_an_undirected_multigraph_are_parallel() -> None:
    with pytest.raises(ConfigError, match="two edges join these nodes"):
        topology_of_graph(graph([("a", "b"), ("b", "a")], nx.MultiGraph), "g")


def test_opposite_edges_are_parallel_when_one_comes_twice() -> None:
    made = graph([("a", "b"), ("b", "a"), ("b", "a")], nx.MultiDiGraph)
    with pytest.raises(ConfigError, match="edge b-a: two edges join these nodes"):
        topology_of_graph(made, "g")


def test_parallel_edges_in_a_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "double.graphml"
    nx.write_graphml(graph([("a", "b"), ("a", "b", {"length_km": 6.0})], nx.MultiGraph), path)
    with pytest.raises(ConfigError, match=r"double\.graphml: edge a-b: two edges join these nodes"):
        read_topology(path)


def test_a_loop_is_refused() -> None:
    with pytest.raises(ConfigError, match="edge a-a: a link joins two different nodes: remove the loop"):
        topology_of_graph(graph([("a", "a")]), "g")


# --- what is wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("memories", 2.5, r'node "a": memories = 2\.5 must be a whole number'),
        ("memories", True, 'node "a": memories = True must be a whole number'),
        ("memories", "five", "node \"a\": memories = 'five' must be a whole number"),
        ("memories", -3, 'node "a": memories = -3 is below 0'),
        ("memories", math.nan, 'node "a": memories = nan must be a whole number'),
        ("swap_s", "0.1", "node \"a\": swap_s = '0.1' must be a number"),
        ("swap_s", -0.1, 'node "a": swap_s = -0.1 must be a finite number, 0 or more'),
        ("swap_s", 10**400, 'node "a": swap_s = 1000+ must be a number below 1e308'),
        ("swap_probability", math.nan, r'node "a": swap_probability = nan is outside 0\.\.1'),
        ("attempts_hz", False, 'node "a": attempts_hz = False must be a number'),
        ("relays", 2, 'node "a": relays = 2 must be true or false'),
        ("relays", "yes", "node \"a\": relays = 'yes' must be true or false"),
        ("decay_hz", [0.1, 0.2], r'node "a": decay_hz = \[0\.1, 0\.2\] must be 3 numbers, or one for all'),
        ("decay_hz", "0.1 much", "node \"a\": decay_hz = '0.1 much' must be 3 numbers, or one for all"),
        ("decay_hz", [0.1, None, 0.1], r"must be 3 numbers"),
        ("swap_noise", 1.0, r'node "a": swap_noise = 1\.0 must be 4 numbers'),
        ("swap_noise", "0.5 0.5 0.5 0", 'node "a": swap_noise = .* four probabilities that sum to 1'),
        ("position_km", "3", "node \"a\": position_km = '3' must be 2 numbers"),
        ("position_km", "nan 1", r'node "a": position_km = \(nan, 1\.0\) is not finite'),
        ("x_km", 1.0, 'node "a": x_km and y_km belong together: give both or neither'),
        ("name", "  ", "node \"a\": name = '  ' must be text"),
        ("name", "b", 'two nodes are called "b"'),
    ],
)
def test_a_wrong_property_of_a_node_is_named_with_its_value(key: str, value: object, words: str) -> None:
    made = graph([("a", "b")])
    made.nodes["a"][key] = value
    with pytest.raises(ConfigError, match=words):
        topology_of_graph(made, "g")


def test_a_place_is_given_once() -> None:
    made = graph([("a", "b")])
    made.nodes["a"].update(x_km=1.0, y_km=2.0, position_km=[1.0, 2.0])
    with pytest.raises(ConfigError, match='node "a": give its place as position_km or as x_km and y_km'):
        topology_of_graph(made, "g")


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "edge a-b: length_km is missing"),
        ({"length_km": None}, "edge a-b: length_km is missing"),
        ({"length_km": "10"}, "edge a-b: length_km = '10' must be a number"),
        ({"length_km": -1.0}, "link a-b: length_km = -1 must be a finite number, 0 or more"),
        ({"length_km": math.nan}, "link a-b: length_km = nan must be"),
        ({"length_km": 1.0, "channels": 1.5}, r"edge a-b: channels = 1\.5 must be a whole number"),
        ({"length_km": 1.0, "channels": 0}, "link a-b: channels = 0 is below 1"),
        ({"length_km": 1.0, "fidelity": 1.5}, r"link a-b: fidelity = 1\.5 is outside 0\.\.1"),
        ({"length_km": 1.0, "link": ""}, "edge a-b: link = '' must be text"),
        (
            {"length_km": 1.0, "architecture": "midpoint_sauce"},
            r"architecture = 'midpoint_sauce' must be an architecture \(did you mean \"midpoint_source\"\?\)",
        ),
        ({"length_km": 1.0, "attenuation_length_km": -5.0}, "attenuation_length_km = -5 must be above 0"),
        ({"length_km": 1.0, "success_probability": 2.0}, "success_probability = 2 is outside"),
    ],
)
def test_a_wrong_property_of_an_edge_is_named_with_its_value(
    attributes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        topology_of_graph(graph([("a", "b", attributes)]), "g")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cut.graphml", "<graphml><graph>", "cut.graphml: is no readable GraphML: no element found"),
        ("other.graphml", "<html/>", "other.graphml: is no readable GraphML: file not successfully read"),
        ("empty.graphml", "", "empty.graphml: is no readable GraphML: no element found"),
        ("cut.gml", "graph [ node [", "cut.gml: is no readable GML: "),
        ("empty.gml", "", "empty.gml: is no readable GML: input contains no graph"),
        ("lost.gml", "graph [ node [ id 1 ] edge [ source 1 target 2 ] ]", "lost.gml: .*undefined target 2"),
        ("accent.gml", 'graph [ node [ id 1 label "Zürich" ] ]', "accent.gml: is no readable GML: .*ASCII"),
        ("none.gml", "graph [ ]", "none.gml: there is no node in it"),
    ],
)
def test_a_broken_file_is_one_error_with_its_name(tmp_path: Path, name: str, text: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as refused:
        read_topology(path)
    assert refused.value.where == str(path)


def test_a_value_that_is_not_of_its_declared_type_is_one_error(tmp_path: Path) -> None:
    text = (FILES / "house.graphml").read_text(encoding="utf-8")
    path = tmp_path / "house.graphml"
    path.write_text(text.replace('<data key="l">3<', '<data key="l">three<'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"house.graphml: is no readable GraphML: .*three"):
        read_topology(path)


def test_a_length_without_a_declared_type_is_text_and_refused(tmp_path: Path) -> None:
    text = (FILES / "house.graphml").read_text(encoding="utf-8")
    path = tmp_path / "house.graphml"
    path.write_text(
        text.replace('attr.name="length_km" attr.type="double"', 'attr.name="length_km"'), encoding="utf-8"
    )
    with pytest.raises(
        ConfigError, match=r"house.graphml: edge attic-hall: length_km = '3' must be a number"
    ):
        read_topology(path)


def test_what_networkx_warns_of_is_a_remark(tmp_path: Path) -> None:
    text = (FILES / "house.graphml").read_text(encoding="utf-8")
    path = tmp_path / "house.graphml"
    path.write_text(
        text.replace('attr.name="colour" attr.type="string"', 'attr.name="colour"'), encoding="utf-8"
    )
    assert read_topology(path).notes[0] == "No key type for id c. Using string"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": {}}, "nodes must be a list of objects, not dict"),
        ({"nodes": None}, "nodes must be a list of objects, not NoneType"),
        ({"nodes": [3]}, r"nodes\[0\] = 3 must be an object"),
        ({"nodes": [{"name": "x"}]}, r"nodes\[0\]: id = None must be text or a whole number"),
        ({"nodes": [{"id": 0}, {"id": 0}]}, 'two nodes are called "0"'),
        ({"links": []}, "edges must stand under one of links and edges"),
        ({"edges": [{"source": 0, "target": 7, "dist": 1.0}]}, 'an edge ends at "7", which is no node'),
        ({"edges": [{"source": 0, "target": 1.5, "dist": 1.0}]}, r"edges\[0\]: target = 1\.5 must be text"),
        ({"edges": [{"source": 0, "target": 1}]}, "edge Oslo-Bergen: length_km is missing"),
        ({"edges": [{"source": 0, "target": 1, "dist": "far"}]}, "length_km = 'far' must be a number"),
        ({"edges": [{"source": 0, "target": 1, "dist": math.nan}]}, "length_km = nan must be"),
        ({"edges": [{"source": 0, "target": 1, "dist": 1, "length_km": 1}]}, "length_km or dist, not both"),
        ({"edges": [{"source": 0, "target": 1, "dist": 1}] * 2}, "two edges join these nodes"),
    ],
)
def test_a_wrong_node_link_document_is_one_error(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigError, match=rf"spans\.json: .*{words}"):
        node_link(tmp_path, **changes)


def test_a_directed_node_link_document_may_name_both_directions(tmp_path: Path) -> None:
    there, back = {"source": 0, "target": 1, "dist": 1.0}, {"source": 1, "target": 0, "dist": 1.0}
    assert len(node_link(tmp_path, directed=True, edges=[there, back]).links) == 1
    with pytest.raises(ConfigError, match="edge Bergen-Oslo: two edges join these nodes"):
        node_link(tmp_path, directed=False, edges=[there, back])
