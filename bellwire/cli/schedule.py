"""`bellwire schedule`: who may use which resource of a lab when, which requests have their rates, which not.

Owns the command, its document and its looks. Refuses to decide: the schedule is computed when the lab file is
read (labs/schedule.py).
"""

import json
from typing import TYPE_CHECKING, Any

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption, LabArgument, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bellwire.labs import Lab
    from bellwire.labs.schedule import NetworkSchedule

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
STRIP_SLOTS = 64
"""Slots in one line of a strip."""


def schedule(lab: LabArgument, as_json: JsonOption = False) -> None:
    """Show the network schedule of a lab: slots, guard times, inventory, who is admitted at which rate."""
    from bellwire.labs import load_lab

    loaded = load_lab(find_lab(lab))
    if loaded.schedule is None:
        raise ConfigError(
            "no section `schedule`: links share their time by their own schedulers; docs/scheduling.md says "
            "what to write",
            where=loaded.path,
        )
    document = document_of(loaded, loaded.schedule)
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _show(document)
    if any(not one["admitted"] for one in document["requests"]):
        raise typer.Exit(UNSUCCESSFUL)


def document_of(lab: "Lab", known: "NetworkSchedule") -> dict[str, Any]:
    """The whole schedule, ready for JSON. Times are within a cycle."""
    from bellwire.labs.schedule_rows import inventory_of, promised, rows_of
    from bellwire.planner.calendar.admission import Admitted
    from bellwire.planner.calendar.frames import slot_table

    frame, needs = known.schedule.frame, known.schedule.needs
    requests: list[dict[str, Any]] = []
    for name, wanted_hz in known.wanted_hz.items():
        decided = promised(known, name)
        admitted = isinstance(decided, Admitted)
        requests.append(
            {
                "request": name,
                "admitted": admitted,
                "wanted_hz": wanted_hz or None,
                "promised_hz": decided.rate_hz if isinstance(decided, Admitted) else None,
                "slots": {link: list(slots) for link, slots in decided.slots.items()}
                if isinstance(decided, Admitted)
                else {},
                "owner": known.owners[name],
                "reason": None if isinstance(decided, Admitted) else decided.reason,
            }
        )
    links: dict[str, Any] = {}
    for name, link in lab.network.links.items():
        need, calibrated = needs[name], known.schedule.calibrations.get(name, ())
        table = slot_table(frame, need, link.turns_granted or ())
        links[name] = {
            "owner": need.owner,
            "guard_ns": need.guard_ns,
            "least_ns": need.least_ns,
            "period_ns": need.period_ns,
            "slots": [
                {
                    "kind": "calibration" if slot in calibrated else "attempts" if holder else "idle",
                    "request": holder,
                }
                for slot, holder in enumerate(link.calendar)
            ],
            "table": {
                "starts_ns": table.starts_ns,
                "rows": [{"attempts": row.attempts, "gap_ns": row.gap_ns} for row in table.rows],
            },
        }
    return {
        "lab": lab.name,
        "digest": lab.digest,
        "owner": known.schedule.owner,
        "slot_ns": frame.slot_ns,
        "slots": frame.slots,
        "cycle_ns": frame.cycle_ns,
        "requests": requests,
        "links": links,
        "inventory": inventory_of(known, lab.network),
        "rows": rows_of(known),
    }


def _show(document: dict[str, Any]) -> None:
    from rich.text import Text

    from bellwire.cli import show

    cycle_ms, slot_ms = document["cycle_ns"] / 1e6, document["slot_ns"] / 1e6
    heading = f"{document['slots']} slots of {slot_ms:g} ms repeat every {cycle_ms:g} ms"
    parts: list[RenderableType] = [
        show.table(
            f"Requests of {document['lab']}",
            ["request", "admitted", "wanted /s", "promised /s", "decided by"],
            [
                [one["request"], one["admitted"], one["wanted_hz"], one["promised_hz"], one["owner"]]
                for one in document["requests"]
            ],
        ),
        show.table(
            "Inventory",
            ["resource", "count", "of a cycle", "held by"],
            [
                [one["resource"], one["count"], f"{one['taken']:.0%}", ", ".join(one["holders"]) or None]
                for one in document["inventory"]
            ],
        ),
        show.table(
            "Links",
            ["link", "guard us", "shortest window us", "period us", "decided by"],
            [
                [
                    name,
                    one["guard_ns"] / 1e3,
                    one["least_ns"] / 1e3,
                    one["period_ns"] / 1e3,
                    one["owner"],
                ]
                for name, one in document["links"].items()
            ],
        ),
    ]
    refused = [f"{one['request']}: {one['reason']}" for one in document["requests"] if not one["admitted"]]
    if refused:
        parts.insert(1, Text("\n".join(refused)))
    show.write(*parts, Text("\n".join((heading, *strips_of(document)))))


def strips_of(document: dict[str, Any]) -> list[str]:
    """A line for each link, a sign for each slot: letters are requests, # is calibration, . nobody."""
    admitted = [one["request"] for one in document["requests"] if one["admitted"]]
    signs = {name: LETTERS[index % len(LETTERS)] for index, name in enumerate(admitted)}
    width = max((len(name) for name in document["links"]), default=0)
    lines: list[str] = []
    for start in range(0, document["slots"], STRIP_SLOTS):
        for name, link in document["links"].items():
            slots = link["slots"][start : start + STRIP_SLOTS]
            drawn = "".join(
                "#" if slot["kind"] == "calibration" else signs.get(slot["request"], ".") for slot in slots
            )
            lines.append(f"{name:<{width}}  {drawn}")
    legend = ", ".join(f"{sign} {name}" for name, sign in signs.items())
    return [*lines, f"{legend}{', ' if legend else ''}# calibration, . nobody"]
