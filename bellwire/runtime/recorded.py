"""What a run has recorded, read back as steps: what every machine was told, and what it ordered then.

Owns the two sources: the run directory of a live run, and the trace file of `bellwire simulate`. Refuses to
interpret a step (history.py). A run directory holds digests of orders only, so the recorded inputs are fed to
fresh machines. From the first step whose digest differs (other software wrote it) a node's orders are
unknown: its published facts and its reports, which have files of their own, stand in their place.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bellwire.core.codec import decode_event
from bellwire.core.effects import Effect, Publish, Report
from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.machine import Machine
from bellwire.core.messages import FactBatch
from bellwire.runtime.trace import effects_digest, read_framed, read_steps

MakeMachine = Callable[[NodeId], Machine]
_published = msgspec.msgpack.Decoder(FactBatch | Publish)


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One step of one machine."""

    now_ns: int
    node: NodeId
    event: Event | None  # None: only what followed is known, not what caused it
    effects: tuple[Effect, ...]


class _ReportLine(msgspec.Struct, frozen=True, kw_only=True):
    at_ns: int
    name: str
    request: str | None
    fields: dict[str, Any]


class _TraceLine(msgspec.Struct, frozen=True, kw_only=True):
    now_ns: int
    node: NodeId
    event: Event
    effects: tuple[Effect, ...]


_reports = msgspec.json.Decoder(_ReportLine)
_lines = msgspec.json.Decoder(_TraceLine)


@dataclass(frozen=True, slots=True)
class Recording:
    """All steps of a run, by time, and whose orders are not known to the end."""

    steps: list[RecordedStep]
    differing: dict[NodeId, str]  # node -> why its orders are unknown from some step on


def read_trace_file(path: Path) -> Recording:
    """The trace file of a run in virtual time.

    Raises:
        ConfigError: it is none.
    """
    steps: list[RecordedStep] = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                read = _lines.decode(line)
            except msgspec.MsgspecError as problem:
                raise ConfigError(
                    f"line {number} is no step of `bellwire simulate --trace`: {problem}", where=str(path)
                ) from problem
            steps.append(RecordedStep(read.now_ns, read.node, read.event, read.effects))
    return Recording(steps, {})


def read_run(run_dir: Path, make: MakeMachine) -> Recording:
    """The run directory of a live run; `make` gives fresh machines of the frozen lab.

    Raises:
        ConfigError: no agent has recorded anything there.
    """
    steps: list[RecordedStep] = []
    differing: dict[NodeId, str] = {}
    files = sorted((run_dir / "agents").glob("*/steps-*.bin"))
    if not files:
        raise ConfigError("no agent has recorded any step in this run", where=str(run_dir))
    for path in files:
        steps += _life(path.parent.name, path, make, differing)
    steps.sort(key=lambda step: step.now_ns)  # stable: the order of one node's steps is kept
    return Recording(steps, differing)


def _life(
    node: NodeId, path: Path, make: MakeMachine, differing: dict[NodeId, str]
) -> Iterator[RecordedStep]:
    machine: Machine | None = make(node)
    published = reported = 0
    for number, entry in enumerate(read_steps(path)):
        event = decode_event(entry.event)
        if machine is not None:
            effects, problem = _again(machine, entry.now_ns, event, entry.effects)
            if problem is None:
                published += sum(isinstance(one, Publish) for one in effects)
                reported += sum(isinstance(one, Report) for one in effects)
                yield RecordedStep(entry.now_ns, node, event, effects)
                continue
            differing[node] = f"step {number} of {path.name}: {problem}"
            machine = None
        yield RecordedStep(entry.now_ns, node, event, ())
    if machine is None:
        yield from _from_files(node, path, published, reported)


def _again(
    machine: Machine, now_ns: int, event: Event, digest: bytes
) -> tuple[tuple[Effect, ...], str | None]:
    """The orders of a step done once more, and what is wrong with them; None: nothing."""
    try:
        effects = tuple(machine.handle(now_ns, event))
    except BellwireError as refusal:
        return (), str(refusal)
    if effects_digest(effects) != digest:
        return (), "this version of bellwire orders something else"
    return effects, None


def _from_files(node: NodeId, steps: Path, published: int, reported: int) -> Iterator[RecordedStep]:
    """What a node published and reported after its first entries, which replay has told already."""
    facts = steps.with_name(steps.name.replace("steps-", "facts-"))
    for number, entry in enumerate(read_framed(facts)) if facts.exists() else ():
        if number < published:
            continue
        kept = _published.decode(entry)
        order = kept if isinstance(kept, Publish) else Publish(batch=kept, urgent_to=())
        at_ns = max((fact.at_ns for fact in order.batch.facts), default=0)
        yield RecordedStep(at_ns, node, None, (order,))
    reports = steps.with_name(steps.name.replace("steps-", "reports-")).with_suffix(".jsonl")
    for number, line in enumerate(reports.read_bytes().splitlines() if reports.exists() else ()):
        if number >= reported:
            read = _reports.decode(line)
            told = Report(name=read.name, request=read.request, fields=read.fields)
            yield RecordedStep(read.at_ns, node, None, (told,))
