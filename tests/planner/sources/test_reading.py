"""Which reader a file gets, what no reader takes, and random networks written as text.

Owns the tests of sources/reading.py.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.planner.sources.reading import parse_waxman, read_topology
from bellwire.planner.sources.waxman import waxman
from bellwire.planner.topology import Node

FILES = Path(__file__).parent / "files"


@pytest.mark.parametrize(
    ("file", "nodes", "links"),
    [
        ("house.graphml", 3, 2),
        ("row.gml", 3, 2),
        ("connections.json", 3, 2),
        ("channels.json", 3, 2),
        ("spans.json", 3, 2),
    ],
)
def test_suffix_and_content_choose_the_reader(file: str, nodes: int, links: int) -> None:
    found = read_topology(FILES / file)
    assert (len(found.nodes), len(found.links)) == (nodes, links)
    assert read_topology(str(FILES / file)) == found


def test_the_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "HOUSE.GRAPHML"
    path.write_bytes((FILES / "house.graphml").read_bytes())
    assert len(read_topology(path).nodes) == 3


@pytest.mark.parametrize("suffix", ["graphml", "gml", "json"])
def test_a_missing_file_is_one_error_with_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"gone.{suffix}"
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory") as refused:
        read_topology(path)
    assert refused.value.where == str(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder.json"
    folder.mkdir()
    with pytest.raises(ConfigError, match=r"folder\.json: cannot be read: Is a directory"):
        read_topology(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.yaml", r'unknown suffix "\.yaml": a topology is read from \.graphml, \.gml, \.json'),
        ("net", r'unknown suffix "": a topology is read from'),
    ],
)
def test_an_unknown_suffix_names_the_known_ones(tmp_path: Path, name: str, words: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(ConfigError, match=words) as refused:
        read_topology(path)
    assert refused.value.where == str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no readable JSON: Expecting property name"),
        ("", "is no readable JSON: Expecting value"),
        ("[1, 2]", "must be a JSON object, not list"),
        ("{}", "has neither cchannels nor cconnections nor qchannels nor qconnections"),
        ('{"nodes": []}', r"nor links nor edges \(a node-link graph\)"),
        ("[" * 100_000, "is no readable JSON"),
        ('{"nodes": [], "edges": []}', "there is no node in it"),
    ],
)
def test_json_that_is_no_network_is_one_error(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "net.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words) as refused:
        read_topology(path)
    assert refused.value.where == str(path)


def test_bytes_that_are_no_text_are_one_error(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_bytes(b'{"nodes": "\xff\xfe"}')
    with pytest.raises(ConfigError, match=r"net\.json: is no readable JSON: .*utf-8"):
        read_topology(path)


# --- random networks as text -----------------------------------------------------------------------------


def test_a_text_is_the_random_network_of_its_parameters() -> None:
    assert parse_waxman("waxman") == waxman()
    assert parse_waxman("waxman:nodes=30,density=0.2,side_km=50,seed=3") == waxman(30, 0.2, 50.0, 3)
    assert parse_waxman(" waxman : nodes = 30 , beta=0.5") == waxman(30, beta=0.5)
    assert parse_waxman("waxman:nodes=2e1,channels=2,fidelity=0.9,attenuation_length_km=22") == waxman(
        20, channels=2, fidelity=0.9, attenuation_length_km=22.0
    )


def test_the_name_of_a_random_network_makes_it_again() -> None:
    made = parse_waxman("waxman:nodes=30,density=0.15,seed=9")
    assert parse_waxman(made.name) == made


def test_scalar_properties_of_all_nodes_may_stand_in_the_text() -> None:
    found = parse_waxman("waxman:nodes=10,memories=15,swap_probability=0.6,generation_s=1e-5")
    kind = replace(Node(name="any"), memories=15, swap_probability=0.6, generation_s=1e-5)
    assert found == waxman(10, node=kind)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("erdos", "erdos: is no random network: write waxman, or waxman:nodes=50"),
        ("", "is no random network"),
        ("waxman:", "waxman:: is no random network"),
        ("waxman:nodes", '"nodes" must have the form name=value'),
        ("waxman:nodes=5,", '"" must have the form name=value'),
        ("waxman:nodes=many", 'nodes = "many" must be a whole number'),
        ("waxman:nodes=5.5", 'nodes = "5.5" must be a whole number'),
        ("waxman:nodes=inf", 'nodes = "inf" must be a whole number'),
        ("waxman:nodes=nan", 'nodes = "nan" must be a whole number'),
        ("waxman:density=high", 'density = "high" must be a number'),
        ("waxman:density=nan", r"density = nan is outside 0\.\.1"),
        ("waxman:side_km=-5", "side_km = -5 must be a finite number above 0"),
        ("waxman:nodes=0", r"nodes = 0 is outside 1\.\.5000"),
        ("waxman:memories=-1", "memories = -1 is below 0"),
        ("waxman:swap_probability=2", r"swap_probability = 2 is outside 0\.\.1"),
        ("waxman:knodes=5", r'unknown parameter of a random network "knodes" \(did you mean "nodes"\?\)'),
        ("waxman:nodes=5,nodes=6", "nodes is given twice"),
        ("waxman:name=5", 'unknown parameter of a random network "name"'),
    ],
)
def test_a_text_that_is_no_random_network_is_one_error(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        parse_waxman(text)
    assert refused.value.where == text
