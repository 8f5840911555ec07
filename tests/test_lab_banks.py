"""Lab files whose nodes share memories or emitters: slots, turns, guards, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from bellwire.core.errors import ConfigError
from bellwire.core.settings import NetworkSettings
from bellwire.labs import build_lab, load_lab
from bellwire.labs.banks import TURNS_EACH, places_of, turn_taking
from bellwire.labs.models import LabFile


def document_of(
    memories: dict[str, dict[str, Any]], links: dict[str, tuple[str, str]], **keys: Any
) -> dict[str, Any]:
    lanes = keys.pop("lanes", 2)
    names = dict.fromkeys(node for nodes in links.values() for node in nodes)
    return {
        "lab": "banks",
        "nodes": {name: {"role": "end", "memory": memories.get(name, {})} for name in names},
        "stations": {f"s-{link}": {} for link in links},
        "links": {
            link: {"nodes": nodes, "station": f"s-{link}", "fibre_km": (5.0, 10.0), "lanes": lanes}
            for link, nodes in links.items()
        },
        **keys,
    }


def file_of(memories: dict[str, dict[str, Any]], links: dict[str, tuple[str, str]], **keys: Any) -> LabFile:
    return LabFile.model_validate_json(json.dumps(document_of(memories, links, **keys)))


CHAIN = {"ab": ("a", "b"), "bc": ("b", "c"), "cd": ("c", "d")}


def network(memories: dict[str, dict[str, Any]], **keys: Any) -> NetworkSettings:
    return build_lab(file_of(memories, CHAIN, **keys)).network


def test_a_bank_is_numbered_once_and_used_by_all_links_of_its_node() -> None:
    places = places_of(file_of({"b": {"bank": 3}}, CHAIN))
    assert places.slots == {"ab": ((0, 1), (0, 1, 2)), "bc": ((0, 1, 2), (0, 1)), "cd": ((2, 3), (0, 1))}
    assert places.shared == {"ab": (False, True), "bc": (True, False), "cd": (False, False)}
    assert places.sizes == {"a": 2, "b": 3, "c": 4, "d": 2}
    made = network({"b": {"bank": 3}})
    assert made.nodes["b"].memory is not None
    assert made.nodes["b"].memory.slots == 3
    assert made.links["ab"].slots == ((0, 1), (0, 1, 2))


def test_only_links_that_share_something_take_turns() -> None:
    assert turn_taking(file_of({"b": {"bank": 3}}, CHAIN)) == {"ab", "bc"}
    assert turn_taking(file_of({"c": {"emitters": 1}}, CHAIN)) == {"bc", "cd"}
    assert turn_taking(file_of({"a": {"bank": 3}, "d": {"emitters": 1}}, CHAIN)) == frozenset()
    made = network({"b": {"bank": 3}})
    assert {name: link.turn_ns for name, link in made.links.items()} == {
        "ab": 10_000_000,
        "bc": 10_000_000,
        "cd": 0,
    }


def test_a_lab_without_banks_is_as_it_was() -> None:
    for link in network({}).links.values():
        assert (link.turn_ns, link.turns, link.turn_guard_ns, link.shared) == (0, 1, 0, (False, False))


def test_a_cycle_has_turns_for_every_link_that_must_not_coincide_with_another() -> None:
    assert network({"b": {"bank": 3}}).links["ab"].turns == 2 * TURNS_EACH
    ring = {"ab": ("a", "b"), "bc": ("b", "c"), "ca": ("c", "a")}
    banks = {name: {"bank": 2} for name in "abc"}
    assert build_lab(file_of(banks, ring)).network.links["ab"].turns == 3 * TURNS_EACH
    assert network({"b": {"bank": 3}}, limits={"turns": 5}).links["bc"].turns == 5


def test_the_guard_covers_what_a_report_takes_longer_than_the_herald() -> None:
    """Heralds come by the fibre; reports by messages, which take 2 ms more here."""
    limits = {"turn_guard_ms": 0.5}
    slow = network({"b": {"bank": 3}}, limits=limits, classical={"extra_ms": 2.0})
    assert slow.links["ab"].turn_guard_ns == 2_500_000
    assert network({"b": {"bank": 3}}, limits=limits).links["ab"].turn_guard_ns == 500_000


def test_emitters_are_known_to_the_node() -> None:
    memory = network({"b": {"emitters": 1}}).nodes["b"].memory
    assert memory is not None
    assert (memory.emitters, memory.slots) == (1, 4)


@pytest.mark.parametrize(
    ("memories", "keys", "reason"),
    [
        ({"b": {"bank": 1}}, {}, "2 lanes, but the bank of b has 1 slots"),
        ({"b": {"bank": 2}}, {"limits": {"turn_ms": 1.0}}, "a turn has 1 ms"),
        ({"b": {"bank": 2}, "c": {"bank": 2}}, {"limits": {"turns": 1}}, "give at least 2"),
    ],
)
def test_banks_and_turns_that_cannot_work_are_refused(
    memories: dict[str, dict[str, Any]], keys: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(json.dumps(document_of(memories, CHAIN, **keys)))  # JSON is YAML
    with pytest.raises(ConfigError, match=reason):
        load_lab(str(path))


def test_a_bank_in_a_good_lab_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(json.dumps(document_of({"b": {"bank": 2}, "c": {"emitters": 1}}, CHAIN)))
    assert load_lab(str(path)).network.links["ab"].shared == (False, True)
