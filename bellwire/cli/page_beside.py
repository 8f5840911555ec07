"""The live page beside a lab that `bellwire up --page` has started: its server, and pairs to see.

Owns that process and the standing request. Refuses the server (cli/serve.py). A lab whose instruments are all
emulated is open to everybody on this computer; a real one wants tokens, as `bellwire serve` does.
"""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.labs import Lab

STOP_S: Final = 8.0
STANDING: Final = "standing"


def with_standing_request(lab: "Lab") -> "Lab":
    """The lab with one more request, until it is cancelled, between the nodes of its first request for pairs,
    or its first and last end node. Raises ConfigError: it has no two end nodes."""
    import secrets

    from bellwire.core.plans import EntanglementRequest

    pairs = [one.target_nodes for one in lab.requests if one.entanglement_type == "bipartite"]
    ends = tuple(name for name, node in lab.network.nodes.items() if node.role == "end")
    if not pairs and len(ends) < 2:
        raise ConfigError("--page wants pairs to show, and this lab has no two end nodes", where=lab.name)
    first = pairs[0] if pairs else (ends[0], ends[-1])
    request = EntanglementRequest(
        request_id=f"{STANDING}-{secrets.token_hex(2)}",
        target_nodes=(first[0], first[-1]),
        count=None,
        until_cancelled=True,
        consumption="measure",
    )
    return replace(lab, requests=(*lab.requests, request))


class PageBeside:
    """`bellwire serve` of the same lab and state, from `start` to `stop`."""

    def __init__(self, lab: "Lab", state: Path, port: int) -> None:
        """Raises ConfigError: the lab was not read from a file."""
        if lab.path is None:
            raise ConfigError("--page wants a lab file")
        emulated = all(one.emulated for one in lab.instruments)
        emulated = emulated and all(one.emulated for one in lab.equipment)
        self._arguments = ["serve", lab.path, "--state", str(state), "--port", str(port)]
        self._arguments += ["--open-on-loopback"] if emulated else []
        self._process: subprocess.Popen[str] | None = None

    def start(self, log: Path) -> None:
        """Start it, and say where it is as soon as it says so itself; without it the lab goes on."""
        import threading

        with log.open("ab") as complaints:
            self._process = process = subprocess.Popen(
                [sys.executable, "-u", "-m", "bellwire", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                start_new_session=True,  # Ctrl-C reaches the lab alone, which then stops this in its turn
            )

        def tell() -> None:
            assert process.stdout is not None
            said = process.stdout.readline()
            if said:
                typer.echo(f"the live page is at {said.split()[-1]}", err=True)
            elif process.poll() not in (None, 0):
                typer.echo(f"the live page did not start: {_last_line(log)}", err=True)

        threading.Thread(target=tell, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "no word in its log"
