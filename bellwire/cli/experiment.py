"""`bellwire experiment`: scan a setting of a lab, measure rate and fidelity at each point, keep everything.

Owns the command, its sentences and its exit codes. Refuses keys, runs, instruments and figures
(bellwire.study): what ends is told here, also after an interruption or an error.
"""

import getpass
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from bellwire.api.extras import study_extra
from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab, near
from bellwire.core.errors import ConfigError, DeviceFault
from bellwire.core.registry import lookup

if TYPE_CHECKING:
    from bellwire.study.lab_experiments import LabExperiment, Planned, Row
    from bellwire.study.lab_experiments_figures import Figure, PointSummary
    from bellwire.study.lab_experiments_kept import ExperimentFolder
    from bellwire.study.lab_experiments_running import Outcome

FOLDER: Final = Path("bellwire_experiments")
SWAPS: Final[dict[str, tuple[bool, ...]]] = {
    "on": (True,),
    "off": (False,),
    "on,off": (True, False),
    "off,on": (True, False),
}


def experiment(
    lab: LabArgument,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=A,B",
            help="Values of a lab-file key, or of device:OWNER-NAME.PARAMETER.",
        ),
    ] = None,
    repetitions: Annotated[int, typer.Option("--repetitions", metavar="N", help="Of each point.")] = 5,
    swap: Annotated[
        str, typer.Option("--swap", metavar="on|off|on,off", help="End to end, or each link by itself.")
    ] = "on",
    pairs: Annotated[
        int | None, typer.Option("--pairs", metavar="N", help="Of each repetition; default: as the request.")
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option("--duration", metavar="SECONDS", help="Of each repetition instead.")
    ] = None,
    mode: Annotated[
        Literal["virtual", "emulated", "live"],
        typer.Option("--mode", help="Virtual time, emulated instruments, or a lab that is up."),
    ] = "virtual",
    request: Annotated[
        str | None, typer.Option("--request", metavar="ID", help="Of the lab file; default: its first.")
    ] = None,
    random_order: Annotated[
        bool, typer.Option("--random-order", help="Shuffle settings by the seed.")
    ] = False,
    settle_s: Annotated[
        float, typer.Option("--settle", metavar="SECONDS", help="Wait after an instrument was set.")
    ] = 0.2,
    seed: Annotated[int | None, typer.Option("--seed", help="Default: the lab file's.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, help="Processes for virtual time; default: processors."
        ),
    ] = None,
    operator: Annotated[
        str | None, typer.Option("--operator", metavar="NAME", help="Default: who is logged in.")
    ] = None,
    state: StateOption = STATE,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Default: one below bellwire_experiments."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Scan a setting of a lab and measure rate and fidelity: table, picture, JSON, and all runs kept.

    The same command goes on where it was interrupted, and takes more repetitions and values in.
    """
    swaps = lookup("--swap", swap.replace(" ", ""), SWAPS)
    with study_extra():
        from bellwire.study.lab_experiments_kept import ExperimentFolder
        from bellwire.study.lab_experiments_plan import Asked, plan_experiment
        from bellwire.study.lab_experiments_running import Outcome

        asked = Asked(
            settings=settings or [],
            mode=mode,
            swaps=swaps,
            repetitions=repetitions,
            pairs=pairs,
            duration_s=duration_s,
            request=request,
            seed=seed,
            settle_s=settle_s,
            random_order=random_order,
        )
        planned = plan_experiment(find_lab(lab), asked)
    place = FOLDER / f"{planned.lab.name}-{planned.identity[:8]}" if out is None else out
    with ExitStack() as closing:
        closing.callback(_lock(place).release)
        folder = ExperimentFolder(planned, place, operator or _logged_in(), sys.argv[1:])
        outcome = Outcome()
        _tell(_beginning(folder))
        failure: ConfigError | DeviceFault | None = None
        try:
            _run(planned, folder, outcome, state, workers)
        except (ConfigError, DeviceFault) as problem:
            failure = problem  # what was measured is written first
        document, summaries = _write(planned, folder, outcome)
    if as_json:
        typer.echo(json.dumps(document))
    else:
        _show(planned, summaries, folder, outcome)
    _end(planned, summaries, folder, outcome, failure)


def _run(
    planned: "LabExperiment",
    folder: "ExperimentFolder",
    outcome: "Outcome",
    state: Path,
    workers: int | None,
) -> None:
    from bellwire.cli.logs import logs_on_stderr
    from bellwire.study.lab_experiments_running import run_experiment

    with logs_on_stderr(), _progress(folder) as done:
        run_experiment(
            planned,
            folder,
            outcome,
            state=state,
            workers=workers or os.cpu_count() or 1,
            tell=_tell,
            done=done,
        )


def _write(
    planned: "LabExperiment", folder: "ExperimentFolder", outcome: "Outcome"
) -> "tuple[dict[str, Any], list[PointSummary]]":
    from bellwire.study.lab_experiments_figures import summarise
    from bellwire.study.lab_experiments_kept import PICTURE
    from bellwire.study.lab_experiments_picture import draw_experiment

    summaries = summarise(planned, folder.ordered_rows())
    if summaries:
        left_out = draw_experiment(planned, summaries, folder.path / PICTURE)
        if left_out:
            _tell(f"{left_out} lines had no room in the picture; the table has them all")
    return folder.close(outcome.interrupted, summaries), summaries


def _end(
    planned: "LabExperiment",
    summaries: "list[PointSummary]",
    folder: "ExperimentFolder",
    outcome: "Outcome",
    failure: ConfigError | DeviceFault | None,
) -> None:
    """The bad news on stderr, and the exit code that goes with the worst of it."""
    bad = [f"{_said(planned, one)}{one.target}: {error}" for one in summaries for error in one.errors]
    bad += [
        f"{_said(planned, one)}{one.target}: {one.frame_errors} pairs had a wrong frame"
        for one in summaries
        if one.frame_errors
    ]
    lost = [one for one in outcome.restored if not one.confirmed]
    bad += [
        f"NOT RESTORED: {one.key} was {one.before} and is {one.found} ({one.problem or 'by read-back'})"
        for one in lost
    ]
    for line in bad:
        _tell(line)
    if failure is not None:
        _tell(f"{len(folder.rows)} of {folder.total} repetitions are kept")
        raise failure
    if lost:
        raise typer.Exit(UNSUCCESSFUL)
    if outcome.interrupted:
        kept = f"{len(folder.rows)} of {folder.total} repetitions are kept"
        _tell(f"interrupted: {kept}; the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if bad:
        raise typer.Exit(UNSUCCESSFUL)


# ---- for people


def _show(
    planned: "LabExperiment", summaries: "list[PointSummary]", folder: "ExperimentFolder", outcome: "Outcome"
) -> None:
    from bellwire.cli import show

    known = any(one.fidelity_true is not None for one in summaries)
    columns = [*short_keys(planned.keys), "measured", "pairs", "pairs/s [95 %]", "± arrivals", "± scatter"]
    columns += ["planned/s", "fidelity [95 %]", *(["true [95 %]"] if known else []), "first s"]
    rows: list[list[show.Cell]] = [
        [
            *map(str, one.values),
            one.target,
            one.pairs,
            _shown(one.rate_hz),
            None if one.rate_hz is None else one.rate_hz.error_within,
            None if one.rate_hz is None else one.rate_hz.error_between,
            one.predicted_rate_hz,
            _fidelity(one.fidelity),
            *([_fidelity(one.fidelity_true)] if known else []),
            None if one.first_pair_s is None else one.first_pair_s.value,
        ]
        for one in summaries
    ]
    scanned = f", over {', '.join(planned.keys)}" if planned.keys else ""
    title = f"{planned.lab.name}, {planned.mode}, request {planned.request_id}{scanned}"
    if rows:
        show.write(show.table(title, columns, rows), f"{_interval_words(summaries)}; {ERRORS_SAY}")
    for one in outcome.restored:
        if one.confirmed:
            typer.echo(f"restored: {one.key} = {one.found}, as before")
    for change in outcome.changed:
        typer.echo(
            f"changed meanwhile: {change['instrument']} {change['what']} was {change['start']}, "
            f"is {change['end']}"
        )
    typer.echo(f"written: {near(folder.path / 'experiment.json')}, runs.parquet and experiment.png beside it")


def short_keys(keys: Sequence[str]) -> list[str]:
    """Last steps of each key, as few as tell it from all others."""
    found: list[str] = []
    for key in keys:
        steps = key.removeprefix("device:").split(".")
        others = [one.removeprefix("device:").split(".") for one in keys if one != key]
        length = next(
            (
                length
                for length in range(1, len(steps))
                if not steps[-length].isdigit() and all(one[-length:] != steps[-length:] for one in others)
            ),
            len(steps),
        )
        found.append(".".join(steps[-length:]))
    return found


def _shown(figure: "Figure | None") -> str:
    if figure is None:
        return "-"
    digits = 0 if figure.value >= 1000 else 1 if figure.value >= 100 else 2 if figure.value >= 1 else 4
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f} [{figure.low:.{digits}f}, {figure.high:.{digits}f}]"


def _fidelity(figure: "Figure | None") -> str:
    """Three digits with the interval; four without one that they could not show."""
    if figure is None:
        return "-"
    if figure.low is None or figure.high is None or figure.high - figure.low < FIDELITY_STEP:
        return f"{figure.value:.4f}"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


FIDELITY_STEP: Final = 1e-3

BASES: Final = {
    "repetitions": "a bootstrap over repetitions",
    "arrivals": "the arrivals (fewer than 5 repetitions)",
    "counts": "the Poisson law of few counts",
}


ERRORS_SAY: Final = "± are standard errors, from uneven arrivals and from the scatter of repetitions"


def _interval_words(summaries: "list[PointSummary]") -> str:
    """What the intervals of the rates rest on."""
    found = dict.fromkeys(
        one.rate_hz.interval_from
        for one in summaries
        if one.rate_hz is not None and one.rate_hz.interval_from
    )
    return f"intervals of rates are from {' or '.join(BASES[one] for one in found if one in BASES)}"


def _said(planned: "LabExperiment", one: "PointSummary") -> str:
    said = ", ".join(f"{key}={value}" for key, value in zip(planned.keys, one.values, strict=True))
    return f"{said}, " if said else ""


def _beginning(folder: "ExperimentFolder") -> str:
    kept = f", of which {folder.kept} were there" if folder.kept else ""
    others = f"; {folder.others} of other values or other sources do not count" if folder.others else ""
    return f"repetitions: {folder.total}{kept}{others}"


def _tell(line: str) -> None:
    typer.echo(line, err=True)


@contextmanager
def _progress(folder: "ExperimentFolder") -> "Iterator[Any]":
    """Called after each repetition: a line with what it found, on a terminal."""
    finished = folder.kept

    def done(planned: "Planned", row: "Row") -> None:
        nonlocal finished
        finished += 1
        if sys.stderr.isatty():
            said = [
                f"{key}={value}"
                for key, value in zip(planned.measurement.keys, planned.measurement.values, strict=True)
            ]
            rate = "-" if row["rate_hz"] is None else f"{row['rate_hz']:.3g} pairs/s"
            _tell(
                f"{finished}/{folder.total} {' '.join([*said, row['target']])}: {row['pairs']} pairs, {rate}"
            )

    yield done


# ---- surroundings


def _lock(place: Path) -> Any:
    """One command per directory at a time."""
    from bellwire.runtime.store import AgentLock

    try:
        return AgentLock(place, "experiment")
    except OSError as problem:
        raise ConfigError(f"cannot keep results there: {problem.strerror}", where=str(place)) from None


def _logged_in() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return f"user {os.getuid()}"
