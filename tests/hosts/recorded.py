"""What a live run left in its run directory, read back: reports, facts, steps, and the World's own word.

Owns the reading and the checks that any live run must pass. Refuses protocol: ends and numbers are compared,
not understood.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import exp
from pathlib import Path
from typing import Any

import msgspec

from bellwire.core.bell import eigenvalues
from bellwire.core.codec import decode_event
from bellwire.core.events import DeviceChanged, Event, PeerChanged, StationHeralded
from bellwire.core.facts import Fact, Swapped
from bellwire.core.ids import End
from bellwire.core.messages import FactBatch
from bellwire.runtime.trace import read_framed, read_steps

_batches = msgspec.msgpack.Decoder(FactBatch)

Ends = frozenset[str]
"""Both ends of a pair, by name."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One pair as one end node reported it."""

    number: int
    ends: Ends
    frame: int
    fidelity: float  # estimate for the moment `at_ns`
    at_ns: int
    told_ns: int
    age_ns: int


@dataclass(frozen=True, slots=True)
class TruthLine:
    """What the World knew of a pair when its first half was released."""

    at_ns: int
    frame: int
    state: tuple[float, float, float, float]


class RecordedRun:
    """One run directory."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.agents = sorted(path.name for path in (run_dir / "agents").glob("*"))

    def _files(self, node: str, stem: str) -> list[tuple[int, Path]]:
        found = (self.run_dir / "agents" / node).glob(f"{stem}-*")
        return sorted((int(path.stem.rpartition("-")[2]), path) for path in found)

    def reports(self, node: str) -> list[dict[str, Any]]:
        """All reports of a node, over its incarnations."""
        return [
            json.loads(line)
            for _, path in self._files(node, "reports")
            for line in path.read_bytes().splitlines()
        ]

    def delivered(self, node: str, request: str) -> dict[int, Delivered]:
        """Pairs that a node handed over and did not withdraw, by number.

        Raises:
            AssertionError: a number was delivered twice.
        """
        found: dict[int, Delivered] = {}
        for report in self.reports(node):
            if report["request"] != request:
                continue
            fields = report["fields"]
            if report["name"] == "pair_void":
                found.pop(fields["number"], None)
            elif report["name"] == "pair_delivered":
                number = fields["number"]
                assert number not in found, f"{node} delivered pair {number} of {request} twice"
                found[number] = Delivered(
                    number,
                    frozenset((fields["head_end"], fields["tail_end"])),
                    fields["frame"],
                    fields["fidelity"],
                    fields["at_ns"],
                    report["at_ns"],
                    fields["age_ns"],
                )
        return found

    @cached_property
    def truths(self) -> dict[Ends, TruthLine]:
        """The World's word on every pair of which an end was released while the other still existed."""
        found: dict[Ends, TruthLine] = {}
        for line in (self.run_dir / "truth.jsonl").read_bytes().splitlines():
            entry = json.loads(line)
            truth = entry["truth"]
            if truth is not None and entry["tag"]:
                ends = frozenset(str(End(*end)) for end in truth["ends"])
                assert ends not in found, f"the World saw {sorted(ends)} twice"
                found[ends] = TruthLine(entry["at_ns"], truth["frame"], tuple(truth["state"]))
        return found

    def facts(self, node: str) -> list[tuple[int, Fact]]:
        """Facts of an author with their incarnation, in its own order."""
        return [
            (incarnation, fact)
            for incarnation, path in self._files(node, "facts")
            for entry in read_framed(path)
            for fact in _batches.decode(entry).facts
        ]

    def swaps(self) -> list[Swapped]:
        """Every Bell measurement of the run."""
        return [fact for node in self.agents for _, fact in self.facts(node) if isinstance(fact, Swapped)]

    def steps(self, node: str) -> Iterator[tuple[int, int, Event]]:
        """(incarnation, now, event) of every recorded step of a node."""
        for incarnation, path in self._files(node, "steps"):
            for entry in read_steps(path):
                yield incarnation, entry.now_ns, decode_event(entry.event)

    def heralds(self) -> dict[str, int]:
        """Successes that each link's station counted."""
        found: dict[str, int] = {}
        for node in self.agents:
            for _, _, event in self.steps(node):
                if isinstance(event, StationHeralded):
                    found[event.link] = found.get(event.link, 0) + 1
        return dict(sorted(found.items()))

    def ready_ns(self, after_ns: int, before_ns: int | None = None) -> int | None:
        """When the lab was whole again after a fault at `after_ns`, by what its agents recorded.

        The latest news "peer up" or "instrument ready" between the two moments; None if there is none, or
        something was still not up at the end of them.
        """
        latest: int | None = None
        for node in self.agents:
            state: dict[tuple[str, str], bool] = {}
            life = 0
            for incarnation, now_ns, event in self.steps(node):
                if before_ns is not None and now_ns >= before_ns:
                    break
                if incarnation != life:
                    life, state = incarnation, {}
                if isinstance(event, PeerChanged):
                    good, key = event.state == "up", ("peer", event.peer)
                elif isinstance(event, DeviceChanged):
                    good, key = event.ready, ("device", event.role)
                else:
                    continue
                if good and now_ns > after_ns:
                    latest = max(now_ns, latest or 0)
                state[key] = good
            if not all(state.values()):
                return None
        return latest


def aged_back(truth: TruthLine, to_ns: int, rates: tuple[float, float, float]) -> float:
    """Fidelity that the World's pair had at an earlier moment; `rates`: decay of lambda_1..3 per ns.

    Only storage lies between the estimate and the release, and storage multiplies each eigenvalue by
    exp(-rate x time) (algorithms.md 11.5), so it can be undone on the known truth.
    """
    lapse_ns = truth.at_ns - to_ns
    values = zip(eigenvalues(truth.state), rates, strict=True)
    return (1.0 + sum(value * exp(rate * lapse_ns) for value, rate in values)) / 4.0
