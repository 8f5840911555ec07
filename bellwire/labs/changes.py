"""Two configurations of a lab: where they differ, line by line, and what it takes to go from one to the
other.

Owns the comparison. Refuses to carry anything out (runtime/reconfiguring.py).

What a change takes is read off the two labs as hosts get them, not off the paths that changed: an agent must
be restarted exactly if something that it was given is another thing now. Where the network itself differs,
all are restarted together, because two halves with different plans of the network would not understand each
other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bellwire.core.ids import NodeId
from bellwire.labs.document import KeyPath, LabDocument, dotted
from bellwire.labs.equipment import EquipmentSettings
from bellwire.labs.lab import CALIBRATIONS, Lab
from bellwire.runtime.reconfiguring import SettingChange

ABSENT = "absent"
"""Said of what one of the two does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One place of the file. `before`, `after`: JSON values, ABSENT where there is none; `where`: file,
    line."""

    path: str
    where: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Taken:
    """What going from one configuration to another takes. `whole`: why the lab must be stopped for it, "" if
    not."""

    settings: tuple[SettingChange, ...] = ()
    emulator: bool = False
    agents: tuple[NodeId, ...] = ()
    together: bool = False
    whole: str = ""

    @property
    def nothing(self) -> bool:
        """Processes go on as they are."""
        return not (self.settings or self.emulator or self.agents or self.whole)

    def in_words(self) -> str:
        """A sentence for people."""
        if self.whole:
            return f"stopping the lab and `bellwire up`: {self.whole}"
        parts = [f"writing {len(self.settings)} settings of instruments"] if self.settings else []
        parts += ["restarting the emulator"] if self.emulator else []
        how = "at once" if self.together else "one after the other"
        parts += [f"restarting {', '.join(self.agents)} ({how})"] if self.agents else []
        return ", ".join(parts) or "nothing: no process is concerned"


def configuration_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of a canonical configuration without the figures of calibrations, which are not the file's."""
    file = {key: value for key, value in document.items() if key != CALIBRATIONS}
    return hashlib.sha256(json.dumps(file, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def differences(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    old: LabDocument | None = None,
    new: LabDocument | None = None,
) -> list[Difference]:
    """Where two canonical configurations differ; lines are those of the new file, or of the old one for what
    is gone."""
    found: list[Difference] = []
    for path, was, now in _differing((), _plain(before), _plain(after)):
        document = old if now is ABSENT else new
        where = "" if document is None else f"{document.path.name}:{document.line_near(path)}"
        found.append(Difference(dotted(path), where, was, now))
    return found


def _plain(document: Mapping[str, Any]) -> Any:
    file = {key: value for key, value in document.items() if key != CALIBRATIONS}
    return json.loads(json.dumps(file))


def _differing(path: KeyPath, before: Any, after: Any) -> Iterator[tuple[KeyPath, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            yield from _differing((*path, key), before.get(key, ABSENT), after.get(key, ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            was, now = (one[index] if index < len(one) else ABSENT for one in (before, after))
            yield from _differing((*path, index), was, now)
    elif before != after:
        yield path, before, after


def taken(before: Lab, after: Lab) -> Taken:
    """What it takes to go from one lab to the other while it is up."""
    if whole := _whole(before, after):
        return Taken(whole=whole)
    settings = tuple(_settings(before, after))
    written = {one.instrument for one in settings}
    world = _world(before) != _world(after)
    if _network(before) != _network(after) or _planning(before) != _planning(after):
        agents = tuple(after.addresses)
        return Taken((), world, agents, together=True)
    changed = [name for name in after.addresses if _own(before, name, written) != _own(after, name, written)]
    order = ("station", "repeater", "end")
    changed.sort(key=lambda name: order.index(after.network.nodes[name].role))
    if set(changed) & {one.owner for one in settings}:  # they read their settings when they start
        settings = tuple(one for one in settings if one.owner not in changed)
    return Taken(settings, world, tuple(changed))


def _whole(before: Lab, after: Lab) -> str:
    if before.name != after.name:
        return f"the lab is called {after.name} now"
    if gone := [name for name in before.network.nodes if name not in after.network.nodes]:
        return f"{', '.join(gone)} left the lab"
    if come := [name for name in after.network.nodes if name not in before.network.nodes]:
        return f"{', '.join(come)} joined the lab"
    if moved := [name for name, at in after.addresses.items() if before.addresses.get(name) != at]:
        return f"{', '.join(moved)} moved to another address"
    if before.console != after.console:
        return "the console moved"
    if _emulates(before) != _emulates(after):
        return "emulated instruments came or went altogether"
    return ""


def _emulates(lab: Lab) -> bool:
    return any(one.emulated for one in lab.instruments) or any(one.emulated for one in lab.equipment)


def _network(lab: Lab) -> object:
    """What all agents share: purposes concern the node alone."""
    nodes = {
        name: msgspec.structs.replace(node, purposes=None, links=node.links)
        for name, node in lab.network.nodes.items()
    }
    return msgspec.structs.replace(lab.network, nodes=nodes)


def _planning(lab: Lab) -> object:
    """Requests of the file matter to agents only where all are planned at once."""
    return None if lab.plan_together is None else (lab.plan_together, lab.requests)


def _own(lab: Lab, name: NodeId, written: set[str]) -> object:
    """What one agent alone was given; settings that are written to instruments do not count."""
    equipment = [
        replace(one, settings={}) if one.name in written else one
        for one in lab.equipment
        if one.owner == name
    ]
    links = [link for link, one in lab.network.links.items() if one.station == name]
    return (
        lab.network.nodes[name].purposes,
        lab.listens.get(name),
        [one for one in lab.instruments if one.owner == name],
        equipment,
        [one for one in lab.composites if one.owner == name],
        [(lab.document["links"][link].get("calibration") or {}).get("required") for link in links],
    )


def _world(lab: Lab) -> object:
    """What the emulator was given."""
    if not _emulates(lab):
        return None
    return (
        lab.world(),
        lab.optics(),
        lab.seed,
        [one for one in lab.instruments if one.emulated],
        [replace(one, settings={}) for one in lab.equipment if one.emulated],
    )


def _settings(before: Lab, after: Lab) -> Iterator[SettingChange]:
    """Settings that are another value now, of instruments that no composite works with."""
    held = {
        f"{one.owner}-{name}"
        for lab in (before, after)
        for one in lab.composites
        for names in one.parts.values()
        for name in names
    }
    old = {one.full_name: one for one in before.equipment}
    for entry in after.equipment:
        was = old.get(entry.full_name)
        if was is None or entry.full_name in held or not _only_values_differ(was, entry):
            continue
        for parameter, value in entry.settings.items():
            if was.settings[parameter] != value:
                yield SettingChange(
                    owner=entry.owner,
                    instrument=entry.name,
                    parameter=parameter,
                    before=was.settings[parameter],
                    after=value,
                )


def _only_values_differ(was: EquipmentSettings, now: EquipmentSettings) -> bool:
    """A setting that was not said before has no value to go back to."""
    return set(was.settings) == set(now.settings) and replace(was, settings={}) == replace(now, settings={})
