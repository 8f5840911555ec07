"""The `calibration` section of links against the equipment that they name, and against the procedures.

Owns these problems. Loads the drivers that a section names, and no other.
"""

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.labs.calibration import LinkCalibration, link_bench
from bellwire.labs.document import KeyPath
from bellwire.labs.equipment import composite_settings, equipment_settings
from bellwire.labs.models import LabFile, Link
from bellwire.labs.problems import ProblemList


def check_calibration(lab: LabFile, problems: ProblemList) -> None:
    """Add every problem of the section, of every link."""
    if all(link.calibration is None for link in lab.links.values()) or len(problems):
        return  # what equipment there is must be right first
    machines = lab.nodes | lab.stations
    equipment = [one for name, at in machines.items() for one in equipment_settings(name, at.equipment)]
    composites = [one for name, at in machines.items() for one in composite_settings(name, at.composites)]
    for name, link in lab.links.items():
        if link.calibration is None:
            continue
        place: KeyPath = ("links", name, "calibration")
        try:
            link_bench(name, link.calibration, equipment, composites)
        except ConfigError as problem:
            problems.add(place, problem.problem)
        _check_names(place, link, link.calibration, problems)


def _check_names(place: KeyPath, link: Link, section: LinkCalibration, problems: ProblemList) -> None:
    from bellwire.calibration.procedure_names import PROCEDURE_NAMES

    for node in section.arms:
        if node not in link.nodes:
            problems.add(
                (*place, "arms", node), f'"{node}" is no node of this link{nearest(node, link.nodes)}'
            )
    wanted = 1 if section.kind == "meeting" else 2
    if len(section.receivers) not in (0, wanted):  # without any, its memories alone can be measured
        problems.add(
            (*place, "receivers"), f"a {section.kind} link has {wanted}, not {len(section.receivers)}"
        )
    for index, name in enumerate(section.required):
        if name not in PROCEDURE_NAMES:
            hint = nearest(name, PROCEDURE_NAMES)
            problems.add((*place, "required", index), f'no procedure is called "{name}"{hint}')
    for name in section.limits:
        if name.partition(".")[0] not in PROCEDURE_NAMES:
            problems.add(
                (*place, "limits", name),
                f"say PROCEDURE.QUANTITY{nearest(name.partition('.')[0], PROCEDURE_NAMES)}",
            )
