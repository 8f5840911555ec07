"""The ten-node lab, live on emulated instruments: each link loses its light, each node is killed, in turn.

Owns the outages and what is seen of the three standing requests, which have reserved a rate and keep to it;
processes belong to the supervisor. A request that needs what is gone must be re-routed or ended within
WITHIN_S of it, and what has ended is asked for again once all is repaired. Another one must not notice: its
pairs of the seconds after the outage are held against those of the seconds before. Times are those of the
agents' reports, against the moment of the outage. A request that its monitor has suspended has no plan in
force that an outage could break: no outage begins before it is back, and one that is suspended meanwhile (a
busy machine ages pairs) is counted as such.

Usage: python -m tests.hosts.outages_run [--only NAME ...]    writes bench/results/outages_live.json
"""

import argparse
import asyncio
import json
import logging
import math
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog

from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import NS_PER_S
from bellwire.runtime.control import ask
from bellwire.runtime.supervisor import EMULATOR
from bellwire.study.outages import Outage
from tests.hosts.live import FINAL, ROOT, LiveLab, lab_up, live_lab, wait_for

WITHIN_S = 5.0
PAIRS_FIRST = 3
"""Delivered by each request since the last outage, before the next one."""

PATIENCE_S = 60.0
RATE_HZ = 3.0
"""Reserved by each request."""
BESIDE_S = 6.0
"""Pairs of requests that an outage does not concern are counted so long before and after it."""


@dataclass
class Case:
    """One outage, and what became of each request it concerned."""

    outage: Outage
    affected: dict[str, str] = field(default_factory=dict)  # request -> what became of it
    after_s: dict[str, float] = field(default_factory=dict)
    # pairs of the requests that it does not concern: BESIDE_S before it, and after it
    others: dict[str, tuple[int, int]] = field(default_factory=dict)


class Rounds:
    """Outage after outage on one lab that is up."""

    def __init__(self, up: LiveLab) -> None:
        self.up = up
        self.cases: list[Case] = []
        self.number = 0
        self.names: dict[str, str] = {}  # request of the lab file -> the one that stands for it now

    async def ask_for(self, request: EntanglementRequest) -> None:
        """A standing request with the terms of one of the lab's."""
        self.number += 1
        name = f"{request.request_id}.{self.number}"
        self.names[request.request_id] = name
        await self.up.supervisor.submit(
            msgspec.structs.replace(
                request,
                request_id=name,
                count=None,
                until_cancelled=True,
                deadline_ns=None,
                when_unreachable="end",
                rate_threshold_hz=RATE_HZ,
                reserved_only=True,
            )
        )

    def source_of(self, name: str) -> str:
        """The source of a request of the lab file."""
        return next(one.target_nodes[0] for one in self.up.supervisor.lab.requests if one.request_id == name)

    def told(self, name: str, *kinds: str) -> list[dict[str, Any]]:
        """Reports of a request at its source."""
        source = self.source_of(name)
        return [
            each
            for each in self.up.reports
            if each["request"] == self.names[name] and each["node"] == source and each["name"] in kinds
        ]

    def suspended(self, name: str) -> bool:
        """Whether its monitor has taken its plan out of force for a while."""
        return self.up.status(self.names[name]) == "suspended"

    def uses(self, name: str, outage: Outage) -> bool:
        """Whether the plan in force needs what is taken away, by the tree that its source told."""
        active = self.told(name, "plan_active")
        tree = str(active[-1]["fields"]["tree"]) if active else ""
        nodes = tree.replace("(", " ").replace(")", " ").split()
        if outage.kind == "node":
            return outage.name in nodes
        link = self.up.supervisor.lab.network.links[outage.name]
        return f"({link.nodes[0]} {link.nodes[1]})" in tree or f"({link.nodes[1]} {link.nodes[0]})" in tree

    async def settle(self) -> None:
        """Every request is there, delivers, and nothing is known to be broken."""
        begun: dict[str, int] = {}

        async def all_deliver() -> bool:
            await self.up.look()
            for request in self.up.supervisor.lab.requests:
                name = request.request_id
                # What is not known to be repaired yet turns a request away: it is made again.
                if name not in self.names or self.up.status(self.names[name]) in FINAL:
                    await self.ask_for(request)
                    begun.pop(name, None)
                begun.setdefault(name, len(self.told(name, "pair_delivered")))
            return all(
                len(self.told(name, "pair_delivered")) >= count + PAIRS_FIRST and not self.suspended(name)
                for name, count in begun.items()
            )

        await wait_for(all_deliver, "every request delivers", PATIENCE_S)

    async def go_through(
        self, outage: Outage, act: Callable[[], Awaitable[None]], mend: Callable[[], Awaitable[None]]
    ) -> None:
        """One outage from its beginning to its repair."""
        await self.settle()
        case = Case(outage)
        self.cases.append(case)
        concerned = [name for name in self.names if self.uses(name, outage)]
        beside = [name for name in self.names if name not in concerned]
        settled_ns = time.time_ns()
        await self.up.until(
            lambda: time.time_ns() >= settled_ns + BESIDE_S * NS_PER_S, "a calm while", PATIENCE_S
        )
        at_ns = time.time_ns()
        await act()

        def decided() -> bool:
            for name in concerned:
                if name not in case.affected:
                    self._look(case, name, at_ns)
            return len(case.affected) == len(concerned)

        await self.up.until(decided, f"{outage} is decided", PATIENCE_S)
        await self.up.until(
            lambda: time.time_ns() >= at_ns + BESIDE_S * NS_PER_S, "a while afterwards", PATIENCE_S
        )
        case.others = {name: self._around(name, at_ns) for name in beside}
        await mend()
        times = {name: round(after_s, 2) for name, after_s in case.after_s.items()}
        say(f"{outage}: {case.affected} {times}; others {case.others}")
        if max(case.after_s.values(), default=0.0) > WITHIN_S or "suspended" in case.affected.values():
            self._say_what_was_told(at_ns)

    def _around(self, name: str, at_ns: int) -> tuple[int, int]:
        """Pairs of a request in the seconds before a moment, and after it."""
        after_s = [(each["at_ns"] - at_ns) / NS_PER_S for each in self.told(name, "pair_delivered")]
        return sum(-BESIDE_S <= one < 0.0 for one in after_s), sum(0.0 <= one < BESIDE_S for one in after_s)

    def _say_what_was_told(self, at_ns: int) -> None:
        """All reports around a late decision but those of single pairs."""
        for each in self.up.reports:
            if each["at_ns"] > at_ns - NS_PER_S and not each["name"].startswith(("pair_", "swap")):
                after_s = (each["at_ns"] - at_ns) / NS_PER_S
                say(f"  {after_s:+.2f} {each['node']} {each['request']} {each['name']} {each['fields']}")

    def _look(self, case: Case, name: str, at_ns: int) -> None:
        outage = case.outage
        if outage.kind == "node" and outage.name == self.source_of(name):
            case.affected[name], case.after_s[name] = "source gone", 0.0
            return
        if self.suspended(name) and self.told(name, "request_status")[-1]["at_ns"] < at_ns:
            case.affected[name], case.after_s[name] = (
                "suspended",
                0.0,
            )  # the last word came after all had settled
            return
        for each in self.told(name, "plan_active", "request_status"):
            if each["at_ns"] < at_ns:
                continue
            after_s = (each["at_ns"] - at_ns) / NS_PER_S
            if each["name"] == "request_status" and each["fields"]["status"] in {*FINAL, "suspended"}:
                became = "suspended" if each["fields"]["status"] == "suspended" else "ended"
                case.affected[name], case.after_s[name] = became, after_s
                return
            if each["name"] == "plan_active" and not self.uses(name, outage):
                case.affected[name], case.after_s[name] = "re-routed", after_s
                return


