"""The `optics` section against the components that there are, and the bench that it describes.

Owns these problems, and the way from a checked section to the simulator backend's words. Refuses physics,
which is loaded only by files that have the section.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bellwire.labs.architectures import stored_qubits
from bellwire.labs.document import KeyPath
from bellwire.labs.equipment import Equipment
from bellwire.labs.models import LabFile
from bellwire.labs.problems import ProblemList

CLOCK = "clock"
"""The word of a wiring that names the clock of an instrument."""

if TYPE_CHECKING:
    from bellwire.simulator_backend.photons.description import OpticsDescription


def describe(lab: LabFile) -> "OpticsDescription | None":
    """The bench of a checked file, with the memories' waiting; None where the file has no optics."""
    from dataclasses import replace

    from bellwire.simulator_backend.photons.description import read_optics
    from bellwire.simulator_backend.photons.heralding import (
        MidpointSourceLink,
        SenderReceiverLink,
        Waiting,
    )

    section = lab.optics
    if section is None:
        return None
    found, _ = read_optics(section.components, section.wires, section.links)
    assert found is not None
    links = dict(found.links)
    for name, link in found.links.items():
        if isinstance(link, MidpointSourceLink | SenderReceiverLink):
            waiting = tuple(Waiting(*stored) for stored in stored_qubits(lab, lab.links[name]))
            links[name] = replace(link, waiting=waiting)
    return replace(found, links=links)


def check_optics(lab: LabFile, problems: ProblemList) -> None:
    """Add every problem of the section, and of the wiring of equipment to it."""
    section = lab.optics
    if section is None:
        return
    from bellwire.core.registry import nearest
    from bellwire.simulator_backend.photons.description import read_optics

    found, wrong = read_optics(section.components, section.wires, section.links)
    for problem in wrong:
        problems.add(("optics", *problem.place), problem.sentence)
    for name in section.links:
        link = lab.links.get(name)
        if link is None:
            problems.add(("optics", "links", name), f'unknown link "{name}"{nearest(name, lab.links)}')
        elif section.links[name].get("kind") != link.architecture or link.attempt is not None:
            problems.add(("optics", "links", name), f"the link {name} is {link.architecture}: say so in kind")
        elif link.operating_points:
            problems.add(("optics", "links", name), "a link with operating_points cannot follow the light")
        elif link.truth is not None:
            problems.add(("links", name, "truth"), "the optics section says what is true of this link")
    if found is None:
        return
    known = _words(found)
    for owners, machines in (("nodes", lab.nodes), ("stations", lab.stations)):
        for owner, at in machines.items():
            for name, equipment in at.equipment.items():
                place: KeyPath = (owners, owner, "equipment", name, "wiring")
                for word, place_in_light in equipment.wiring.items():
                    if word == CLOCK:
                        _check_clock(equipment, found, (*place, word), problems)
                    elif place_in_light not in known:
                        problems.add(
                            (*place, word),
                            f'optics has no knob, gauge or detector "{place_in_light}"'
                            f"{nearest(place_in_light, known)}",
                        )


def _check_clock(
    equipment: Equipment, description: "OpticsDescription", place: KeyPath, problems: ProblemList
) -> None:
    """A wiring names the clock that an instrument runs on."""
    from bellwire.core.registry import nearest
    from bellwire.simulator_backend.devices.own_clock import CLOCKED
    from bellwire.simulator_backend.photons.clock import Clock

    name = equipment.wiring[CLOCK]
    clocks = [one for one, part in description.layout.components.items() if isinstance(part, Clock)]
    if name not in clocks:
        problems.add(place, f'optics has no clock "{name}"{nearest(name, clocks)}')
    if equipment.driver not in CLOCKED:
        problems.add(
            place,
            f"an emulated {equipment.driver} has no clock of its own; these can: {', '.join(CLOCKED)}",
        )


def _words(description: "OpticsDescription") -> Mapping[str, object]:
    from bellwire.simulator_backend.photons.optical_bench import OpticalBench

    bench = OpticalBench(description.layout, 0)
    detectors = dict.fromkeys(description.layout.components)
    return {**bench.gauges(), **detectors}
