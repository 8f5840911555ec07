"""What the processes of a running lab say about themselves: links, swaps, nodes and their instruments.

Owns the reading of status answers and the verdict `ready` or `degraded` with its reason. Only `ask_all`
opens sockets; the picture is handed its answers.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bellwire.core.errors import ConfigError
from bellwire.core.ids import LinkId, NodeId

if TYPE_CHECKING:
    from bellwire.labs import Lab

ANSWER_S = 2.0
RATE_WINDOW_NS = 4_000_000_000
"""Heralds per second are counted over this time."""

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether something may be used, and if not, why."""

    state: str  # starting, ready, degraded
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.state}: {self.reason}" if self.reason else self.state


class LabStatus:
    """The latest answers of all nodes and stations of a lab, and how fast each link heralds."""

    def __init__(self, lab: "Lab") -> None:
        self.lab = lab
        self.started = False  # until then, trouble means "starting" and nothing worse
        self._answers: dict[NodeId, Answer | None] = dict.fromkeys(lab.addresses)
        self._heralds: dict[LinkId, deque[tuple[int, int]]] = {name: deque() for name in lab.network.links}

    def look(self, now_ns: int, answers: Mapping[NodeId, Answer | None], *, started: bool) -> None:
        """New answers; None: that process does not answer. `now_ns`: any clock, always the same.

        started: the lab was up already when it was asked.
        """
        self.started = started
        self._answers.update(answers)
        for name, seen in self._heralds.items():
            count = self.link_counts()[name]["heralds"]
            if seen and count < seen[-1][1]:
                seen.clear()  # its node began again from 0
            seen.append((now_ns, count))
            while len(seen) > 2 and now_ns - seen[1][0] >= RATE_WINDOW_NS:
                seen.popleft()

    # ---- verdicts

    def node(self, name: NodeId) -> Standing:
        """A node or station, by its own answer."""
        answer = self._answers.get(name)
        if answer is None:
            return Standing("degraded", f"{name} does not answer") if self.started else Standing("starting")
        troubles = [text for text, ready in self.instruments(name).values() if not ready]
        return self._standing([f"{name} {trouble}" for trouble in troubles])

    def link(self, name: LinkId) -> Standing:
        """A link: its two nodes and its station work and hear each other."""
        link = self.lab.network.links[name]
        members = [*link.nodes] if link.station is None else [*link.nodes, link.station]
        standings = [self.node(member) for member in members]
        reasons = [standing.reason for standing in standings if standing.reason]
        for member in members:
            heard: Mapping[str, str | None] = (self._answers.get(member) or {}).get("peers", {})
            reasons += [
                f"{member} does not hear {peer}"
                for peer, state in heard.items()
                if peer in members and state != "up" and f"{peer} does not answer" not in reasons
            ]
        if not reasons and any(standing.state == "starting" for standing in standings):
            return Standing("starting")
        return self._standing(reasons)

    def _standing(self, reasons: list[str]) -> Standing:
        if not reasons:
            return Standing("ready")
        return Standing("degraded" if self.started else "starting", "; ".join(reasons))

    def instruments(self, name: NodeId) -> dict[str, tuple[str, bool]]:
        """By role: what to say about each instrument of a node, and whether it is ready."""
        answer = self._answers.get(name)
        if answer is None:
            return {}
        told: dict[str, tuple[str, bool]] = {}
        for instrument, state in answer.get("instruments", {}).items():
            role, condition = instrument.removeprefix(f"{name}-"), state["condition"]
            ready = condition == "ready"
            reason = f" ({state['reason']})" if state["reason"] and not ready else ""
            told[role] = (f"{role} {condition}{reason}", ready)
        return told

    # ---- counts

    def counters(self) -> dict[NodeId, Answer]:
        """Link and swap counters as each process has told them; silent ones are missing."""
        return {name: answer for name, answer in self._answers.items() if answer is not None}

    def link_counts(self) -> dict[LinkId, dict[str, int]]:
        """See `link_counts`."""
        return link_counts(self.lab, self.counters())

    def herald_rate_hz(self, name: LinkId) -> float | None:
        """Heralds per second of late; None before two looks."""
        seen = self._heralds[name]
        if len(seen) < 2 or seen[-1][0] == seen[0][0]:
            return None
        return (seen[-1][1] - seen[0][1]) * 1e9 / (seen[-1][0] - seen[0][0])


def link_counts(lab: "Lab", counters: Mapping[NodeId, Answer]) -> dict[LinkId, dict[str, int]]:
    """Of each link: `heralds` that reached an end, halves that were `unusable`, lanes left in the `unknown`.

    A herald that reached both ends counts once; the other two count at each end for itself.
    """
    counts: dict[LinkId, dict[str, int]] = {}
    for name, link in lab.network.links.items():
        sides = [(counters.get(node) or {}).get("links", {}).get(name, {}) for node in link.nodes]
        counts[name] = {
            "heralds": max(side.get("heralds", 0) for side in sides),
            "unusable": sum(side.get("unusable", 0) for side in sides),
            "unknown": sum(side.get("unknown", 0) for side in sides),
        }
    return counts


def swap_counts(counters: Mapping[NodeId, Answer]) -> dict[str, int]:
    """Swaps of all nodes together: tried, succeeded, failed, unknown."""
    return _outcomes(counters, "swaps")


def fusion_counts(counters: Mapping[NodeId, Answer]) -> dict[str, int]:
    """Joins of GHZ states at all nodes together, as for swaps."""
    return _outcomes(counters, "fusions")


def _outcomes(counters: Mapping[NodeId, Answer], table: str) -> dict[str, int]:
    return {
        outcome: sum(one.get(table, {}).get(outcome, 0) for one in counters.values())
        for outcome in ("tried", "succeeded", "failed", "unknown")
    }


async def ask_all(lab: "Lab", state: Path) -> dict[NodeId, Answer | None]:
    """The status of every process of a lab; None: it does not answer."""
    import asyncio

    from bellwire.runtime.control import ask

    async def status(name: NodeId) -> Answer | None:
        try:
            answer: Answer = await ask(state, name, "status", within_s=ANSWER_S)
        except ConfigError:
            return None
        return answer

    names = list(lab.addresses)
    return dict(zip(names, await asyncio.gather(*map(status, names)), strict=True))
