"""`bellwire node`, `emulate`: one process of a lab, started by hand.

Owns the two commands. Refuses what they start: agents are the runtime's, emulators the simulator backend's.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.logs import logs_on_stderr
from bellwire.cli.places import STATE, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.labs import Lab

RunOption = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="Run directory; default: a new one below the state."),
]

MetricsOption = Annotated[
    str | None,
    typer.Option(
        "--metrics", metavar="HOST:PORT", help="Let Prometheus on this computer ask this agent there."
    ),
]


def node(
    lab: LabArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Node or station of the lab.")],
    state: StateOption = STATE,
    run: RunOption = None,
    metrics: MetricsOption = None,
) -> None:
    """Run the agent of one node on this computer."""
    import asyncio

    from bellwire.cli.calibrated_runs import applied_settings, lab_of_run, station_standing
    from bellwire.labs import load_lab
    from bellwire.runtime.node_process import run_agent

    loaded = lab_of_run(load_lab(find_lab(lab), live=True), state, run)
    if name not in loaded.network.nodes:
        raise ConfigError(f'unknown node "{name}"{nearest(name, loaded.network.nodes)}', where=lab)
    with logs_on_stderr():
        run_dir = run or _new_run(loaded, state)
        standing = station_standing(loaded, name, state)
        applied = applied_settings(loaded, name, state)
        code = asyncio.run(
            run_agent(loaded, name, state, run_dir, standing=standing, applied=applied, metrics=metrics)
        )
    if code:
        raise typer.Exit(code)


def emulate(lab: LabArgument, state: StateOption = STATE, run: RunOption = None) -> None:
    """Play the emulated instruments of a lab, where its agents, or any other program, look for them."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.control import socket_path
    from bellwire.runtime.equipment import device_path
    from bellwire.simulator_backend.emulation_process import run_emulation

    loaded = load_lab(find_lab(lab), live=True)
    run_dir = run or _new_run(loaded, state)
    socket = socket_path(state, "emulator")
    rows = [(f"{at.owner}-{at.role}", at.driver, at.address) for at in loaded.instruments if at.emulated]
    rows += [(one.full_name, one.driver, one.address) for one in loaded.equipment if one.emulated]
    for name, driver, address in rows:
        typer.echo(f"{name:<24} {driver:<24} {device_path(address, state / 'devices')}")
    with logs_on_stderr():
        asyncio.run(run_emulation(loaded, state / "devices", socket, run_dir / "truth.jsonl"))


def _new_run(lab: "Lab", state: Path) -> Path:
    from bellwire.runtime.runs import create_run

    return create_run(state / "runs", lab)
