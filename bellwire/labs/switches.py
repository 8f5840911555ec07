"""The sections `switches` of a lab file and `through` of a link: links that exist at one setting of a switch.

Owns the sections, their checks and the way to `SwitchSettings`. Refuses the change of a setting (link layer).
"""

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from pydantic import Field

from bellwire.core.registry import nearest
from bellwire.core.settings import NetworkSettings, SwitchPosition, SwitchSettings
from bellwire.core.units import NS_PER_MS
from bellwire.labs.problems import ProblemList
from bellwire.labs.sections import Name, NodeName, NotNegative, Positive, Section

if TYPE_CHECKING:
    from bellwire.labs.models import LabFile

Port = Annotated[int, Field(ge=1, le=1152)]

MATRIX_DRIVERS: Final = frozenset({"polatis_oxc"})
"""Drivers of equipment that connects ports."""


class Switch(Section):
    """An optical switch that links go through. It belongs to a node that is an end of all of them."""

    node: NodeName
    equipment: Name | None = None  # of that node: what moves; null: the switch exists in virtual time only
    # by name: pairs of an ingress and an egress port
    settings: Annotated[dict[Name, tuple[tuple[Port, Port], ...]], Field(min_length=1)]
    settle_ms: Positive = 20.0  # from the end of a change until light may come
    check_ms: Positive = 50.0  # length of the dark check
    dark_max_hz: NotNegative = 1000.0  # counts that it may find without light of this lab


class Through(Section):
    """Where a link exists."""

    switch: Name
    setting: Name


def position(through: Through | None) -> SwitchPosition | None:
    """As a link knows it."""
    return None if through is None else SwitchPosition(switch=through.switch, setting=through.setting)


def with_switches(file: "LabFile", network: NetworkSettings) -> NetworkSettings:
    """The network with the switches of the file."""
    switches = {
        name: SwitchSettings(
            switch=name,
            owner=switch.node,
            settings=switch.settings,
            equipment=switch.equipment,
            settle_ns=round(switch.settle_ms * NS_PER_MS),
            check_ns=round(switch.check_ms * NS_PER_MS),
            dark_max_hz=switch.dark_max_hz,
        )
        for name, switch in file.switches.items()
    }
    return msgspec.structs.replace(network, switches=switches)


def check_switches(file: "LabFile", problems: ProblemList) -> None:
    """Add every name that is none, and every link that its switch's node could not keep dark."""
    for name, switch in file.switches.items():
        _check_switch(file, name, switch, problems)
    for name, link in file.links.items():
        if link.through is None:
            continue
        place = ("links", name, "through")
        known = file.switches.get(link.through.switch)
        if known is None:
            hint = nearest(link.through.switch, file.switches)
            problems.add((*place, "switch"), f'unknown switch "{link.through.switch}"{hint}')
            continue
        if link.through.setting not in known.settings:
            hint = nearest(link.through.setting, known.settings)
            problems.add((*place, "setting"), f'unknown setting "{link.through.setting}"{hint}')
        if known.node not in link.nodes:
            problems.add(place, f"{known.node} moves the switch, and is no end of this link")
        if link.ahead is not None:
            problems.add(place, "pairs ahead of requests would hold the switch: leave ahead out")


def _check_switch(file: "LabFile", name: str, switch: Switch, problems: ProblemList) -> None:
    node = file.nodes.get(switch.node)
    if node is None:
        problems.add(
            ("switches", name, "node"), f'unknown node "{switch.node}"{nearest(switch.node, file.nodes)}'
        )
        return
    for setting, ports in switch.settings.items():
        if any(len({pair[side] for pair in ports}) < len(ports) for side in (0, 1)):
            problems.add(("switches", name, "settings", setting), "a port stands there twice")
    if switch.equipment is None:
        return
    place = ("switches", name, "equipment")
    found = node.equipment.get(switch.equipment)
    if found is None:
        hint = nearest(switch.equipment, node.equipment)
        problems.add(place, f'{switch.node} has no equipment "{switch.equipment}"{hint}')
    elif found.driver not in MATRIX_DRIVERS:
        problems.add(place, f"{found.driver} is no matrix switch; take one of {', '.join(MATRIX_DRIVERS)}")
