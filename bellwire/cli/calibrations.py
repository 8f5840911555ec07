"""`bellwire calibrations`: what procedures have found out about the links of a lab, and what of it holds.

Owns the command and its document. Refuses tables (calibration_tables.py), pictures (calibration's
history_plot.py) and procedures (`bellwire calibrate`).
"""

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab, near
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.calibration.records import CalibrationRecord
    from bellwire.calibration.store import CalibrationStore
    from bellwire.labs import Lab

HISTORY_MAX = 50
"""Records of a procedure that a history shows; a picture has all."""

BEGUN = ".begun"
"""End of the id of a record that says that a run has begun; it says nothing once the run has ended."""


def calibrations(
    lab: LabArgument,
    link: Annotated[
        str | None, typer.Argument(metavar="[LINK]", help="Link of the lab; default: all.")
    ] = None,
    procedure: Annotated[
        str | None, typer.Argument(metavar="[PROCEDURE]", help="Default: all that the link has had.")
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="Every run, the newest first.")] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Draw the history of LINK and PROCEDURE."),
    ] = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Show the calibrations of a lab: values, uncertainty, limits, age, and how long they hold."""
    from bellwire.calibration.store import store_in
    from bellwire.cli import calibration_tables
    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab))
    store = store_in(state)
    if plot is not None and (link is None or procedure is None):
        raise ConfigError(
            f"a picture shows one procedure of one link: bellwire calibrations {lab} LINK PROCEDURE"
        )
    if link is not None and link not in loaded.network.links:
        raise ConfigError(f'no link is called "{link}"{nearest(link, loaded.network.links)}', where=lab)
    links = list(loaded.network.links) if link is None else [link]
    now_ns = time.time_ns()
    document = {
        "lab": loaded.name,
        "store": str(store.folder),
        "now_ns": now_ns,
        "links": {name: described(loaded, store, name, procedure, now_ns, history=history) for name in links},
    }
    left_out = 0
    if plot is not None and link is not None and procedure is not None:
        left_out = _draw(store, link, procedure, plot, now_ns)
    if as_json:
        typer.echo(json.dumps(finite(document), allow_nan=False))
    else:
        calibration_tables.show_document(document)
        if plot is not None:
            typer.echo(f"written: {near(plot)}")
    if left_out:
        typer.echo(f"{left_out} quantities had no room in the picture; the table has them all", err=True)


def described(
    lab: "Lab", store: "CalibrationStore", link: str, only: str | None, now_ns: int, *, history: bool
) -> dict[str, Any]:
    """A link with its standing and its procedures, those that it must have first.

    Raises:
        ConfigError: `only` is a procedure that the link neither must have nor ever had.
    """
    from bellwire.calibration.standing import standing
    from bellwire.labs.calibrated import required_calibrations

    required = required_calibrations(lab, link)
    found = standing(link, store.decisive(link), required, now_ns)
    procedures = list(dict.fromkeys((*required, *store.procedures(link))))
    if only is not None and only not in procedures:
        raise ConfigError(f'{link} has had no calibration "{only}"{nearest(only, procedures)}')
    return {
        "ready": found.ready,
        "reasons": list(found.reasons),
        "due_in_s": None if found.next_due_ns is None else (found.next_due_ns - now_ns) / 1e9,
        "required": list(required),
        "procedures": {
            name: _procedure(store, link, name, now_ns, history=history)
            for name in procedures
            if only in (None, name)
        },
    }


def _procedure(
    store: "CalibrationStore", link: str, procedure: str, now_ns: int, *, history: bool
) -> dict[str, Any]:
    """`decides`: the newest run that measured; `latest`: the newest of all; None where there is none. With
    `history` all records, the newest first."""
    from bellwire.calibration.standing import measured

    decides = measured(one for one in store.decisive(link) if one.procedure == procedure)
    latest = store.latest(link, procedure)
    told: dict[str, Any] = {
        "decides": None if decides is None else as_told(decides, decides, now_ns),
        "latest": None if latest is None else as_told(latest, decides, now_ns),
    }
    if history:
        records = ended(store.history(link, procedure))
        told["history"] = [as_told(one, decides, now_ns) for one in records[:HISTORY_MAX]]
        told["older"] = max(0, len(records) - HISTORY_MAX)
    return told


def ended(records: "tuple[CalibrationRecord, ...]") -> "tuple[CalibrationRecord, ...]":
    """Without the word that a run had begun, where another says how it ended."""
    known = {record.record_id for record in records}
    return tuple(
        record
        for record in records
        if not (record.record_id.endswith(BEGUN) and record.record_id.removesuffix(BEGUN) in known)
    )


def as_told(record: "CalibrationRecord", decides: "CalibrationRecord | None", now_ns: int) -> dict[str, Any]:
    """A record ready for JSON, with its age, how long it holds (None: for ever, or it never did) and its
    state: of the one that decides, in force, out of date or out of limits; of others, replaced, failed or
    aborted."""
    import msgspec

    from bellwire.calibration.records import Outcome
    from bellwire.calibration.standing import expires_ns

    passed = record.outcome is Outcome.PASSED
    holds = passed and math.isfinite(record.valid_for_s)
    if decides is None or decides.record_id != record.record_id:
        state = "replaced" if passed else record.outcome.value
    elif passed:
        state = "in force" if record.in_date(now_ns) else "out of date"
    else:
        state = "out of limits"
    told: dict[str, Any] = msgspec.to_builtins(record)
    for one, check in zip(told["checks"], record.checks, strict=True):
        one["passed"] = check.passed
    return told | {
        "state": state,
        "age_s": (now_ns - record.ended_ns) / 1e9,
        "left_s": (expires_ns(record) - now_ns) / 1e9 if holds else None,
    }


def finite(value: Any) -> Any:
    """The same without numbers that JSON lacks; they become null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: finite(one) for key, one in value.items()}
        case list() | tuple():
            return [finite(one) for one in value]
        case _:
            return value


def _draw(store: "CalibrationStore", link: str, procedure: str, path: Path, now_ns: int) -> int:
    from bellwire.calibration.history_plot import draw_history

    records = ended(store.history(link, procedure))
    return draw_history(tuple(reversed(records)), path, now_ns)
