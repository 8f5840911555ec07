"""The `optics` section: the hidden light behind emulated equipment, as components, wires and links.

Owns the section's outer form and its check against the components that there are. Refuses physics, which is
the simulator backend's; it is loaded only by files that have the section.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from bellwire.labs.document import KeyPath
from bellwire.labs.problems import ProblemList
from bellwire.labs.sections import Name, Section

if TYPE_CHECKING:
    from bellwire.labs.models import LabFile
    from bellwire.simulator_backend.photons.description import OpticsDescription


class OpticsSection(Section):
    """Components by name, each with its `kind`; wires from output to input, as COMPONENT or COMPONENT.PORT;
    and for each link that this light makes, which components it goes through.
    """

    components: dict[Name, dict[str, Any]]
    wires: tuple[tuple[str, str], ...] = ()
    links: dict[Name, dict[str, Any]] = Field(default_factory=dict)

    def description(self) -> "OpticsDescription":
        """The bench that the section describes; the section has been checked."""
        from bellwire.simulator_backend.photons.description import read_optics

        found, _ = read_optics(self.components, self.wires, self.links)
        assert found is not None
        return found


def check_optics(lab: "LabFile", problems: ProblemList) -> None:
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
                    if place_in_light not in known:
                        problems.add(
                            (*place, word),
                            f'optics has no knob, gauge or detector "{place_in_light}"'
                            f"{nearest(place_in_light, known)}",
                        )


def _words(description: "OpticsDescription") -> Mapping[str, object]:
    from bellwire.simulator_backend.photons.optical_bench import OpticalBench

    bench = OpticalBench(description.layout, 0)
    detectors = dict.fromkeys(description.layout.components)
    return {**bench.gauges(), **detectors}
