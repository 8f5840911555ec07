"""What one agent writes into the run directory: its inputs, its facts, its reports, its answers to users of
links, its metrics, its last trail.

Owns the files of one agent's life and their formats. Refuses to slow the agent: entries are collected in
memory and handed to the file system in `flush`; what a killed process had not flushed is missing, and replay
says so.
"""

import json
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bellwire.core.codec import encode
from bellwire.core.effects import Effect, Publish, Report
from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.link_words import LinkAnswer
from bellwire.runtime.store import StoreFault, write_synced

TRAIL_STEPS = 200
"""The last steps kept in memory for the trail of a misuse."""

_LENGTH = struct.Struct("<I")
_pack = msgspec.msgpack.Encoder().encode


class StepEntry(msgspec.Struct, frozen=True, array_like=True):
    """One step: what the machine was told, and the digest of the bytes of everything it ordered."""

    now_ns: int
    event: bytes
    effects: bytes


_step_decoder = msgspec.msgpack.Decoder(StepEntry)


def effects_digest(effects: Sequence[Effect]) -> bytes:
    """16 bytes that two lists of effects share only if their encodings are equal byte for byte."""
    digest = blake2b(digest_size=16)
    for effect in effects:
        encoded = encode(effect)
        digest.update(_LENGTH.pack(len(encoded)))
        digest.update(encoded)
    return digest.digest()


class AgentTrace:
    """The files of one incarnation of one agent."""

    def __init__(self, run_dir: Path, node: NodeId, incarnation: int) -> None:
        self.folder = run_dir / "agents" / node
        self.folder.mkdir(parents=True, exist_ok=True)
        self._suffix = f"{incarnation:06d}"
        self._steps = _Appender(self.folder / f"steps-{self._suffix}.bin")
        self._facts = _Appender(self.folder / f"facts-{self._suffix}.bin")
        self._reports = _Appender(self.folder / f"reports-{self._suffix}.jsonl")
        # A node whose links nobody asks has no such file.
        self._answers = _Appender(self.folder / f"answers-{self._suffix}.jsonl", when_needed=True)
        self._metrics = _Appender(self.folder / f"metrics-{self._suffix}.jsonl")
        self._trail: deque[tuple[int, Event, Sequence[Effect]]] = deque(maxlen=TRAIL_STEPS)

    def step(self, now_ns: int, event: Event, effects: Sequence[Effect]) -> None:
        """A step was done."""
        self._trail.append((now_ns, event, effects))
        self._steps.append_framed(_pack(StepEntry(now_ns, encode(event), effects_digest(effects))))

    def published(self, order: Publish) -> None:
        """Facts of this node were published; with whom they concern, unless that is everybody."""
        self._facts.append_framed(_pack(order.batch if order.audience is None else order))

    def reported(self, now_ns: int, report: Report) -> None:
        """A report was made."""
        fields = {"at_ns": now_ns, "name": report.name, "request": report.request, "fields": report.fields}
        self._reports.append(_json_line(fields))

    def answered(self, now_ns: int, answer: LinkAnswer) -> None:
        """A user of the link service was answered."""
        self._answers.append(_json_line({"at_ns": now_ns, "answer": answer}))

    def metrics(self, now_ns: int, values: dict[str, Any]) -> None:
        """The state of one second."""
        self._metrics.append(_json_line({"at_ns": now_ns} | values))

    def flush(self) -> None:
        """Hand everything to the file system. Raises StoreFault when it takes no more."""
        for appender in self._files():
            appender.flush()

    def _files(self) -> tuple["_Appender", ...]:
        return (self._steps, self._facts, self._reports, self._answers, self._metrics)

    def misuse(self, now_ns: int, event: Event | None, problem: str) -> Path:
        """Write the trail of a misuse: the steps before, and the event that broke it, if one did."""
        path = self.folder / f"trail-{self._suffix}.json"
        steps = [
            {
                "now_ns": at_ns,
                "event": msgspec.to_builtins(told),
                "effects": msgspec.to_builtins(list(effects)),
            }
            for at_ns, told, effects in self._trail
        ]
        broken = {
            "now_ns": now_ns,
            "event": None if event is None else msgspec.to_builtins(event),
            "problem": problem,
        }
        write_synced(path, msgspec.json.encode({"broken": broken, "steps": steps}))
        return path

    def close(self, ledger: dict[str, Any] | None) -> None:
        """End the files;

        `ledger` is the digest of the replica and its watermarks, None for a node without one.
        """
        self.flush()
        for appender in self._files():
            appender.close()
        if ledger is not None:
            write_synced(self.folder / f"ledger-{self._suffix}.json", json.dumps(ledger, indent=1).encode())


class _Appender:
    """An append-only file that is written in large pieces."""

    def __init__(self, path: Path, *, when_needed: bool = False) -> None:
        """when_needed: the file does not exist before there is something to write."""
        self._path = path
        self._file: BinaryIO | None = None if when_needed else path.open("ab", buffering=0)
        self._pieces: list[bytes] = []

    def append(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def append_framed(self, piece: bytes) -> None:
        self.append(_LENGTH.pack(len(piece)) + piece)

    def flush(self) -> None:
        if not self._pieces:
            return
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(b"".join(self._pieces))
        except OSError as problem:
            raise StoreFault(str(self._path), f"cannot be written: {problem.strerror}") from problem
        self._pieces.clear()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def read_framed(path: Path) -> Iterator[bytes]:
    """The entries of a framed file; a torn last entry of a killed process is left out."""
    content = path.read_bytes()
    offset = 0
    while offset + _LENGTH.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, offset)
        offset += _LENGTH.size
        if offset + length > len(content):
            return
        yield content[offset : offset + length]
        offset += length


def read_steps(path: Path) -> Iterator[StepEntry]:
    """The steps of a step file."""
    for entry in read_framed(path):
        yield _step_decoder.decode(entry)


def _json_line(fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode(fields) + b"\n"
