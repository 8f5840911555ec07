"""Running an application's request, on a lab that is up or in virtual time, and what the World knows of it.

Owns the two ways to run a request to its end and to gather what its members told. Refuses statistics
(bellwire.applications) and words for people (cli).
"""

import asyncio
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bellwire.applications.deliveries import Deliveries, Delivery
from bellwire.core.bell import Bell, permute
from bellwire.core.effects import Report
from bellwire.core.errors import ConfigError
from bellwire.core.ids import End, NodeId
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import NS_PER_S, ns_from_s
from bellwire.simulator_backend.world_fusions import GroupTruth
from bellwire.simulator_backend.world_words import PairTruth

if TYPE_CHECKING:
    from bellwire.labs import Lab

POLL_S: Final = 0.2
STRIDE_NS: Final = NS_PER_S // 10
"""Virtual time between two looks at whether all is over."""
NAMES: Final = frozenset({"request_status", "plan_failed", "pair_void", "pair_delivered", "qubit_used"})


@dataclass(slots=True)
class TruePair:
    """A delivered pair as the World saw it when the first of its qubits was used up."""

    at_ns: int
    frame: int  # the true one
    state: Bell  # relative to it

    def relative_to(self, frame: int) -> Bell:
        """The state as whoever believes in this frame should see it."""
        return permute(self.state, self.frame ^ frame)


@dataclass(slots=True)
class Truths:
    """What the World wrote of the qubits of a run."""

    pairs: dict[frozenset[str], TruePair] = field(default_factory=dict[frozenset[str], TruePair])
    groups: dict[str, GroupTruth] = field(default_factory=dict[str, GroupTruth])  # by each of its ends
    turning: dict[frozenset[str], TruePair] = field(default_factory=dict[frozenset[str], TruePair])

    def see_pair(self, ends: frozenset[str], pair: TruePair) -> None:
        """A qubit of a pair is about to be used up. Only the first sight counts."""
        self.pairs.setdefault(ends, pair)

    def see_turn(self, ends: frozenset[str], pair: TruePair) -> None:
        """A qubit of a pair is about to be turned: after that it is no Bell-diagonal pair any more, and where
        the turn belongs to its measurement, it is not seen again. The last sight counts."""
        self.turning[ends] = pair

    def see_group(self, truth: GroupTruth, members: int) -> None:
        """The same, of a state of three and more, once it is the wanted one."""
        if len(truth.ends) == members:
            for end in truth.ends:
                self.groups.setdefault(str(end), truth)

    def of(self, delivery: Delivery) -> TruePair | None:
        """The pair of a delivery, None: the World did not tell."""
        return self.pairs.get(delivery.ends) or self.turning.get(delivery.ends)


@dataclass(slots=True)
class ApplicationRun:
    """What came of a request."""

    deliveries: Deliveries
    truths: Truths
    duration_s: float
    over: bool  # False: the time was up before the end


def run_virtual(lab: "Lab", request: EntanglementRequest, seed: int, within_s: float) -> ApplicationRun:
    """Run the request alone in virtual time, for at most `within_s` of it."""
    from bellwire.planner.joint_plans import planner_for
    from bellwire.simulator_backend.host import VirtualHost

    alone = replace(lab, requests=(request,))
    host = VirtualHost(alone, seed, planner_for(alone.network, alone.requests, None))
    deliveries, truths = Deliveries(request), Truths()

    def reported(now_ns: int, node: NodeId, report: Report) -> None:
        if report.request == request.request_id and report.name in NAMES:
            deliveries.take(node, now_ns, report.name, report.fields)

    def witnessed(now_ns: int, node: NodeId, slot: int, truth: PairTruth) -> None:
        ends = frozenset(str(end) for end in truth.ends)
        truths.see_pair(ends, TruePair(now_ns, truth.frame, truth.state))

    def group_witnessed(now_ns: int, node: NodeId, truth: GroupTruth) -> None:
        truths.see_group(truth, len(request.target_nodes))

    host.reports.append(reported)
    host.witnesses.append(witnessed)
    if len(request.target_nodes) > 2:
        host.bindings.group_witnesses.append(group_witnessed)
    host.start()
    limit_ns = ns_from_s(within_s)
    while not deliveries.ended and host.clock.now_ns < limit_ns:
        host.run(min(host.clock.now_ns + STRIDE_NS, limit_ns))
    return ApplicationRun(deliveries, truths, host.clock.now_ns / NS_PER_S, deliveries.ended)


async def run_live(request: EntanglementRequest, state: Path, within_s: float) -> ApplicationRun:
    """Submit the request to a lab that is up, and follow all of its members for at most `within_s`.

    Raises:
        ConfigError: a member does not answer, or one has made more reports than it keeps.
    """
    from bellwire.runtime.control import ask

    members = request.target_nodes
    deliveries, truths = Deliveries(request), Truths()
    after: dict[NodeId, int] = {}
    for node in members:
        earlier = await ask(state, node, "reports", after=0)
        after[node] = earlier[-1]["number"] if earlier else 0
    written = _truth_file(state)
    begin = 0 if written is None else written.stat().st_size
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    await ask(state, members[0], "submit", request=msgspec.to_builtins(request))
    while not deliveries.ended and loop.time() < started_s + within_s:
        await asyncio.sleep(POLL_S)
        for node in members:
            for report in await ask(state, node, "reports", after=after[node]):
                if report["number"] != after[node] + 1:
                    raise ConfigError(f"{node} made more reports than it keeps: ask for fewer pairs at once")
                after[node] = report["number"]
                if report["request"] == request.request_id and report["name"] in NAMES:
                    deliveries.take(node, report["at_ns"], report["name"], report["fields"])
    over = deliveries.ended
    duration_s = loop.time() - started_s
    if not over:
        await ask(state, members[0], "cancel", request=request.request_id)
    if written is not None:
        await ask(state, "emulator", "status")  # it writes out what it knows
        _read_truths(written, begin, len(members), truths)
    return ApplicationRun(deliveries, truths, duration_s, over)


def _truth_file(state: Path) -> Path | None:
    """Where the emulator of the newest run writes; None: nothing is emulated."""
    files = sorted((state / "runs").glob("*/truth.jsonl"), key=lambda path: path.stat().st_mtime)
    return files[-1] if files else None


def _read_truths(path: Path, begin: int, members: int, truths: Truths) -> None:
    with path.open("rb") as file:
        file.seek(begin)
        for line in file:
            if not line.endswith(b"\n"):
                break
            _take_truth(json.loads(line), members, truths)


def _take_truth(entry: dict[str, Any], members: int, truths: Truths) -> None:
    if entry["operation"].startswith("pauli"):
        return
    group, truth = entry.get("group"), entry["truth"]
    if entry["operation"].startswith("rotation"):
        if truth is not None:
            truths.see_turn(*_pair_of(entry))
    elif group is not None and "density" in group:
        ends = tuple(End(*end) for end in group["ends"])
        truths.see_group(GroupTruth.of_parts(ends, tuple(group["nodes"]), group["density"]), members)
    elif truth is not None:
        truths.see_pair(*_pair_of(entry))


def _pair_of(entry: dict[str, Any]) -> tuple[frozenset[str], TruePair]:
    truth = entry["truth"]
    ends = frozenset(str(End(*end)) for end in truth["ends"])
    return ends, TruePair(entry["at_ns"], truth["frame"], tuple(truth["state"]))
