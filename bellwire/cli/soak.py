"""`bellwire soak`: whole networks under planned faults, thousands of seeds, and bugs that must be noticed.

Owns the command. Refuses histories, rules and mutants (bellwire.soak).
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.api.extras import study_extra
from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL
from bellwire.cli.places import JsonOption, near
from bellwire.cli.study_work import WorkersOption, told
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.soak.histories import Case


def soak(
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="How many histories.")] = 100,
    first: Annotated[int, typer.Option("--first", metavar="SEED", min=0, help="Seed of the first one.")] = 0,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="Kinds of faults: all, messages, partitions, crashes, clocks, devices or calm.",
        ),
    ] = "all",
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", min=0.01, help="Watched time of each history.")
    ] = 10.0,
    faults: Annotated[
        str,
        typer.Option(
            "--faults", metavar="I,J|none", help="Only these of the faults that the seed draws, from 0 on."
        ),
    ] = "",
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Plant one-line bugs; each must break a rule.")
    ] = False,
    workers: WorkersOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the result there too, as JSON.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run networks of 3 to 12 nodes in virtual time while messages are lost, nodes die and clocks jump.

    Rules are checked after every step and at the end. A failure is made as small as it gets, and told with
    the command that plays it again. Ctrl-C ends the run with what has been played by then.
    """
    from bellwire.core.registry import lookup
    from bellwire.soak.faults import PROFILES

    lookup("profile of --profile", profile, PROFILES)
    if out is not None and not out.parent.is_dir():  # said now, and not after an hour
        raise ConfigError("there is no such folder for --out", where=str(out.parent))
    number = os.cpu_count() or 1 if workers is None else workers
    result = _plant(number) if mutants else _run(_cases(first, seeds, profile, seconds, faults), number)
    if out is not None:
        from bellwire.soak.results import mutants_table, soak_table

        table = mutants_table(result) if mutants else soak_table(result)
        out.write_text(json.dumps(table | result, indent=1) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(result))
    elif mutants:
        _show_mutants(result, out)
    else:
        _show(result, out)
    if result["violations"] or result.get("played_differently"):
        raise typer.Exit(UNSUCCESSFUL)
    if result.get("interrupted"):
        raise typer.Exit(INTERRUPTED)


def _cases(first: int, seeds: int, profile: str, seconds: float, faults: str) -> "list[Case]":
    from bellwire.soak.running import cases_of
    from bellwire.soak.shrinking import with_faults

    numbers: tuple[int, ...] | None = None
    if not faults:
        pass
    elif faults == "none":
        numbers = ()
    else:
        try:
            numbers = tuple(int(one) for one in faults.split(","))
        except ValueError:
            raise ConfigError(f'--faults are numbers from 0 on, or none, not "{faults}"') from None
    return [with_faults(case, numbers) for case in cases_of(first, seeds, profile, seconds)]


def _run(cases: "list[Case]", workers: int) -> dict[str, Any]:
    from bellwire.soak.running import soak as run

    with study_extra(), told() as tell:
        from bellwire.study.evaluation_running import Progress

        tell("histories", Progress(done=0, total=len(cases), kept=0))
        return run(
            cases,
            workers,
            lambda done: tell("histories", Progress(done=done, total=len(cases), kept=0)),
            lambda failed: typer.echo(f"seed {failed.seed} breaks a rule: {failed.rule}", err=True),
        )


def _plant(workers: int) -> dict[str, Any]:
    from bellwire.soak.mutants import MUTANTS, plant_all

    with study_extra(), told() as tell:
        from bellwire.study.evaluation_running import Progress

        total = len(MUTANTS)
        tell("mutants", Progress(done=0, total=total, kept=0))
        return plant_all(workers, lambda done: tell("mutants", Progress(done=done, total=total, kept=0)))


def _show(result: dict[str, Any], out: Path | None) -> None:
    from bellwire.cli import show

    rows = [
        [
            "histories",
            f"{result['seeds']} of {result['profile']}, from seed {result['first_seed']} on"
            + (", then interrupted" if result["interrupted"] else ""),
        ],
        ["simulated", f"{result['simulated_s']:g} s in {result['wall_s']:g} s, {result['workers']} at work"],
        ["steps checked", str(result["counts"].get("steps", 0))],
        ["pairs delivered", f"{result['pairs_delivered']}; none in {result['seeds_without_pairs']}"],
        ["requests ended", ", ".join(f"{n} {what}" for what, n in result["requests_ended"].items())],
        ["faults fired", f"none in {result['seeds_without_faults']}"],
        *[[f"  {name}", str(number)] for name, number in result["faults_fired"].items()],
        ["convergences checked", str(result["counts"].get("convergences checked", 0))],
        [
            "nothing left at the end",
            f"in {result['counts'].get('ends at rest', 0)}; the others were filling stores",
        ],
        ["played again", f"{result['played_again']}, otherwise: {result['played_differently'] or 'none'}"],
        ["violations", str(result["violations"])],
    ]
    show.write(show.table("Soak", ["what", "found"], rows))
    for failure in result["failures"]:
        typer.echo(f"\nseed {failure['seed']}: {failure['problem']}", err=True)
        for fault in failure["faults"]:
            typer.echo(f"  {fault}", err=True)
        typer.echo(f"replay: {failure['replay']}", err=True)
    if out is not None:
        typer.echo(f"written: {near(out)}")


def _show_mutants(result: dict[str, Any], out: Path | None) -> None:
    from bellwire.cli import show

    rows = [
        [one["room"], one["mutant"], one["rule"] or "NOT NOTICED", str(one["histories"])]
        for one in result["mutants"]
    ]
    show.write(
        show.table("Planted faults", ["room", "fault", "noticed by", "histories"], rows),
        f"{len(rows) - result['violations']} of {len(rows)} noticed in {result['wall_s']:g} s",
    )
    if out is not None:
        typer.echo(f"written: {near(out)}")
