"""Replay of a run: the same inputs into fresh machines, the same facts into fresh ledgers.

Owns the comparison. Refuses to repair: a difference is reported with the node, the incarnation and the first
step.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bellwire.core.codec import decode_event
from bellwire.core.effects import Publish
from bellwire.core.errors import BellwireError, ConfigError
from bellwire.core.events import Event, TimerFired
from bellwire.core.facts import Fact
from bellwire.core.ids import NodeId
from bellwire.core.machine import Machine
from bellwire.core.messages import FactBatch
from bellwire.core.settings import NetworkSettings
from bellwire.gem.fold import Fold
from bellwire.runtime.agent import ALWAYS_NS
from bellwire.runtime.runs import CONFIGURATION
from bellwire.runtime.trace import effects_digest, read_framed, read_steps

_batch_decoder = msgspec.msgpack.Decoder(FactBatch | Publish)

FactLogs = dict[NodeId, dict[int, list[FactBatch | Publish]]]
"""What every author published, by incarnation: to everybody, or to whom it says."""


def replay_run(
    run_dir: Path,
    network: NetworkSettings,
    make: Callable[[NodeId], Machine],
    make_later: Callable[[NodeId, int], Machine | None] | None = None,
) -> dict[str, Any]:
    """Fold the fact logs to each agent's ledger, and feed each agent's inputs to a fresh machine.

    Returns a report ready for JSON; `same` is true only if every ledger and every step is the same and at
    least one step was compared. `make_later`: the machine of a life that began with a configuration of later
    in the run; None: with the first one.

    Raises:
        ConfigError: not a run directory.
    """
    if not (run_dir / CONFIGURATION).exists():
        raise ConfigError("not a run directory", where=str(run_dir))
    folders = sorted(path for path in (run_dir / "agents").glob("*") if path.is_dir())
    logs: FactLogs = {folder.name: _fact_logs(folder) for folder in folders}
    steps = [
        _replay_steps(
            folder.name,
            path,
            (None if make_later is None else make_later(folder.name, _incarnation(path)))
            or make(folder.name),
        )
        for folder in folders
        for path in sorted(folder.glob("steps-*.bin"))
    ]
    ledgers = [
        _replay_ledger(folder.name, path, network, logs)
        for folder in folders
        for path in sorted(folder.glob("ledger-*.json"))
    ]
    compared = sum(one["steps"] for one in steps)
    same = compared > 0 and all(one["same"] for one in (*steps, *ledgers))
    return {"run": run_dir.name, "same": same, "steps": compared, "machines": steps, "ledgers": ledgers}


def _incarnation(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _replay_steps(node: NodeId, path: Path, machine: Machine) -> dict[str, Any]:
    report: dict[str, Any] = {"node": node, "incarnation": _incarnation(path), "steps": 0, "same": True}
    for entry in read_steps(path):
        event: Event = decode_event(entry.event)
        try:
            effects = machine.handle(entry.now_ns, event)
        except BellwireError as problem:
            return report | {"same": False, "first_difference": report["steps"], "problem": str(problem)}
        if effects_digest(effects) != entry.effects:
            kind = type(event).__name__
            return report | {"same": False, "first_difference": report["steps"], "event": kind}
        report["steps"] += 1
        if isinstance(event, TimerFired):
            report["timers"] = report.get("timers", 0) + 1
    return report


def _fact_logs(folder: Path) -> dict[int, list[FactBatch | Publish]]:
    return {
        _incarnation(path): [_batch_decoder.decode(entry) for entry in read_framed(path)]
        for path in sorted(folder.glob("facts-*.bin"))
    }


def _numbered_for(
    node: NodeId, author: NodeId, published: Iterable[FactBatch | Publish]
) -> Iterator[tuple[int, Fact]]:
    """The facts that a node was told, by the numbers by which it was told them."""
    for one in published:
        batch = one if isinstance(one, FactBatch) else one.batch
        first: int | None = batch.first
        if isinstance(one, Publish):
            if author == node:
                first = None if one.again else batch.first
            else:
                first = next((each.first for each in one.audience or () if each.node == node), None)
        if first is not None:
            yield from enumerate(batch.facts, first)


def _replay_ledger(node: NodeId, path: Path, network: NetworkSettings, logs: FactLogs) -> dict[str, Any]:
    kept = msgspec.json.decode(path.read_bytes())
    fold = Fold(network.owner)
    facts = 0
    for author, (incarnation, last) in sorted(kept["watermarks"].items()):
        for number, batches in sorted(logs.get(author, {}).items()):
            if number > incarnation:
                continue
            for place, fact in _numbered_for(node, author, batches):
                if number < incarnation or place <= last:
                    fold.apply(author, number, fact)
                    facts += 1
    fold.forget(ALWAYS_NS)
    return {
        "node": node,
        "incarnation": _incarnation(path),
        "facts": facts,
        "same": fold.digest() == kept["digest"],
    }
