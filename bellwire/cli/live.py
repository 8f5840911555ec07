"""`bellwire up`, `demo`: a whole lab on the wall clock, with real or emulated instruments.

Owns the two commands and how they follow the lab. Refuses what they start (the supervisor and its processes
are the runtime's), what they show (screen.py) and what they say at the end (summary.py).
"""

import json
import signal
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bellwire.cli.exits import INTERRUPTED, UNSUCCESSFUL
from bellwire.cli.logs import logs_on_stderr
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab, near
from bellwire.cli.serve import PORT
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

if TYPE_CHECKING:
    from bellwire.cli.lab_status import LabStatus
    from bellwire.cli.page_beside import PageBeside
    from bellwire.cli.picture import LabPicture
    from bellwire.cli.screen import Screen
    from bellwire.labs import Lab
    from bellwire.runtime.supervisor import Supervisor

DEMO_LAB = "three_node_repeater"
POLL_S = 0.2
LOOK_S = 1.0
"""How often processes are asked for their status; the screen is drawn anew with every poll."""
REPLAYED_BYTES_MAX = 8 * 1024 * 1024
"""After Ctrl-C, longer records are not replayed: whoever pressed it wants to go."""


def demo(
    lab_name: Annotated[
        str, typer.Option("--lab", metavar="LAB", help="Another emulated lab: a file, or one of lab_configs.")
    ] = DEMO_LAB,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Run a lab with emulated instruments (by default the three-node one) until its requests are served;
    replay it.
    """
    import secrets

    import msgspec

    from bellwire.labs import load_lab

    lab = load_lab(find_lab(lab_name), live=True)
    real = [one.address for one in lab.instruments if not one.emulated]
    real += [one.address for one in lab.equipment if not one.emulated]
    if real or not lab.requests:
        why = f"{len(real)} instruments are real ({real[0]})" if real else "it has no requests"
        raise ConfigError(f"a demo plays emulated labs only, and {why}: use `bellwire up`", where=lab_name)
    # A name of its own for every demo: a request that was served before is not served again.
    mark = secrets.token_hex(2)
    requests = tuple(
        msgspec.structs.replace(request, request_id=f"{request.request_id}-{mark}")
        for request in lab.requests
    )
    _run(replace(lab, requests=requests), state, as_json, submit=True, to_the_end=True)


def up(
    lab: LabArgument,
    state: StateOption = STATE,
    submit: Annotated[bool, typer.Option(help="Submit the requests of the lab file.")] = True,
    once: Annotated[bool, typer.Option("--once", help="Stop when all requests have ended.")] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="NODE", help="Do not start it; `bellwire node` does later."),
    ] = None,
    page: Annotated[
        bool,
        typer.Option("--page", help="Serve the live page too, and keep pairs flowing by a standing request."),
    ] = False,
    page_port: Annotated[
        int, typer.Option("--page-port", min=0, max=65535, help="Of the page; 0: any free one.")
    ] = PORT,
    as_json: JsonOption = False,
) -> None:
    """Start every process of a lab and show what it does, until Ctrl-C."""
    from bellwire.cli.calibrated_runs import with_stored_calibrations
    from bellwire.cli.page_beside import PageBeside, with_standing_request
    from bellwire.labs import load_lab

    loaded = with_stored_calibrations(load_lab(find_lab(lab), live=True), state)
    for name in without or ():
        if name not in loaded.network.nodes:
            raise ConfigError(f'unknown node "{name}"{nearest(name, loaded.network.nodes)}', where=lab)
    if page and once:
        raise ConfigError("--page and --once: a standing request never ends")
    beside = PageBeside(loaded, state, page_port) if page else None
    if page and submit:
        loaded = with_standing_request(loaded)
    _run(
        loaded,
        state,
        as_json,
        submit=submit,
        to_the_end=once,
        absent=tuple(without or ()),
        beside=beside,
    )


def _run(
    lab: "Lab",
    state: Path,
    as_json: bool,
    *,
    submit: bool,
    to_the_end: bool,
    absent: tuple[str, ...] = (),
    beside: "PageBeside | None" = None,
) -> None:
    import asyncio

    silent = [name for name in lab.network.nodes if name not in lab.addresses]
    if silent:
        why = f"{', '.join(silent)}: no address, so this lab runs in virtual time only (bellwire simulate)"
        raise ConfigError(why, where=lab.name)

    from bellwire.cli import summary
    from bellwire.cli.lab_status import LabStatus
    from bellwire.cli.picture import LabPicture
    from bellwire.cli.screen import open_screen
    from bellwire.runtime.store import AgentLock

    picture, status = LabPicture(lab, lab.requests if submit else ()), LabStatus(lab)
    with ExitStack() as closing:
        # One lab per state directory: two supervisors would take each other's processes for their own.
        closing.callback(AgentLock(state / "agents", "supervisor").release)
        screen = open_screen(closing, picture, status, quiet=as_json or beside is not None)
        closing.enter_context(logs_on_stderr())
        following = Following(lab, state, picture, status, screen, to_the_end=to_the_end, beside=beside)
        if beside is not None:
            closing.callback(beside.stop)
        run_dir = asyncio.run(following.run(submit=submit, absent=absent))
    picture.take_recorded(run_dir)
    picture.take_truth(run_dir / "truth.jsonl")
    interrupted = following.interrupted
    try:
        replayed, remark = _replayed(run_dir, interrupted, aloud=not as_json)
    except KeyboardInterrupt:
        interrupted, replayed, remark = True, None, _later(run_dir)
    ended = summary.Ended(lab, run_dir, interrupted, following.restarts, replayed, remark)
    if as_json:
        typer.echo(json.dumps(summary.report(picture, status, ended)))
    else:
        summary.show(picture, status, ended)
    alarms = summary.alarms(picture, ended)
    for line in alarms:
        typer.echo(line, err=True)
    if alarms:
        raise typer.Exit(UNSUCCESSFUL)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if not picture.good() or replayed is None:
        raise typer.Exit(UNSUCCESSFUL)


class Following:
    """A lab that runs, with picture, status and screen kept up to date until it ends."""

    def __init__(
        self,
        lab: "Lab",
        state: Path,
        picture: "LabPicture",
        status: "LabStatus",
        screen: "Screen",
        *,
        to_the_end: bool,
        beside: "PageBeside | None" = None,
    ) -> None:
        """to_the_end: stop when all requests have ended; otherwise only a signal stops the lab. `beside`:
        the live page, which begins when the lab is up."""
        self.interrupted = True  # until the end was reached
        self.restarts: dict[str, int] = {}
        self._lab = lab
        self._state = state
        self._picture = picture
        self._status = status
        self._screen = screen
        self._to_the_end = to_the_end
        self._beside = beside
        self._up = False
        self._ending = False  # the lab works on while its processes are asked for the last time
        self._stopping = False  # nobody is asked any more: their silence would look like trouble

    async def run(self, *, submit: bool, absent: tuple[str, ...] = ()) -> Path:
        """Run until the end or a signal; returns the run directory. absent: nodes that are not started."""
        import asyncio

        from bellwire.runtime.supervisor import run_lab

        watching = asyncio.get_running_loop().create_task(self._watch())
        # Whoever read our output may have gone (`| head`): a lab that nobody can follow is stopped.
        watching.add_done_callback(lambda _: self._end(looking=False))
        try:
            return await run_lab(
                self._lab,
                self._state,
                submit_requests=submit,
                on_ready=self._on_ready,
                on_reports=self._picture.take,
                until=self._until,
                poll_s=POLL_S,
                absent=absent,
            )
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    def _on_ready(self, supervisor: "Supervisor") -> None:
        import asyncio

        self.restarts = supervisor.restarts
        self._picture.submitted(time.time_ns())
        self._up = True
        # From now on a signal ends the lab by way of `until`, after a last look.
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._end)
        if not self._screen.covers:
            typer.echo(f"{self._lab.name} is up, recording to {near(supervisor.run_dir)}", err=True)
        if self._beside is not None:
            self._beside.start(supervisor.run_dir / "logs" / "page.log")

    def _end(self, *, looking: bool = True) -> None:
        self._ending = True
        self._stopping = self._stopping or not looking

    def _until(self) -> bool:
        if self._to_the_end and self._picture.ended() and not self._ending:
            self.interrupted = False
            self._end()
        return self._stopping

    async def _watch(self) -> None:
        """Ask processes how they are, and draw, until cancelled."""
        import asyncio

        from bellwire.cli.lab_status import ask_all

        next_look_s = time.monotonic()
        while True:
            if not self._stopping and (self._ending or time.monotonic() >= next_look_s):
                up, ending = self._up, self._ending
                answers = await ask_all(self._lab, self._state)
                self._status.look(time.monotonic_ns(), answers, started=up)
                next_look_s = time.monotonic() + LOOK_S
                if ending:
                    self._stopping = True
            self._screen.draw()
            await asyncio.sleep(POLL_S)


def _replayed(run_dir: Path, interrupted: bool, *, aloud: bool) -> tuple[dict[str, Any] | None, str]:
    """The replay of a run, or None and why there is none."""
    from bellwire.cli.replay import replayed

    size = sum(path.stat().st_size for path in run_dir.glob("agents/*/steps-*.bin"))
    if size == 0:
        return None, "nothing was recorded"
    if interrupted and size > REPLAYED_BYTES_MAX:
        return None, _later(run_dir)
    if aloud and sys.stderr.isatty():
        typer.echo("replaying what was recorded ...", err=True)
    return replayed(run_dir), ""


def _later(run_dir: Path) -> str:
    return f"not done; `bellwire replay {near(run_dir)}` does it"
