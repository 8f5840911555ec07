"""`bellwire`: the command line of the operating software.

Owns the list of commands. Refuses bodies (one file per group of commands) and every import that `--help` does
not need.
"""

from typing import Annotated

import typer

from bellwire import __version__
from bellwire.cli import app as app_programs
from bellwire.cli import (
    asking,
    backups,
    calibrate,
    calibrations,
    check,
    config,
    create,
    demand,
    device,
    discover,
    doctor,
    evaluate,
    experiment,
    fault,
    keys,
    links,
    live,
    merged_logs,
    ping,
    plan,
    plugins,
    processes,
    reference,
    replay,
    restart,
    schedule,
    serve,
    simulate,
    soak,
    status,
    sweep,
    tags,
    tokens,
    topology,
    trace,
    track,
    tune,
    units,
)
from bellwire.cli.exits import Commands
from bellwire.cli.plan_help import SectionedCommand

app = typer.Typer(
    name="bellwire",
    cls=Commands,
    help="Operating software for quantum networks: the lab, the emulated lab and virtual time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, which would double the time to answer
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command()(live.demo)
app.command()(live.up)
app.command()(status.status)
app.command()(restart.restart)
app.command()(processes.node)
app.command()(processes.emulate)
app.command()(asking.request)
app.command()(asking.replan)
app.command()(asking.suspend)
app.command()(asking.resume)
app.command()(asking.cancel)
app.command()(create.create)
app.command()(check.check)
app.command()(doctor.doctor)
app.command()(device.device)
app.command()(discover.discover)
app.command()(fault.fault)
app.command()(links.links)
app.command()(ping.ping)
app.command()(topology.topology)
app.command()(topology.leave)
app.command()(schedule.schedule)
app.command()(calibrate.calibrate)
app.command()(track.track)
app.command()(calibrations.calibrations)
app.add_typer(tags.app, name="tags")
app.add_typer(app_programs.app, name="app")
app.command(cls=SectionedCommand)(plan.plan)
app.command()(simulate.simulate)
app.command()(tune.tune)
app.command()(demand.demand)
app.command()(evaluate.evaluate)
app.command()(soak.soak)
app.command()(sweep.sweep)
app.command()(experiment.experiment)
app.command()(units.units)
app.command()(replay.replay)
app.command()(trace.trace)
app.command()(merged_logs.logs)
app.command()(reference.schema)
app.command()(reference.drivers)
app.command()(plugins.plugins)
app.command()(backups.backup)
app.command()(backups.restore)
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.command()(serve.serve)
app.add_typer(tokens.app, name="tokens")
