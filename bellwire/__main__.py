"""`python -m bellwire`: the command line, and the two commands with which a supervisor starts its processes.

Owns `node` and `emulate` as processes: log lines as JSON on stdout, one line on stderr for an error that we
foresaw, exit codes. Refuses everything else, which is `bellwire.cli`'s.
"""

import argparse
import asyncio
import sys
from pathlib import Path


def main() -> None:
    """Run a process command, or hand over to the command line."""
    if sys.argv[1:2] in (["node"], ["emulate"]) and "--with-parent" in sys.argv:
        sys.exit(run_process(sys.argv[1:]))
    from bellwire.cli.main import app

    app()


def run_process(arguments: list[str]) -> int:
    """Run a child of the supervisor; returns its exit code."""
    from bellwire.core.errors import BellwireError, LocalMisuse

    parser = argparse.ArgumentParser(
        prog="bellwire", description="a process of a lab, started by `bellwire up`"
    )
    parser.add_argument("command", choices=("node", "emulate"))
    parser.add_argument("lab", type=Path)
    parser.add_argument("name", nargs="?")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--with-parent", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        return asyncio.run(_node(chosen) if chosen.command == "node" else _emulate(chosen))
    except LocalMisuse:
        raise  # our own bug: the log needs the traceback
    except BellwireError as error:
        # The last line of the process's log, which the supervisor shows to people.
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 2


async def _node(chosen: argparse.Namespace) -> int:
    import structlog

    from bellwire import __version__
    from bellwire.cli.calibrated_runs import applied_settings, lab_of_process, station_standing
    from bellwire.runtime.log_events import line_processors
    from bellwire.runtime.log_lines import RotatingLines
    from bellwire.runtime.node_process import run_agent

    path = chosen.run / "logs" / f"{chosen.name}.log"
    lab = lab_of_process(chosen.lab, chosen.state, chosen.run)
    structlog.configure(
        processors=line_processors(lab.name, __version__),
        logger_factory=lambda *_: RotatingLines(path),
    )
    standing = station_standing(lab, chosen.name, chosen.state)
    return await run_agent(
        lab,
        chosen.name,
        chosen.state,
        chosen.run,
        with_parent=chosen.with_parent,
        standing=standing,
        applied=applied_settings(lab, chosen.name, chosen.state),
    )


async def _emulate(chosen: argparse.Namespace) -> int:
    from bellwire.cli.calibrated_runs import obeyed
    from bellwire.labs import load_lab
    from bellwire.runtime.control import socket_path
    from bellwire.runtime.in_force import in_force
    from bellwire.simulator_backend.emulation_process import run_emulation

    frozen = in_force(chosen.run)
    await run_emulation(
        load_lab(chosen.lab, live=True) if frozen is None else obeyed(frozen),
        chosen.state / "devices",
        socket_path(chosen.state, "emulator"),
        chosen.run / "truth.jsonl",
        with_parent=chosen.with_parent,
    )
    return 0


if __name__ == "__main__":
    main()
