"""Instrument settings of an experiment: what was typed, and whether the instrument can have it.

Owns the reading of `device:OWNER-NAME.PARAMETER=A,B,C` against the driver's own table. Refuses to move
anything (lab_experiments_instruments.py).
"""

import math
from pathlib import Path
from typing import Final

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.registry import nearest
from bellwire.drivers.parameters import Parameter
from bellwire.labs import Lab
from bellwire.labs.equipment import EquipmentSettings
from bellwire.runtime.equipment import make_driver
from bellwire.study.lab_experiments import DeviceScan
from bellwire.study.sweeps_keys import parse_variation

PREFIX: Final = "device:"

KEPT_PLACES: Final = {
    "pump": ("set_power_mw", "set_current_ma", "set_emission"),
    "amplifier": ("set_power_mw", "set_current_ma", "set_emission"),
    "oven": ("set_temperature_c", "set_heating"),
}
"""What a composite sets again when it is not as it wants it, by place."""

LAB_FILE_KEYS: Final = {"pump": "pump_value", "amplifier": "pump_value", "oven": "crystal_temperature_c"}
"""Keys of the composite that say what it keeps."""


def parse_device_scan(text: str, lab: Lab) -> DeviceScan:
    """The scan that `device:OWNER-NAME.PARAMETER=A,B,C` means.

    Raises:
        ConfigError: no such instrument or parameter, one that cannot be set and read back, a value that it
        cannot have, or one that a composite of the lab would put back.
    """
    key = text.partition("=")[0].strip()
    variation = parse_variation(text, {key: None})
    entry, parameter_name = _place(key, lab)
    driver = make_driver(entry, Path())
    known = [one.name for one in driver.parameters]
    parameter = next((one for one in driver.parameters if one.name == parameter_name), None)
    if parameter is None:
        raise ConfigError(
            f'{entry.full_name} has no parameter "{parameter_name}"{nearest(parameter_name, known)}',
            where=key,
        )
    if parameter.write is None:
        raise ConfigError(f"{parameter.name} of {entry.full_name} can be read only", where=key)
    if parameter.read is None:
        raise ConfigError(
            f"{parameter.name} of {entry.full_name} cannot be read, so it could not be restored", where=key
        )
    if not parameter.repeatable:
        raise ConfigError(f"{parameter.name} of {entry.full_name} is an action, not a setting", where=key)
    _refuse_kept(entry, parameter, lab, key)
    try:
        values = tuple(parameter.checked(value) for value in variation.values)
    except (LocalMisuse, TypeError) as problem:
        raise ConfigError(str(problem), where=key) from None
    if any(isinstance(value, float) and not math.isfinite(value) for value in values):
        raise ConfigError("a setting must be a finite number", where=key)
    return DeviceScan(
        key=key,
        owner=entry.owner,
        name=entry.name,
        full_name=entry.full_name,
        parameter=parameter,
        values=values,
    )


def _place(key: str, lab: Lab) -> tuple[EquipmentSettings, str]:
    """The instrument and the name of its parameter, which may have dots; the longest name that fits."""
    rest = key.removeprefix(PREFIX)
    fitting = [one for one in lab.equipment if rest.startswith(f"{one.full_name}.")]
    if fitting:
        entry = max(fitting, key=lambda one: len(one.full_name))
        return entry, rest[len(entry.full_name) + 1 :]
    if not lab.equipment:
        raise ConfigError("this lab has no equipment section, so it has no instrument settings", where=key)
    name = rest.partition(".")[0]
    names = [one.full_name for one in lab.equipment]
    if any(name == one or rest == one for one in names):
        raise ConfigError(
            "which parameter? An instrument's setting is written OWNER-NAME.PARAMETER", where=key
        )
    raise ConfigError(f'no equipment is called "{name}"{nearest(name, names)}', where=key)


def _refuse_kept(entry: EquipmentSettings, parameter: Parameter, lab: Lab, key: str) -> None:
    for composite in lab.composites:
        if composite.owner != entry.owner or composite.kind == "bsa_station":
            continue
        for place, names in composite.parts.items():
            if entry.name in names and parameter.write in KEPT_PLACES.get(place, ()):
                where = (
                    f"nodes.{entry.owner}"
                    if entry.owner in lab.document["nodes"]
                    else f"stations.{entry.owner}"
                )
                raise ConfigError(
                    f"the composite {composite.owner}-{composite.name} keeps this and would soon put it "
                    f"back: scan {where}.composites.{composite.name}.{LAB_FILE_KEYS[place]} "
                    "(--mode emulated), or take the composite out of the lab file",
                    where=key,
                )
