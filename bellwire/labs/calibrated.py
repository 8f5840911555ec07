"""A lab whose links are as they were last measured: figures of calibrations in the place of the file's.

Owns which figures are replaced, how much a planner and a link end trust them, and how they stand in the
configuration that a run freezes, so that every agent of the run, and its replay, has the same. Refuses to
look into the store again later: what a link learns after that it learns by itself.

A link with a choice of operating points keeps the figures of its file: a record does not say at which of them
it was measured.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from bellwire.calibration.records import Quantity
from bellwire.calibration.standing import QUALITY_PROCEDURES, Capabilities, capabilities
from bellwire.calibration.store import CalibrationStore
from bellwire.core.bell import Walsh, eigenvalues, from_walsh
from bellwire.core.errors import ConfigError
from bellwire.core.ids import LinkId
from bellwire.core.settings import LinkSettings
from bellwire.labs.lab import CALIBRATIONS, Lab
from bellwire.link_layer.estimation.beliefs import worth_of
from bellwire.planner.points import with_fidelity

SUCCESS_ERROR_MIN: Final = 0.03
"""Relative. However many counts it rests on, a calibration was made at another hour."""

FIDELITY_ERROR_MIN: Final = 0.005
"""The same of a fidelity: as of some 1300 tests in each basis at F = 0.93."""


def with_calibrations(lab: Lab, store: CalibrationStore, now_ns: int) -> Lab:
    """The lab with the figures that are in force at a unix time; the same lab where none is.

    Raises:
        StoreFault: the store cannot be read.
        ConfigError: it was written by a newer bellwire.
    """
    found: dict[LinkId, Capabilities] = {}
    for name in lab.network.links:
        records = [store.in_force(name, procedure, now_ns) for procedure in QUALITY_PROCEDURES]
        found[name] = capabilities(record for record in records if record is not None)
    return _with_capabilities(lab, found)


def as_frozen(lab: Lab, document: Mapping[str, Any], *, where: str | None = None) -> Lab:
    """The lab with the figures that a run's configuration has; the same lab where it has none.

    Raises:
        ConfigError: they are not as `with_calibrations` writes them.
    """
    try:
        told = msgspec.convert(document.get(CALIBRATIONS, {}), dict[LinkId, Capabilities])
        return _with_capabilities(lab, told)
    except (KeyError, msgspec.ValidationError) as broken:
        problem = f"not a configuration of this version ({CALIBRATIONS}: {broken})"
        raise ConfigError(problem, where=where) from broken


def required_calibrations(lab: Lab, link: LinkId) -> tuple[str, ...]:
    """Procedures without which a link may not be used, by the lab file."""
    section = lab.document["links"][link].get("calibration") or {}
    return tuple(section.get("required", ()))


def _with_capabilities(lab: Lab, found: Mapping[LinkId, Capabilities]) -> Lab:
    used = {
        name: told
        for name, told in found.items()
        if told != Capabilities() and not lab.network.links[name].points
    }
    if not used:
        return lab
    links = {
        name: _calibrated(link, used[name]) if name in used else link
        for name, link in lab.network.links.items()
    }
    document = lab.document | {CALIBRATIONS: msgspec.to_builtins(used)}
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    return replace(
        lab,
        network=msgspec.structs.replace(lab.network, links=links),
        document=document,
        digest=hashlib.sha256(canonical).hexdigest(),
    )


def _calibrated(link: LinkSettings, told: Capabilities) -> LinkSettings:
    if told.success_probability is not None:
        link = _succeeding(link, told.success_probability)
    if told.fidelity is not None:
        link = _faithful(link, told.fidelity)
    return link


def _succeeding(link: LinkSettings, told: Quantity) -> LinkSettings:
    error = max(told.sigma, SUCCESS_ERROR_MIN * told.value)
    return msgspec.structs.replace(link, success_probability=told.value, success_error=error)


def _faithful(link: LinkSettings, told: Quantity) -> LinkSettings:
    """Errors keep the proportions that the file gives them; the estimation of the link ends begins with the
    tests that would give this uncertainty."""
    error = max(told.sigma, FIDELITY_ERROR_MIN)
    heralds = with_fidelity(link.heralds, told.value)
    states = [eigenvalues(from_walsh(Walsh(one.signs, one.cost))) for one in heralds]
    worth = sum(worth_of(values, error) for values in states) / len(states)
    return msgspec.structs.replace(
        link,
        heralds=heralds,
        fidelity_error=error,
        estimation=msgspec.structs.replace(link.estimation, table_worth=max(1, round(worth))),
    )
