"""An emulated DataLinkTarget: the program beside a Time Controller that receives tags and serves them.

Owns its command lines, JSON replies, acquisitions with their counts and errors. It survives the power of the
instrument, and keeps acquisitions whose client is gone, as the real one does. Refuses files (start-save) and
knows nothing of the connection to the instrument, which is not public: tags are handed to it.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass, field
from typing import Any, NoReturn

from bellwire.simulator_backend.devices.device_model import Answer, DeviceModel
from bellwire.simulator_backend.devices.tag_stream_line import TagStreamLine

INNER_PORT = 5555
ERRORS_MAX = 64
ANSWER_S = 0.001
COMMAND_BYTES_MAX = 1 << 12


@dataclass(slots=True)
class Acquisition:
    """One stream of one channel. `heard_ns`: when tags last came."""

    channel: int
    with_reference: bool
    heard_ns: int
    acquisitions: int = 0
    tags: int = 0
    errors: list[str] = field(default_factory=list[str])

    def status(self, now_ns: int) -> dict[str, Any]:
        """As the program says it."""
        return {
            "acquisitions_count": self.acquisitions,
            "timestamps_count": self.tags,
            "inactivity": max(0, now_ns - self.heard_ns) / 1e9,
            "errors": [{"description": error} for error in self.errors],
        }


class DataLinkProgram:
    """All acquisitions of one DataLinkTarget, by their ids."""

    def __init__(self, streams: TagStreamLine) -> None:
        self.acquisitions: dict[str, Acquisition] = {}
        self._streams = streams

    def carry_out(self, line: str, now_ns: int) -> str:
        """One command line; its JSON reply."""
        try:
            words = shlex.split(line)
            return json.dumps(self._carry_out(words, now_ns))
        except (ValueError, _Refused) as refusal:
            return json.dumps({"error": {"description": str(refusal)}})

    def deliver(self, channel: int, octets: bytes, tags: int, now_ns: int) -> None:
        """The tags of one sub-acquisition of a channel have come."""
        for identifier, acquisition in self.acquisitions.items():
            if acquisition.channel != channel:
                continue
            acquisition.acquisitions += 1
            acquisition.tags += tags
            acquisition.heard_ns = now_ns
            if not self._streams.send(identifier, octets) and len(acquisition.errors) < ERRORS_MAX:
                acquisition.errors.append("stream client does not read: timestamps dropped")

    def wants_reference(self, channel: int) -> bool:
        """Whether somebody wants tags of that channel as pairs with the index of their reference edge."""
        return any(one.channel == channel and one.with_reference for one in self.acquisitions.values())

    def _carry_out(self, words: list[str], now_ns: int) -> Any:
        match words:
            case ["list"]:
                return list(self.acquisitions)
            case ["start-stream", *options]:
                return self._start(options, now_ns)
            case ["status", "--id", identifier]:
                return self._known(identifier).status(now_ns)
            case ["stop", "--id", identifier]:
                status = self._known(identifier).status(now_ns)
                del self.acquisitions[identifier]
                self._streams.end(identifier)
                return {"status": status}
            case ["start-save", *_]:
                raise _Refused("this DataLinkTarget is emulated and writes no files")
            case _:
                raise _Refused(f"unknown command: {' '.join(words)[:80]}")

    def _known(self, identifier: str) -> Acquisition:
        if identifier not in self.acquisitions:
            raise _Refused(f"no acquisition with id {identifier}")
        return self.acquisitions[identifier]

    def _start(self, options: list[str], now_ns: int) -> Any:
        parser = _Options(add_help=False)
        parser.add_argument("--address", required=True)
        parser.add_argument("--channel", type=int, choices=(1, 2, 3, 4), required=True)
        parser.add_argument("--stream-port", type=int, required=True)
        parser.add_argument("--with-ref-index", action="store_true")
        found = parser.parse_args(options)
        identifier = f"{found.address}:{INNER_PORT + found.channel}"
        if identifier in self.acquisitions:
            raise _Refused(f"acquisition {identifier} is already running")
        if not self._streams.serve(identifier, found.stream_port):
            raise _Refused(f"cannot open stream port {found.stream_port}")
        self.acquisitions[identifier] = Acquisition(found.channel, found.with_ref_index, now_ns)
        return {"id": identifier}


class _Refused(Exception):
    """A command that is not carried out."""


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


class DataLinkFace(DeviceModel):
    """The DataLinkTarget of the instrument, on its own port."""

    def __init__(self, program: DataLinkProgram) -> None:
        self._program = program

    def split(self, buffer: bytearray) -> list[bytes]:
        message = bytes(buffer[:COMMAND_BYTES_MAX])
        buffer.clear()
        return [message]

    def changes(self, request: bytes) -> bool:
        return not request.strip().startswith((b"list", b"status"))

    def execute(self, request: bytes, now_ns: int) -> list[Answer]:
        reply = self._program.carry_out(request.decode("utf-8", "replace"), now_ns)
        return [Answer(reply.encode(), ANSWER_S)]

    def acknowledges(self, request: bytes) -> list[Answer]:
        return [Answer(b"{}", ANSWER_S)]
