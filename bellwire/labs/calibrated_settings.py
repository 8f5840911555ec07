"""A lab whose instruments are set as calibrations left them, in the place of the lab file's settings.

Owns the way from what a record applied to settings of equipment and operating points of composites. Refuses
figures of links (calibrated.py). Agents read it whenever they start: an instrument that was aligned an hour
ago must not fall back to the first day's values because its agent was restarted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from bellwire.calibration.records import CalibrationRecord
from bellwire.calibration.store import CalibrationStore
from bellwire.drivers import load_driver
from bellwire.drivers.readings import Value
from bellwire.labs.equipment import CompositeSettings, EquipmentSettings
from bellwire.labs.lab import Lab

Settings = dict[str, dict[str, Value]]
"""Value by parameter, by full name of the instrument."""

VALUES_OF_COMPOSITES: Final[Mapping[str, tuple[str, str]]] = {
    "set_power_mw": ("pump", "pump_value"),
    "set_current_ma": ("pump", "pump_value"),
    "set_temperature_c": ("oven", "crystal_temperature_c"),
}
"""Which part of a composite a driver's method sets, and what the composite calls the value."""


def with_applied_settings(lab: Lab, store: CalibrationStore, now_ns: int) -> Lab:
    """The lab with the settings that records in force have applied; the same lab where there are none.

    Raises:
        StoreFault: the store cannot be read.
        ConfigError: it was written by a newer bellwire.
    """
    records = [
        record
        for link in store.links()
        if link in lab.network.links
        for procedure in store.procedures(link)
        if (record := store.in_force(link, procedure, now_ns)) is not None
    ]
    found = applied_settings(records)
    if not found:
        return lab
    equipment = tuple(_with_settings(one, found.get(one.full_name, {})) for one in lab.equipment)
    drivers = {one.full_name: one.driver for one in lab.equipment}
    composites = tuple(_at_its_point(one, found, drivers) for one in lab.composites)
    return replace(lab, equipment=equipment, composites=composites)


def applied_settings(records: Iterable[CalibrationRecord]) -> Settings:
    """What the records have applied; of two records, the one that ended later counts."""
    found: Settings = {}
    for record in sorted(records, key=lambda one: one.ended_ns):
        for name, value in record.applied.items():
            instrument, _, parameter = name.partition(" ")
            found.setdefault(instrument, {})[parameter] = value
    return found


def _with_settings(entry: EquipmentSettings, applied: Mapping[str, Value]) -> EquipmentSettings:
    """Only what can be asserted again, and what no composite of the instrument switches by itself."""
    driver = load_driver(entry.driver, where=entry.full_name)
    known = {parameter.name: parameter for parameter in driver.parameters}
    lasting = {
        name: value
        for name, value in applied.items()
        if name in known and known[name].repeatable and (name in entry.settings or not known[name].emits)
    }
    moved = {
        name: value
        for name, value in applied.items()
        if name in known and known[name].emits and _moves(known[name].write)
    }
    return replace(entry, settings={**entry.settings, **lasting, **moved})


def _moves(method: str | None) -> bool:
    """Whether it moves something that stays where it is, such as a paddle or a delay line."""
    return method in ("set_angle_deg", "set_delay_ps", "set_egress", "set_bias_ua")


def _at_its_point(entry: CompositeSettings, found: Settings, drivers: Mapping[str, str]) -> CompositeSettings:
    values = dict(entry.values)
    last = entry.parts.get("amplifier") or entry.parts.get("pump") or ()
    for place, names in (("pump", last), ("oven", entry.parts.get("oven", ()))):
        for name in names:
            full_name = f"{entry.owner}-{name}"
            for parameter in load_driver(drivers[full_name], where=full_name).parameters:
                part, key = VALUES_OF_COMPOSITES.get(parameter.write or "", ("", ""))
                value = found.get(full_name, {}).get(parameter.name)
                if part == place and key in values and isinstance(value, int | float):
                    values[key] = float(value)
    return replace(entry, values=values)
