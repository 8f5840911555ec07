"""Equipment sections against the tables of their drivers: names, parameters, ranges, roles of composites.

Owns these problems, so that a wrong setting is a line of the file and not a fault at night. Loads the
drivers that a lab names, and no other.
"""

from collections.abc import Mapping

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.labs.document import KeyPath
from bellwire.labs.equipment import Composite, Equipment, parts_of
from bellwire.labs.models import LabFile
from bellwire.labs.problems import ProblemList

ROLES_OF_PARTS: Mapping[str, tuple[str, ...]] = {
    "pump": ("pump_laser", "current_laser"),
    "amplifier": ("pump_laser", "current_laser"),
    "oven": ("oven",),
    "detectors": ("detectors",),
    "tagger": ("time_tagger",),
    "delay": ("delay_line",),
    "polarization": ("polarization_controller",),
    "switch": ("optical_switch",),
}
"""Roles that may stand in each place of a composite."""


def check_equipment(lab: LabFile, problems: ProblemList) -> None:
    """Add every problem of equipment and composites."""
    for section, machines in (("nodes", lab.nodes), ("stations", lab.stations)):
        for name, at in machines.items():
            place: KeyPath = (section, name)
            for one, equipment in at.equipment.items():
                _check_settings((*place, "equipment", one), equipment, problems)
            for one, composite in at.composites.items():
                _check_parts((*place, "composites", one), composite, at.equipment, problems)


def _check_settings(place: KeyPath, equipment: Equipment, problems: ProblemList) -> None:
    from bellwire.drivers import load_driver

    try:
        driver = load_driver(equipment.driver, where=equipment.driver)
    except ConfigError as problem:
        problems.add((*place, "driver"), problem.problem)
        return
    for name, value in equipment.settings.items():
        try:
            parameter = driver.parameter(name)
            parameter.checked(value)
            if parameter.write is None or not parameter.repeatable:
                raise LocalMisuse(f"{name} is not a setting that can be asserted again")
        except LocalMisuse as problem:
            problems.add((*place, "settings", name), str(problem))
    if equipment.wiring and not equipment.emulated:
        problems.add((*place, "wiring"), "wiring is for emulated equipment; a real instrument needs none")


def _check_parts(
    place: KeyPath, composite: Composite, equipment: Mapping[str, Equipment], problems: ProblemList
) -> None:
    from bellwire.core.registry import nearest
    from bellwire.drivers import cards

    known = cards()
    for part, names in parts_of(composite).items():
        for name in names:
            if name not in equipment:
                problems.add(
                    (*place, part), f'no equipment is called "{name}" here{nearest(name, equipment)}'
                )
                continue
            card = known.get(equipment[name].driver)
            if card is not None and not set(card.roles) & set(ROLES_OF_PARTS[part]):
                wanted = " or ".join(ROLES_OF_PARTS[part])
                problems.add((*place, part), f"{card.name} plays {', '.join(card.roles)}, not {wanted}")
