"""The control channel of a process: JSON lines over a socket that only the user who started it can open.

Owns the server, the client, and where the sockets lie. Refuses meaning: commands are a table of names and
functions. A request is `{"do": NAME, ...}`; the answer is `{"ok": true, "result": ...}` or `{"ok": false,
"error": TEXT}`.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bellwire.core.errors import BellwireError, ConfigError

LINE_BYTES_MAX = 4 * 1024 * 1024
SOCKET_PATH_MAX = 100
"""Unix socket paths end at 107 bytes; deeper state directories get a folder under the temporary directory."""
ANSWER_S = 10.0
SUPERVISOR = "supervisor"
"""The name under which the supervisor of a lab that is up listens."""

Command = Callable[[dict[str, Any]], Awaitable[Any]]
"""Takes the fields of a request and returns what JSON can say."""


def socket_path(state_dir: Path, name: str) -> Path:
    """Where the process of this name listens."""
    near = state_dir.absolute() / "control" / f"{name}.sock"
    if len(os.fsencode(near)) <= SOCKET_PATH_MAX:
        return near
    short = hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"bellwire-{os.getuid()}-{short}" / f"{name}.sock"


def take_away(path: Path) -> None:
    """Remove a socket, and the folder under the temporary directory that was made for such sockets when this
    was the last of them."""
    path.unlink(missing_ok=True)
    if path.parent.parent == Path(tempfile.gettempdir()):
        with contextlib.suppress(OSError):  # others are in it still
            path.parent.rmdir()


def take_away_dead(path: Path) -> None:
    """Remove the socket of a process that was killed: nobody listens there any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            take_away(path)
        except OSError:
            pass  # it is not there


class ControlServer:
    """Answers commands until closed."""

    def __init__(self, path: Path, commands: Mapping[str, Command]) -> None:
        self._path = path
        self._commands = commands
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen;

        a socket left over by a dead process is replaced (the agent's lock says that it is dead).
        """
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._path.parent.stat().st_uid != os.getuid():
            raise ConfigError(
                "the folder of the control sockets belongs to another user", where=str(self._path.parent)
            )
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=LINE_BYTES_MAX)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening and drop open connections."""
        if self._server is not None:
            self._server.close()
            for writer in tuple(self._open):
                writer.close()
            await self._server.wait_closed()
            self._server = None
            take_away(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while line := await reader.readline():
                answer = await self._answer(line)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away, or its line was longer than LINE_BYTES_MAX
        except asyncio.CancelledError:
            pass  # the loop ends; the connection goes with it
        finally:
            self._open.discard(writer)
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as problem:
            return {"ok": False, "error": f"not JSON: {problem}"}
        name = request.get("do") if isinstance(request, dict) else None
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            return {"ok": False, "error": f"unknown command; known: {', '.join(sorted(self._commands))}"}
        try:
            return {"ok": True, "result": await command(request)}
        except (BellwireError, KeyError, TypeError, ValueError) as problem:
            return {"ok": False, "error": f"{type(problem).__name__}: {problem}"}


class NoAnswer(ConfigError):
    """Nobody of that name runs here, or it does not answer."""


async def ask(state_dir: Path, name: str, do: str, *, within_s: float = ANSWER_S, **fields: Any) -> Any:
    """Ask a process of this state directory; returns its result.

    Raises:
        NoAnswer: nobody of that name runs here, it does not answer in time, or it ended meanwhile.
        ConfigError: it refuses (its reason is given).
    """
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(
                str(socket_path(state_dir, name)), limit=LINE_BYTES_MAX
            )
            try:
                writer.write(json.dumps({"do": do} | fields).encode() + b"\n")
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError) as problem:
        raise NoAnswer(
            f"{name} does not answer ({_why(problem, within_s)}); is the lab up? (--state says where)",
            where=str(state_dir),
        ) from problem
    if not line:
        raise NoAnswer(f"{name} ended while it was asked to {do}", where=str(state_dir))
    answer = json.loads(line)
    if not answer["ok"]:
        raise ConfigError(f"{name} refuses to {do}: {answer['error']}")
    return answer["result"]


def _why(problem: OSError | TimeoutError, within_s: float) -> str:
    match problem:
        case FileNotFoundError() | ConnectionRefusedError():
            return "no process of that name runs here"
        case TimeoutError():
            return f"no word within {within_s:g} s"
        case _:
            return str(problem) or type(problem).__name__