async def run(only: list[str]) -> tuple[float, list[Case]]:
    """All outages, or those of the links and nodes named; and the seconds until the lab was ready."""
    with tempfile.TemporaryDirectory() as folder:
        lab = live_lab(Path(folder), "scy_qnet")
        began_s = time.monotonic()
        async with lab_up(lab, Path(folder) / "state", ready_s=120.0) as up:
            ready_s = time.monotonic() - began_s
            say(f"ready after {ready_s:.1f} s")
            rounds = Rounds(up)
            truths = {truth.name: truth for truth in lab.world()[0]}
            supervisor = up.supervisor

            async def light(link: str, probability: float) -> None:
                await ask(
                    supervisor.state_dir, EMULATOR, "change_link", link=link, success_probability=probability
                )

            for link in lab.network.links:
                if not only or link in only:
                    usual = truths[link].success_probability
                    await rounds.go_through(
                        Outage("link", link),
                        lambda link=link: light(link, 0.0),  # type: ignore[misc]
                        lambda link=link, usual=usual: light(link, usual),  # type: ignore[misc]
                    )
            for node, settings in lab.network.nodes.items():
                if settings.role != "station" and (not only or node in only):

                    async def kill(node: str = node) -> None:
                        supervisor.hold(node)

                    async def revive(node: str = node) -> None:
                        supervisor.let_run(node)
                        await wait_for(up.is_ready, "all are ready again", PATIENCE_S)

                    await rounds.go_through(Outage("node", node), kill, revive)
            return ready_s, rounds.cases


def say(text: str) -> None:
    """To whoever started it, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result_of(ready_s: float, cases: list[Case]) -> dict[str, Any]:
    """As a table."""
    rows = []
    for kind in ("link", "node"):
        chosen = [case for case in cases if case.outage.kind == kind]
        for became in ("re-routed", "ended", "suspended"):
            times = sorted(
                case.after_s[name]
                for case in chosen
                for name, happened in case.affected.items()
                if happened == became
            )
            if times:
                rows.append(
                    {
                        "taken away": f"{len(chosen)} {kind}s",
                        "affected requests": became,
                        "count": len(times),
                        "least_s": round(times[0], 2),
                        "median_s": round(times[len(times) // 2], 2),
                        "most_s": round(times[-1], 2),
                    }
                )
    before, after = (sum(pairs[when] for case in cases for pairs in case.others.values()) for when in (0, 1))
    ratio = after / before if before else math.nan
    error = ratio * math.sqrt(1 / before + 1 / after) if before and after else math.nan
    gone = sum(happened == "source gone" for case in cases for happened in case.affected.values())
    return {
        "title": "The ten-node lab, live on emulated instruments, loses each link and node in turn",
        "command": "python -m tests.hosts.outages_run",
        "rows": rows,
        "note": f"20 agents, ready after {ready_s:.1f} s; {len(cases)} outages; the source of "
        f"{gone} requests was killed itself. Each request has reserved {RATE_HZ:g} pairs/s and keeps to it. "
        f"Those that an outage does not concern had {before} pairs in the {BESIDE_S:g} s before it and "
        f"{after} in those after it: {ratio:.3f} ± {error:.3f}.",
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[])
    only = parser.parse_args().only
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    ready_s, cases = asyncio.run(run(only))
    late = [
        f"{case.outage}: {name} {case.affected[name]} after {after_s:.2f} s"
        for case in cases
        for name, after_s in case.after_s.items()
        if after_s > WITHIN_S
    ]
    result = result_of(ready_s, cases)
    say("\n".join([json.dumps(result, indent=1), *late]))
    if not only:
        target = ROOT / "bench" / "results" / "outages_live.json"
        target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
