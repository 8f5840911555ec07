"""`bellwire doctor LAB`: what is wrong with a lab, how that is known, and the command that helps.

Owns the command and the order of the looks. Refuses to change anything: it reads, asks and tries nothing that
an instrument or an agent would notice. The looks are in doctor_*.py.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab

if TYPE_CHECKING:
    from bellwire.cli.doctor_words import Finding, Limits


def doctor(
    lab: LabArgument,
    state: StateOption = STATE,
    disk_free_gib: Annotated[
        float, typer.Option("--disk-free-gib", min=0.0, help="Less free space than this is a warning.")
    ] = 1.0,
    runs_gib: Annotated[
        float, typer.Option("--runs-gib", min=0.0, help="More recorded runs than this is a warning.")
    ] = 20.0,
    look_s: Annotated[
        float, typer.Option("--look", metavar="S", min=0.0, max=60.0, help="Longest wait for heralds.")
    ] = 3.0,
    as_json: JsonOption = False,
) -> None:
    """Find what is wrong with a lab and say what to do. Exit code 1 only when there are errors."""
    from bellwire.cli.doctor_words import GIB, Limits

    limits = Limits(round(disk_free_gib * GIB), round(runs_gib * GIB), look_s)
    findings = examined(lab, state, limits)
    errors = sum(one.severity == "error" for one in findings)
    if as_json:
        told = [one.told() for one in findings]
        typer.echo(json.dumps({"lab": lab, "state": str(state), "errors": errors, "findings": told}))
    else:
        for one in findings:
            typer.echo(f"{one.severity.upper():<8} {one.what}")
            typer.echo(f"         known by: {one.known_by}")
            typer.echo(f"         do:       {one.remedy}")
        typer.echo(f"{errors} errors, {len(findings) - errors} other findings")
    if errors:
        raise typer.Exit(UNSUCCESSFUL)


def examined(lab: str, state: Path, limits: "Limits") -> "list[Finding]":
    """All findings, the worst first. Raises ConfigError when there is no such lab at all."""
    import asyncio

    from bellwire.cli.doctor_agents import look_at_agents
    from bellwire.cli.doctor_lab import look_at_calibrations, look_at_clock, look_at_ports, look_at_software
    from bellwire.cli.doctor_state import look_at_keys, look_at_state
    from bellwire.cli.doctor_words import SEVERITIES, Finding
    from bellwire.core.errors import ConfigError
    from bellwire.labs import LabProblems, load_lab

    path = find_lab(lab)
    findings: list[Finding] = [*look_at_software(), *look_at_state(lab, state, limits)]
    try:
        loaded = load_lab(path, live=True)
    except LabProblems as problems:
        remedy = f"edit {path} there, then: bellwire check {lab}"
        findings += [Finding("error", line, "reading the lab file", remedy) for line in problems.lines]
    except ConfigError as problem:
        remedy = f"edit {path}, then: bellwire check {lab}"
        findings.append(Finding("error", str(problem), "reading the lab file", remedy))
    else:
        answers, of_agents = asyncio.run(look_at_agents(lab, loaded, state, limits))
        findings += of_agents
        findings += look_at_keys(lab, loaded, state)
        findings += look_at_ports(loaded, {name for name, one in answers.items() if one is not None})
        findings += look_at_calibrations(lab, loaded, state)
        findings += look_at_clock(loaded)
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))
