"""`bellwire up`, `demo`, `request`, `node`, `emulate`: labs on the wall clock, with real or emulated
instruments.

Owns the five commands. Refuses what they start: the supervisor, agents and emulators are the runtime's and
the simulator backend's.
"""

import json
import sys
from collections.abc import Callable, MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.cli.picture import LabPicture
    from bellwire.core.plans import EntanglementRequest
    from bellwire.labs import Lab
    from bellwire.runtime.supervisor import Supervisor

DEMO_LAB = "three_node_repeater"
POLL_S = 0.2

RunOption = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help="Run directory; default: a new one below the state."),
]


def demo(state: StateOption = STATE, as_json: JsonOption = False) -> None:
    """Run the three-node lab with emulated instruments until its request is served; replay it."""
    _run(DEMO_LAB, state, as_json, submit=True, to_the_end=True)


def up(
    lab: LabArgument,
    state: StateOption = STATE,
    submit: Annotated[bool, typer.Option(help="Submit the requests of the lab file.")] = True,
    once: Annotated[bool, typer.Option("--once", help="Stop when all requests have ended.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Start every process of a lab and show what it does, until Ctrl-C."""
    _run(lab, state, as_json, submit=submit, to_the_end=once)


def _run(name: str, state: Path, as_json: bool, *, submit: bool, to_the_end: bool) -> None:
    import asyncio

    from bellwire.cli.picture import LabPicture
    from bellwire.labs import load_lab
    from bellwire.runtime.store import AgentLock
    from bellwire.runtime.supervisor import run_lab

    _log_to_stderr()
    lab = load_lab(find_lab(name), live=True)
    picture = LabPicture(lab, lab.requests if submit else ())
    with ExitStack() as screen:
        # One lab per state directory: two supervisors would take each other's processes for their own.
        screen.callback(AgentLock(state / "agents", "supervisor").release)
        redraw = _live_table(screen, picture, as_json)

        def on_reports(reports: list[dict[str, Any]]) -> None:
            picture.take(reports)
            redraw()

        def on_ready(supervisor: "Supervisor") -> None:
            typer.echo(f"{lab.name} is up, recording to {supervisor.run_dir}", err=True)

        until = picture.ended if to_the_end else None
        run_dir = asyncio.run(
            run_lab(
                lab,
                state,
                submit_requests=submit,
                on_ready=on_ready,
                on_reports=on_reports,
                until=until,
                poll_s=POLL_S,
            )
        )
    picture.take_truth(run_dir / "truth.jsonl")
    interrupted = not (to_the_end and picture.ended())
    replayed = None if interrupted else _replayed(run_dir)
    if as_json:
        report = {"lab": lab.name, "run": str(run_dir), "requests": picture.rows(), "replay": replayed}
        typer.echo(json.dumps(report))
    else:
        _summary(picture, run_dir, replayed)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if not picture.good() or replayed is None or not replayed["same"]:
        raise typer.Exit(UNSUCCESSFUL)


def _log_to_stderr() -> None:
    """Log lines for people; stdout stays for the answer."""
    import structlog

    structlog.configure(
        processors=[
            _not_said_twice,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _not_said_twice(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops the log line of an error that ends the command, because the command's last line says the same."""
    import structlog

    if event.get("event") == "process_refused":
        raise structlog.DropEvent
    return event


def _live_table(screen: ExitStack, picture: "LabPicture", as_json: bool) -> Callable[[], None]:
    """Starts a table that redraws itself on a terminal; elsewhere there is nothing to redraw."""
    if as_json:
        return lambda: None
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not console.is_terminal:
        return lambda: None
    live = screen.enter_context(
        Live(picture.drawing(), console=console, refresh_per_second=5, transient=True)
    )
    return lambda: live.update(picture.drawing())


def _replayed(run_dir: Path) -> dict[str, Any]:
    from bellwire.cli.replay import replayed

    return replayed(run_dir)


def _summary(picture: "LabPicture", run_dir: Path, replayed: dict[str, Any] | None) -> None:
    from bellwire.cli import show

    show.write(show.request_table(picture.rows()))
    for name, seen in picture.requests.items():
        if seen.error:
            show.write(f"request {name} {seen.status}: {seen.error}")
    if replayed is not None:
        verdict = "every step and every ledger is the same" if replayed["same"] else "DIFFERENCES"
        show.write(f"Replay of {replayed['steps']} steps: {verdict}")
    show.write(f"Run directory: {run_dir}")


def node(
    lab: LabArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Node or station of the lab.")],
    state: StateOption = STATE,
    run: RunOption = None,
) -> None:
    """Run the agent of one node on this computer."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.node_process import run_agent

    _log_to_stderr()
    loaded = load_lab(find_lab(lab), live=True)
    if name not in loaded.network.nodes:
        raise ConfigError(f'unknown node "{name}"{nearest(name, loaded.network.nodes)}', where=lab)
    code = asyncio.run(run_agent(loaded, name, state, run or _new_run(loaded, state)))
    if code:
        raise typer.Exit(code)


def emulate(lab: LabArgument, state: StateOption = STATE, run: RunOption = None) -> None:
    """Play the emulated instruments of a lab, where its agents look for them."""
    import asyncio

    from bellwire.labs import load_lab
    from bellwire.runtime.control import socket_path
    from bellwire.simulator_backend.emulation import run_emulation

    _log_to_stderr()
    loaded = load_lab(find_lab(lab), live=True)
    run_dir = run or _new_run(loaded, state)
    socket = socket_path(state, "emulator")
    asyncio.run(run_emulation(loaded, state / "devices", socket, run_dir / "truth.jsonl"))


def _new_run(lab: "Lab", state: Path) -> Path:
    from bellwire.runtime.runs import create_run

    return create_run(state / "runs", lab)


def request(
    lab: LabArgument,
    source: Annotated[str, typer.Option("--from", metavar="NODE", help="Source; the request is made here.")],
    target: Annotated[str, typer.Option("--to", metavar="NODE", help="Destination.")],
    count: Annotated[int | None, typer.Option("--count", min=1, help="Number of pairs.")] = None,
    duration_s: Annotated[float | None, typer.Option("--duration", metavar="SECONDS", min=0.001)] = None,
    fidelity_min: Annotated[float | None, typer.Option("--fidelity", min=0.25, max=1.0)] = None,
    mode: Annotated[str, typer.Option("--mode", help="swap_asap or fixed_tree.")] = "swap_asap",
    measure: Annotated[
        bool, typer.Option("--measure/--keep", help="Measure both ends as soon as the pair is known.")
    ] = False,
    weight: Annotated[int, typer.Option("--weight", min=1, help="Share on links with other requests.")] = 1,
    deadline_s: Annotated[float | None, typer.Option("--deadline", metavar="SECONDS", min=0.001)] = None,
    request_id: Annotated[
        str | None, typer.Option("--id", help="Name; the same name and content is the same request.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Ask a running lab for entangled pairs."""
    import asyncio

    from bellwire.core.plans import EntanglementRequest
    from bellwire.core.units import ns_from_s
    from bellwire.labs import load_lab
    from bellwire.planner.plans import choose_route

    loaded = load_lab(find_lab(lab), live=True)
    if count is None and duration_s is None:
        raise ConfigError("give --count or --duration, or the request never ends")
    asked = EntanglementRequest(
        request_id=request_id or _fresh_name(source, target),
        target_nodes=(source, target),
        generation_mode=mode,
        count=count,
        duration_ns=None if duration_s is None else ns_from_s(duration_s),
        deadline_ns=None if deadline_s is None else ns_from_s(deadline_s),
        fidelity_threshold=fidelity_min,
        priority=weight,
        consumption="measure" if measure else "keep",
    )
    route = choose_route(loaded.network, asked)
    if isinstance(route, str):
        raise ConfigError(route, where=lab)
    picture = asyncio.run(_ask_for_pairs(loaded, asked, state, wait))
    if as_json:
        typer.echo(json.dumps({"request": asked.request_id, **picture.rows()[asked.request_id]}))
    else:
        from bellwire.cli import show

        show.write(show.request_table(picture.rows()))
    seen = picture.requests[asked.request_id]
    if wait and seen.status != "completed":
        typer.echo(f"request {asked.request_id} {seen.status}: {seen.error}", err=True)
        raise typer.Exit(UNSUCCESSFUL)


def _fresh_name(source: str, target: str) -> str:
    import secrets

    return f"{source}-{target}-{secrets.token_hex(3)}"


async def _ask_for_pairs(lab: "Lab", asked: "EntanglementRequest", state: Path, wait: bool) -> "LabPicture":
    import asyncio

    import msgspec

    from bellwire.cli.picture import LabPicture
    from bellwire.runtime.control import ask

    picture = LabPicture(lab, (asked,))
    source = asked.target_nodes[0]
    await ask(state, source, "submit", request=msgspec.to_builtins(asked))
    after = 0
    while wait and not picture.ended():
        reports = await ask(state, source, "reports", after=after)
        if reports:
            after = reports[-1]["number"]
        picture.take([report | {"node": source} for report in reports])
        await asyncio.sleep(POLL_S)
    return picture
