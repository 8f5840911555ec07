"""All processes of a lab: the emulator and one process per node, started, watched, restarted and stopped.

Owns the processes it starts, by their ids. Refuses everything else: it neither reads messages nor decides
protocols, and it signals nothing that it did not start.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec
import structlog

from bellwire.core.errors import BellwireError, ConfigError, DeviceFault
from bellwire.core.ids import NodeId
from bellwire.core.instrument_messages import CONSOLE
from bellwire.core.plans import EntanglementRequest
from bellwire.runtime.agent import EXIT_LEFT
from bellwire.runtime.control import ControlServer, ask, socket_path
from bellwire.runtime.in_force import frozen_of, put_in_force
from bellwire.runtime.keys import Keyring
from bellwire.runtime.lab_words import LabEntry
from bellwire.runtime.rolling import why_not_ready
from bellwire.runtime.runs import create_run, end_run
from bellwire.runtime.supervisor_commands import SUPERVISOR, supervisor_commands

READY_S = 20.0
READY_POLL_S = 0.1
STOP_S = 8.0
"""A process that has not ended this long after it was asked to is killed, and named in the summary."""
RESTART_FIRST_S = 0.2
RESTART_LONGEST_S = 10.0
STEADY_S = 10.0
"""A process that ran this long starts again with the shortest wait."""
EXIT_CONFIG = 2
"""Exit code of `bellwire` for a wrong file or instrument: starting again would not help."""
EMULATOR = "emulator"

CommandLine = Callable[[str, Path, Path], Sequence[str]]
"""Name of the process, state directory, run directory -> command line."""


class Supervisor:
    """The processes of one lab.

    An asynchronous context manager: entering starts, leaving stops all of them.
    """

    def __init__(
        self,
        lab: LabEntry,
        state_dir: Path,
        *,
        command_line: CommandLine | None = None,
        runs_dir: Path | None = None,
        ready_s: float = READY_S,
        strict: bool = False,
        absent: Sequence[NodeId] = (),
    ) -> None:
        """strict: an absent instrument stops the start; otherwise the lab runs without it, and says so.
        absent: nodes that are not started; they may join later (`join`)."""
        if lab.path is None and command_line is None:
            raise ConfigError("a lab that was not read from a file cannot be given to other processes")
        self.lab = lab
        self.state_dir = state_dir.absolute()
        self.run_dir = create_run((runs_dir or self.state_dir / "runs").absolute(), lab)
        if command_line is None:  # a process that crashes starts again with what was in force, whatever the
            put_in_force(self.run_dir, frozen_of(lab.name, lab.path, lab.digest, lab.document))  # file says
        self.restarts: dict[str, int] = {}
        self.killed: list[str] = []
        self.degraded: dict[str, str] = {}  # nodes that run without being ready, and why
        self._command_line = command_line or self._bellwire
        self.absent: set[NodeId] = set(absent)  # not started yet, or left in order
        self._ready_s = ready_s
        self._strict = strict
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, asyncio.Event] = {}  # killed, and not to be started before it is set
        self._stopping = False
        self.refused: dict[str, BellwireError] = {}  # processes that say that starting again would not help
        self._control: ControlServer | None = None
        self._seen: dict[NodeId, int] = {}
        self._log = structlog.get_logger().bind(lab=lab.name)

    # ---- life

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and wait until every node is ready.

        Raises:
            ConfigError: a process says that its configuration is wrong, or does not run in time.
            DeviceFault: an instrument is not the one that was configured.
        """
        keyring = Keyring(self.state_dir / "keys")
        for name in (*self.lab.addresses, *([] if self.lab.console is None else [CONSOLE])):
            keyring.make(name)
        if any(one.emulated for one in self.lab.instruments) or any(
            one.emulated for one in self.lab.equipment
        ):
            await self._launch(EMULATOR)
            await self._wait_ready([EMULATOR])
        names = [name for name in self.lab.addresses if name not in self.absent]
        for name in names:
            await self._launch(name)
        await self._wait_ready(names)
        self._control = ControlServer(socket_path(self.state_dir, SUPERVISOR), supervisor_commands(self))
        await self._control.start()

    async def join(self, name: NodeId) -> None:
        """Start a node that was absent, and wait until it is ready."""
        self.absent.discard(name)
        await self._launch(name)
        await self._wait_ready([name])

    async def stop(self) -> dict[str, Any]:
        """Stop every process: asked first, then terminated, then killed. Returns and stores the summary."""
        self._stopping = True
        if self._control is not None:
            await self._control.close()
            self._control = None
        for keeper in self._keepers.values():
            keeper.cancel()
        await asyncio.gather(*self._keepers.values(), return_exceptions=True)
        self._keepers.clear()
        # Nodes before the emulator, so that they can bring their instruments to a safe state.
        nodes = [name for name in self._processes if name != EMULATOR]
        await asyncio.gather(*(self._end(name) for name in nodes))
        if EMULATOR in self._processes:
            await self._end(EMULATOR)
        summary = {"restarts": self.restarts, "killed": self.killed}
        end_run(self.run_dir, summary)
        return summary

    def pids(self) -> Mapping[str, int]:
        """Process ids of what runs now."""
        return {name: process.pid for name, process in self._processes.items() if process.returncode is None}

    # ---- what people ask

    async def submit(self, request: EntanglementRequest) -> None:
        """Submit a request at its source. Raises ConfigError when the source does not answer or refuses."""
        await ask(self.state_dir, request.target_nodes[0], "submit", request=msgspec.to_builtins(request))

    async def cancel(self, node: NodeId, request_id: str) -> None:
        """Withdraw a request at its source."""
        await ask(self.state_dir, node, "cancel", request=request_id)

    async def status(self, node: str) -> dict[str, Any]:
        """Health, slots, peers and instruments of a node."""
        found: dict[str, Any] = await ask(self.state_dir, node, "status")
        return found

    async def new_reports(self) -> list[dict[str, Any]]:
        """Reports of all nodes since the last call, by time."""
        found: list[dict[str, Any]] = []
        for node in self.lab.addresses:
            try:
                reports = await ask(self.state_dir, node, "reports", after=self._seen.get(node, 0))
            except ConfigError:
                self._seen[node] = 0  # it restarts; its numbers begin again
                continue
            if reports:
                self._seen[node] = reports[-1]["number"]
            found += [report | {"node": node} for report in reports]
        return sorted(found, key=lambda report: report["at_ns"])

    async def power_cycle(self, device: str, off_s: float = 0.5) -> None:
        """Switch an emulated instrument off and on."""
        await ask(self.state_dir, EMULATOR, "power_cycle", device=device, off_s=off_s, within_s=off_s + 10.0)

    async def restart(self, names: Sequence[str]) -> None:
        """End these processes in order, then start them again. Not a crash: nothing is counted.

        Raises:
            ConfigError: the lab is being stopped.
        """
        keepers = [self._keepers.pop(name) for name in names if name in self._keepers]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(self._end(name) for name in names if name in self._processes))
        for name in names:
            if self._stopping:
                raise ConfigError("the lab is being stopped", where=self.lab.path)
            self.refused.pop(name, None)
            self.degraded.pop(name, None)
            self._seen.pop(name, None)
            await self._launch(name)

    def kill(self, name: str) -> None:
        """Kill a process without warning, as a fault; it is restarted like after any crash."""
        self._processes[name].kill()

    def hold(self, name: str) -> None:
        """Kill a process without warning, and do not start it again before `let_run`."""
        self._held.setdefault(name, asyncio.Event())
        self._processes[name].kill()

    def let_run(self, name: str) -> None:
        """Start a process that was held."""
        held = self._held.pop(name, None)
        if held is not None:
            held.set()

    # ---- processes

    def _bellwire(self, name: str, state_dir: Path, run_dir: Path) -> Sequence[str]:
        where = ["--state", str(state_dir), "--run", str(run_dir), "--with-parent"]
        path = str(self.lab.path)
        if name == EMULATOR:
            return [sys.executable, "-m", "bellwire", "emulate", path, *where]
        return [sys.executable, "-m", "bellwire", "node", path, name, *where]

    async def _launch(self, name: str) -> None:
        logs = self.run_dir / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("ab") as log:
            # A session of its own: Ctrl-C reaches the supervisor alone, which then stops its children in
            # order.
            process = await asyncio.create_subprocess_exec(
                *self._command_line(name, self.state_dir, self.run_dir),
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes[name] = process
        if name not in self._keepers:
            self._keepers[name] = asyncio.get_running_loop().create_task(self._keep(name))

    async def _keep(self, name: str) -> None:
        """Restart a process whenever it ends, with a growing wait."""
        loop = asyncio.get_running_loop()
        wait_s = RESTART_FIRST_S
        while not self._stopping:
            began_s = loop.time()
            code = await self._processes[name].wait()
            held = self._held.get(name)
            if held is not None:
                await held.wait()
            if code == EXIT_CONFIG:
                problem = ConfigError(f"{name}: {self._last_line(name)}", where=self.lab.path)
                self.refused[name] = problem
                self._log.error("process_refused", process=name, problem=str(problem))
                return
            if code == EXIT_LEFT:
                self.absent.add(name)
                del self._keepers[name]  # `join` keeps it again
                self._log.info("process_left", process=name)
                return
            self.restarts[name] = self.restarts.get(name, 0) + 1
            self._seen.pop(name, None)  # its reports are numbered from 1 again
            if loop.time() - began_s > STEADY_S:
                wait_s = RESTART_FIRST_S
            self._log.warning("process_ended", process=name, exit_code=code, restart_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RESTART_LONGEST_S)
            await self._launch(name)

    async def _wait_ready(self, names: Sequence[str]) -> None:
        deadline_s = asyncio.get_running_loop().time() + self._ready_s
        waiting = dict.fromkeys(names, "not started")
        running: set[str] = set()
        while waiting:
            for name in tuple(waiting):
                for problem in self.refused.values():
                    raise problem
                try:
                    status = await ask(self.state_dir, name, "status", within_s=2.0)
                except ConfigError as silence:
                    waiting[name] = silence.problem
                    continue
                running.add(name)
                self._refuse_wrong_instruments(name, status)
                if status["ready"] or self._waits_for_the_absent(status):
                    del waiting[name]
                else:
                    waiting[name] = why_not_ready(status)
            if waiting and asyncio.get_running_loop().time() > deadline_s:
                told = "; ".join(f"{name}: {why}" for name, why in waiting.items())
                if self._strict or not running.issuperset(names):
                    raise ConfigError(f"not ready within {self._ready_s} s: {told}", where=self.lab.path)
                self.degraded |= waiting
                self._log.warning("lab_degraded", missing=told)
                return
            await asyncio.sleep(READY_POLL_S if waiting else 0)

    def _waits_for_the_absent(self, status: Mapping[str, Any]) -> bool:
        """True for a node that lacks nothing but peers that nobody has started."""
        silent = {peer for peer, state in status.get("peers", {}).items() if state != "up"}
        instruments = status.get("instruments", {}).values()
        ready = all(one["condition"] == "ready" for one in instruments)
        return ready and bool(silent) and silent <= self.absent

    def _refuse_wrong_instruments(self, name: str, status: Mapping[str, Any]) -> None:
        for instrument, state in status.get("instruments", {}).items():
            if state["condition"] == "refused":
                raise DeviceFault(instrument, f"{state['reason']} (node {name} of {self.lab.path})")

    async def _end(self, name: str) -> None:
        process = self._processes[name]
        if process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()  # the child stops in order
            _signal(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                self.killed.append(name)
                self._log.error("process_killed", process=name, after_s=STOP_S)
                _signal(process, signal.SIGKILL)
                await process.wait()
        socket_path(self.state_dir, name).unlink(missing_ok=True)

    def _last_line(self, name: str) -> str:
        path = self.run_dir / "logs" / f"{name}.log"
        lines = (
            path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.exists() else []
        )
        return lines[-1] if lines else "no word in its log"


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return  # it ended by itself in this moment


async def run_lab(
    lab: LabEntry,
    state_dir: Path,
    *,
    submit_requests: bool = True,
    on_ready: Callable[[Supervisor], None] | None = None,
    on_reports: Callable[[list[dict[str, Any]]], None] | None = None,
    until: Callable[[], bool] | None = None,
    poll_s: float = 0.2,
    command_line: CommandLine | None = None,
    absent: Sequence[NodeId] = (),
) -> Path:
    """Run a lab until `until` is true, or until SIGINT or SIGTERM. Returns the run directory.

    on_reports: called with the new reports of all nodes, every `poll_s`. absent: nodes that are not started,
    and at which no request is submitted.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, ended.set)
    supervisor = Supervisor(lab, state_dir, command_line=command_line, absent=absent)
    stopped = loop.create_task(ended.wait())
    try:
        started = loop.create_task(supervisor.start())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            started.cancel()
            await asyncio.gather(started, return_exceptions=True)
            return supervisor.run_dir
        started.result()
        if on_ready is not None:
            on_ready(supervisor)
        if submit_requests:
            for request in lab.requests:
                if request.target_nodes[0] not in absent:
                    await supervisor.submit(request)
        while not ended.is_set():
            reports = await supervisor.new_reports()
            if on_reports is not None and reports:
                on_reports(reports)
            if until is not None and until():
                break
            await asyncio.wait({stopped}, timeout=poll_s)
        return supervisor.run_dir
    finally:
        stopped.cancel()
        await supervisor.stop()
        for number in numbers:
            loop.remove_signal_handler(number)
