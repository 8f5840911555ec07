"""`bellwire evaluate`: the paper's figures on the machines of this system, and what becomes of its claims.

Owns the command. Refuses experiments, statistics and wording (bellwire.study).
"""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.exits import UNSUCCESSFUL
from bellwire.cli.places import JsonOption, near
from bellwire.cli.study_work import DaskOption, OutOption, WorkersOption, told, working
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.study.evaluation_claims import Verdict

OUT = Path("bellwire_evaluation")


def evaluate(
    experiment: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT", help="default, near, far, fig6 to fig9, predistribution, chains or all."
        ),
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Minutes: ends of the axes, few networks.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Hours: as the paper; the default.")] = False,
    policies: Annotated[
        str, typer.Option("--policies", metavar="A,B", help="Only these; default: every policy.")
    ] = "",
    networks: Annotated[
        int | None, typer.Option("--seeds", metavar="N", help="Networks of every data point.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="Virtual time of every run.")
    ] = None,
    workers: WorkersOption = None,
    dask: DaskOption = None,
    out: OutOption = OUT,
    as_json: JsonOption = False,
) -> None:
    """Compare swapping policies on the paper's networks: table, figures, and a verdict on every claim.

    What is finished stays in the folder: the same command goes on where it was interrupted.
    """
    if quick and full:
        raise ConfigError("--quick and --full are two efforts: give one of them")
    with working(workers, dask) as carried_out_by:
        from bellwire.study import experiments
        from bellwire.study.evaluation import evaluate as run
        from bellwire.study.evaluation import write_table
        from bellwire.study.evaluation_claims import verdicts
        from bellwire.study.evaluation_policies import policies_named
        from bellwire.study.figures import draw
        from bellwire.study.report import report

        effort = experiments.with_overrides(
            experiments.QUICK if quick else experiments.FULL, networks, seconds
        )
        wanted = experiments.experiments_named(experiment, effort)
        compared = policies_named([name for name in policies.split(",") if name])
        with told() as tell:
            seen = run(wanted, compared, effort, carried_out_by, out, tell)
    write_table(seen.rows, out / "runs.parquet")
    pictures = {one.name: f"{one.name}.png" for one in wanted}
    for one in wanted:
        draw(seen, one, out / pictures[one.name])
    decided = verdicts(seen)
    document = report(seen, decided, shlex.join(["bellwire", *sys.argv[1:]]), pictures)
    (out / "report.md").write_text(document, encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(_as_json(out, len(seen.rows), decided)))
    else:
        _show(out, decided)
    if any(verdict.outcome == "fail" for verdict in decided):
        raise typer.Exit(UNSUCCESSFUL)


def _as_json(out: Path, runs: int, decided: "list[Verdict]") -> dict[str, object]:
    from dataclasses import asdict

    return {"out": str(out), "runs": runs, "verdicts": [asdict(verdict) for verdict in decided]}


def _show(out: Path, decided: "list[Verdict]") -> None:
    from bellwire.cli import show
    from bellwire.study.report import shown

    show.write(
        show.table(
            "Claims",
            ["verdict", "wanted", "found [95 %]", "claim"],
            [[one.outcome, one.wanted, shown(one.found), one.claim] for one in decided],
        ),
        f"written: {near(out / 'report.md')}, runs.parquet and figures beside it",
    )
