"""Snapshots of all equipment of a lab, at the start and at the end, and how they differ.

Owns both. Refuses judgement: a difference is shown, and whoever reads it knows whether it was wanted.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bellwire.core.errors import ConfigError
from bellwire.labs import Lab
from bellwire.labs.equipment import EquipmentSettings
from bellwire.runtime.control import ask
from bellwire.runtime.equipment import make_driver

READ_S: Final = 30.0

Snapshot = dict[str, dict[str, Any]]
"""By instrument: model, condition, and by parameter value, unit, quality, whether it can be set."""

UNREAD: Final[dict[str, Any]] = {
    "model": None,
    "condition": "unknown",
    "reason": "its agent does not answer",
    "parameters": {},
}


async def snapshot(lab: Lab, state: Path) -> Snapshot:
    """Read every readable parameter of all equipment; what cannot be read says why."""
    read = await asyncio.gather(
        *(_read_owned(state, owner) for owner in {one.owner for one in lab.equipment})
    )
    found = {name: one for owned in read for name, one in owned.items()}
    return {one.full_name: found.get(one.full_name, UNREAD) for one in lab.equipment}


async def _read_owned(state: Path, owner: str) -> Snapshot:
    try:
        devices: list[dict[str, Any]] = await ask(state, owner, "device_list", within_s=READ_S)
    except ConfigError:
        return {}
    return {device["full_name"]: await _read_device(state, owner, device) for device in devices}


async def _read_device(state: Path, owner: str, device: Mapping[str, Any]) -> dict[str, Any]:
    parameters: dict[str, dict[str, Any]] = {}
    for parameter in device["parameters"]:
        if not parameter["readable"]:
            continue
        name = parameter["name"]
        fields = {"device": device["name"], "parameter": name, "within_s": READ_S}
        try:
            reading = await ask(state, owner, "device_read", **fields)
        except ConfigError as problem:
            parameters[name] = {"value": None, "quality": "unread", "problem": str(problem)}
        else:
            parameters[name] = {key: reading[key] for key in ("value", "unit", "quality")}
        parameters[name]["settable"] = parameter["settable"]
    return {
        "model": device["model"],
        "condition": device["condition"],
        "reason": device["reason"],
        "parameters": parameters,
    }


def differences(lab: Lab, start: Snapshot, end: Snapshot) -> list[dict[str, Any]]:
    """Settings that changed beyond what their drivers let a read-back differ, words and switches that
    changed, and conditions. Measured numbers vary all the time; both snapshots have them."""
    entries = {one.full_name: one for one in lab.equipment}
    found: list[dict[str, Any]] = []
    for name, before in start.items():
        after = end[name]
        if before["condition"] != after["condition"]:
            found.append(
                {
                    "instrument": name,
                    "what": "condition",
                    "start": before["condition"],
                    "end": after["condition"],
                }
            )
        for parameter, one in before["parameters"].items():
            other = after["parameters"].get(parameter, {"value": None})
            if _differ(entries[name], parameter, one, other["value"]):
                found.append(
                    {"instrument": name, "what": parameter, "start": one["value"], "end": other["value"]}
                )
    return found


def _differ(entry: EquipmentSettings, name: str, before: Mapping[str, Any], after: Any) -> bool:
    value = before["value"]
    if value is None or after is None:
        return value is not after and bool(before["settable"])
    parameter = make_driver(entry, Path()).parameter(name)
    if before["settable"] or parameter.kind in ("switch", "choice", "text"):
        return not parameter.holds(value, after)
    return False
