"""Stored calibrations of a lab as they reach a run: figures frozen at its start, standings as they are now.

Owns where the store lies and who is told when it cannot be read. Refuses what figures and standings mean
(bellwire.labs.calibrated, bellwire.calibration). Every process of a lab comes through here, so nothing of the
command line is loaded.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bellwire.core.errors import DeviceFault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bellwire.core.ids import NodeId
    from bellwire.labs import Lab
    from bellwire.runtime.calibration_watch import StandingReader
    from bellwire.runtime.equipment import AppliedSettings
    from bellwire.runtime.in_force import InForce
    from bellwire.runtime.lab_words import CompositeEntry, EquipmentEntry


def with_stored_calibrations(lab: "Lab", state: Path) -> "Lab":
    """The lab as last measured, by the store of its state folder; a store that cannot be read is told.

    Raises:
        ConfigError: the store was written by a newer bellwire.
    """
    from bellwire.calibration.store import store_in
    from bellwire.labs.calibrated import with_calibrations

    try:
        lab = with_calibrations(lab, store_in(state), time.time_ns())
    except DeviceFault as fault:
        sys.stderr.write(f"{fault}; links are taken to be as the lab file says\n")
        return lab
    return _with_stored_settings(lab, state)


def _with_stored_settings(lab: "Lab", state: Path) -> "Lab":
    """The lab with its instruments as calibrations left them, now and not as of the start of the run."""
    from bellwire.calibration.store import store_in
    from bellwire.labs.calibrated_settings import with_applied_settings

    try:
        return with_applied_settings(lab, store_in(state), time.time_ns())
    except DeviceFault as fault:
        sys.stderr.write(f"{fault}; instruments are set as the lab file says\n")
        return lab


def lab_of_run(lab: "Lab", state: Path, run: Path | None) -> "Lab":
    """The lab with the figures that the run's configuration froze, as all of its agents have them; of a run
    that is none yet, with those of the store."""
    import json

    from bellwire.labs.calibrated import as_frozen
    from bellwire.runtime.runs import CONFIGURATION

    if run is None or not (frozen := run / CONFIGURATION).is_file():
        return with_stored_calibrations(lab, state)
    document = json.loads(frozen.read_text(encoding="utf-8"))["document"]
    return _with_stored_settings(as_frozen(lab, document, where=str(frozen)), state)


def lab_of_process(path: Path, state: Path, run: Path) -> "Lab":
    """The lab as one process of a run obeys it: what is in force there, and otherwise what the file says."""
    from bellwire.labs import load_lab
    from bellwire.runtime.in_force import in_force

    frozen = in_force(run)
    if frozen is None:
        return lab_of_run(load_lab(path, live=True), state, run)
    return _with_stored_settings(obeyed(frozen), state)


def obeyed(frozen: "InForce") -> "Lab":
    """The lab of a configuration that is in force."""
    from bellwire.labs import lab_from_document

    return lab_from_document(frozen.document, path=frozen.path, live=True)


def applied_settings(lab: "Lab", name: "NodeId", state: Path) -> "AppliedSettings":
    """What calibrations in force have set of a machine's equipment, as of whenever it is asked.

    The store must lie where the machine's agent can read it.
    """

    def applied() -> "tuple[Sequence[EquipmentEntry], Sequence[CompositeEntry]]":
        now = _with_stored_settings(lab, state)
        return (
            [one for one in now.equipment if one.owner == name],
            [one for one in now.composites if one.owner == name],
        )

    return applied


def station_standing(lab: "Lab", name: "NodeId", state: Path) -> "StandingReader | None":
    """Of the link that a station serves; None: it is no station, or its link must have no calibration."""
    from bellwire.calibration.store import store_in
    from bellwire.calibration.stored_standing import StoredStanding
    from bellwire.labs.calibrated import required_calibrations

    for link in lab.network.links.values():
        if link.station == name and (required := required_calibrations(lab, link.link)):
            return StoredStanding(store_in(state), link.link, required)
    return None
