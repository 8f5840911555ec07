"""From the stations of a lab that have a tagger instead of an FPGA to their cables and their clicks.

Owns the names of the cables: `STATION.INPUT` and `pps`, for channels that the lab file does not wire to its
optics itself. Refuses tags (injected_tags.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from bellwire.core.settings import NetworkSettings
from bellwire.drivers.herald_settings import WINDOW_NS
from bellwire.simulator_backend.devices.bench import EmulatedBench
from bellwire.simulator_backend.devices.equipment_bench import EquipmentEntry
from bellwire.simulator_backend.devices.surroundings import Alone, Surroundings
from bellwire.simulator_backend.injected_tags import (
    PPS,
    HeraldInputs,
    InjectedTags,
    TaggedInput,
    TaggedLink,
)

if TYPE_CHECKING:
    from bellwire.core.ids import NodeId

WORDS = {"fpga_tagger": "channel_{}"}
"""What an emulated tagger calls its channel; others say the bare number."""


class TaggedEntry(Protocol):
    """One instrument that makes pairs, of a lab file."""

    @property
    def owner(self) -> NodeId: ...

    @property
    def emulated(self) -> bool: ...

    @property
    def inputs(self) -> HeraldInputs | None: ...


class TaggedLab(Protocol):
    """A lab of which some stations may have taggers."""

    @property
    def seed(self) -> int: ...

    @property
    def network(self) -> NetworkSettings: ...

    @property
    def instruments(self) -> Sequence[TaggedEntry]: ...

    @property
    def equipment(self) -> Sequence[EquipmentEntry]: ...


def tagger_cables(lab: TaggedLab) -> dict[str, dict[str, str]]:
    """Words of the taggers' wiring by the full names of the taggers."""
    cables: dict[str, dict[str, str]] = {}
    for owner, inputs in _tagged(lab):
        full_name = f"{owner}-{inputs.tagger}"
        word = _word(lab, full_name)
        cables[full_name] = {word.format(inputs.pps_channel): PPS} | {
            word.format(channel): f"{owner}.{number}" for number, channel in inputs.channels.items()
        }
    return cables


def inject_tags(lab: TaggedLab, bench: EmulatedBench, light: Surroundings | None) -> InjectedTags | None:
    """The layer over the light, told by the bench what the World does; None when no station has a tagger."""
    links: dict[str, TaggedLink] = {}
    for number, (owner, inputs) in enumerate(_tagged(lab)):
        (name,) = lab.network.nodes[owner].links
        link = lab.network.links[name]
        links[name] = TaggedLink(
            architecture=link.architecture,
            period_ns=link.period_ns,
            lanes=link.lanes,
            window_ns=inputs.window_ns or WINDOW_NS,
            inputs=tuple(_inputs(lab, owner, inputs)),
            seed=lab.seed + number,
        )
    if not links:
        return None
    injected = InjectedTags(Alone() if light is None else light, links, bench.now)
    bench.on_plan = injected.plan
    bench.on_tagged_click = injected.click
    return injected


def _tagged(lab: TaggedLab) -> list[tuple[NodeId, HeraldInputs]]:
    return [
        (entry.owner, entry.inputs)
        for entry in lab.instruments
        if entry.inputs is not None and entry.emulated
    ]


def _word(lab: TaggedLab, full_name: str) -> str:
    (driver,) = (one.driver for one in lab.equipment if one.full_name == full_name)
    return WORDS.get(driver, "{}")


def _inputs(lab: TaggedLab, owner: NodeId, inputs: HeraldInputs) -> list[TaggedInput]:
    full_name = f"{owner}-{inputs.tagger}"
    word = _word(lab, full_name)
    wiring: Mapping[str, str] = next(one.wiring for one in lab.equipment if one.full_name == full_name)
    found: list[TaggedInput] = []
    for number, channel in inputs.channels.items():
        lit = wiring.get(word.format(channel))
        found.append(
            TaggedInput(
                channel=f"{owner}.{number}" if lit is None else lit,
                number=number,
                delay_ps=inputs.delays_ps.get(number, 0),
                dark_rate_hz=inputs.dark_rate_hz[number] if lit is None else None,
            )
        )
    return found
