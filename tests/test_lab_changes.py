"""Configurations compared: a frozen lab is the same lab, and each kind of change takes what it must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwire.core.errors import ConfigError
from bellwire.labs import Lab, lab_from_document, load_lab
from bellwire.labs.changes import ABSENT, configuration_digest, differences, taken
from bellwire.labs.document import read_document
from bellwire.labs.snapshots import all_of, read, take, text_of
from bellwire.runtime.in_force import frozen_of
from tests.hosts.live import LABS

SMALL = ("two_node_link", "three_node_repeater", "optics_single_click", "ghz_star", "shared_bank")


@pytest.mark.parametrize("name", SMALL)
def test_a_lab_that_is_read_from_its_frozen_configuration_is_the_same_lab(name: str) -> None:
    lab = load_lab(LABS / f"{name}.yaml", live=True)
    again = lab_from_document(lab.document, path=lab.path, live=True)
    assert again.digest == lab.digest
    assert (again.network, again.instruments, again.equipment, again.composites) == (
        lab.network,
        lab.instruments,
        lab.equipment,
        lab.composites,
    )
    assert list(again.network.nodes) == list(lab.network.nodes)
    assert (again.addresses, again.listens, again.requests) == (lab.addresses, lab.listens, lab.requests)
    assert taken(lab, again).nothing
    assert differences(lab.document, again.document) == []


def changed(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> tuple[Lab, Lab]:
    sections = yaml.safe_load((LABS / f"{name}.yaml").read_text(encoding="utf-8"))
    change(sections)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return load_lab(LABS / f"{name}.yaml", live=True), load_lab(path, live=True)


def described(sections: dict[str, Any]) -> None:
    sections["description"] = "other words"


def asked_for_more(sections: dict[str, Any]) -> None:
    sections["requests"][0]["count"] = 7


def another_serial_number(sections: dict[str, Any]) -> None:
    sections["nodes"]["bob"]["instruments"]["memory"]["serial_number"] = 1009


def another_purpose(sections: dict[str, Any]) -> None:
    sections["nodes"]["alice"]["purposes"] = [7]


def fewer_lanes(sections: dict[str, Any]) -> None:
    sections["links"]["alice-bob"]["lanes"] = 2


def another_truth(sections: dict[str, Any]) -> None:
    sections["seed"] = 5


def another_address(sections: dict[str, Any]) -> None:
    sections["nodes"]["bob"]["address"] = "tcp://127.0.0.1:27399"


@pytest.mark.parametrize(
    ("change", "agents", "together", "emulator"),
    [
        (described, (), False, False),
        (asked_for_more, (), False, False),
        (another_purpose, ("alice",), False, False),
        (another_serial_number, ("bob",), False, True),
        (another_truth, (), False, True),
        (fewer_lanes, ("alice", "bob", "midpoint"), True, True),
    ],
)
def test_exactly_those_are_restarted_that_were_given_something_else(
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    agents: tuple[str, ...],
    together: bool,
    emulator: bool,
) -> None:
    before, after = changed(tmp_path, "two_node_link", change)
    found = taken(before, after)
    assert (set(found.agents), found.together, found.emulator) == (set(agents), together, emulator)
    assert (found.settings, found.whole) == ((), "")
    assert differences(before.document, after.document) != []


def test_what_cannot_be_done_while_the_lab_is_up_is_said(tmp_path: Path) -> None:
    before, after = changed(tmp_path, "two_node_link", another_address)
    assert taken(before, after).whole == "bob moved to another address"
    other = load_lab(LABS / "three_node_repeater.yaml", live=True)
    assert "is called three_node_repeater" in taken(before, other).whole


def test_a_setting_of_an_instrument_is_written_and_restarts_nobody(tmp_path: Path) -> None:
    lab = load_lab(LABS / "entangled_photons.yaml", live=True)
    held = {f"{one.owner}-{part}" for one in lab.composites for parts in one.parts.values() for part in parts}
    free = next(
        one
        for one in lab.equipment
        if one.full_name not in held and any(type(value) is float for value in one.settings.values())
    )
    name = next(name for name, value in free.settings.items() if type(value) is float)

    def other(sections: dict[str, Any]) -> None:
        place = "nodes" if free.owner in sections["nodes"] else "stations"
        section = sections[place][free.owner]["equipment"][free.name]
        section["settings"][name] = section["settings"][name] * 1.01

    before, after = changed(tmp_path, "entangled_photons", other)
    (written,) = taken(before, after).settings
    assert (written.owner, written.instrument, written.parameter) == (free.owner, free.name, name)
    assert written.after == pytest.approx(1.01 * float(written.before))
    assert taken(before, after).agents == ()
    assert taken(after, before).settings[0].after == written.before


def test_differences_name_file_line_and_path_of_the_new_file_and_of_what_is_gone(tmp_path: Path) -> None:
    text = (LABS / "two_node_link.yaml").read_text(encoding="utf-8")
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(text, encoding="utf-8")
    new.write_text(text.replace("lanes: 4", "lanes: 2").replace("fidelity_min: 0.8, ", ""), encoding="utf-8")
    before, after = load_lab(old, live=True), load_lab(new, live=True)
    found = {
        one.path: one
        for one in differences(before.document, after.document, read_document(old), read_document(new))
    }
    line = 1 + next(n for n, one in enumerate(text.splitlines()) if "lanes: 4" in one)
    assert (found["links.alice-bob.lanes"].before, found["links.alice-bob.lanes"].after) == (4, 2)
    assert found["links.alice-bob.lanes"].where == f"new.yaml:{line}"
    assert found["requests[0].fidelity_min"].before == 0.8
    assert set(found) == {"links.alice-bob.lanes", "requests[0].fidelity_min"}
    gone = differences({"a": {"b": 1}}, {"a": {}})
    assert (gone[0].path, gone[0].after) == ("a.b", ABSENT)


def test_snapshots_are_numbered_checked_by_their_hash_and_keep_the_lines(tmp_path: Path) -> None:
    lab = load_lab(LABS / "two_node_link.yaml", live=True)
    frozen = frozen_of(lab.name, lab.path, lab.digest, lab.document)
    first = take(tmp_path, frozen, note="first", equipment={"x": {"condition": "ready"}})
    take(tmp_path, frozen)
    assert [one.number for one in all_of(tmp_path)] == [1, 2]
    assert read(tmp_path, 1) == first
    assert configuration_digest(first.configuration.document) == configuration_digest(lab.document)
    text = text_of(tmp_path, 1)
    assert text is not None
    assert text.line_near(("links", "alice-bob")) > 20
    with pytest.raises(ConfigError, match="no snapshot 3; known: 1, 2"):
        read(tmp_path, 3)
    path = tmp_path / "configurations" / "0001.json"
    path.write_bytes(path.read_bytes().replace(b'"note":"first"', b'"note":"fir5t"'))
    with pytest.raises(ConfigError, match="damaged: its hash"):
        read(tmp_path, 1)
