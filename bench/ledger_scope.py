"""What a replica costs as the network grows: every fact to everybody, or the facts of one's own routes.

What is counted, in virtual time: a ring of N nodes, a request over three links from every third node, so that
every node has the same to do whatever N is. Facts, digests and all other words travel as messages, encoded as
on the live bus. Per node and second: messages and bytes received; and the bytes that the ledger of a node
(records, streams, remembered facts) holds in memory at the end. The same seed in both runs of one size: the
pairs that are delivered are compared, for decisions rest on the same rows.

A replicated run of N nodes is N times the traffic of one node; above `PLAYED_MAX` nodes it is not played.
What it costs there follows from the other run: every node is sent every published batch, and one replica that
is told all its facts is measured.

Usage: python bench/ledger_scope.py  ->  bench/results/ledger_scope.json
"""

import gc
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import Any, Final

import msgspec
from _measure import surroundings, write_result
from msgspec.structs import replace as changed

from bellwire.core.codec import encode
from bellwire.core.effects import Effect, Publish
from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.messages import FactBatch, Message
from bellwire.core.plans import Circumstances, EntanglementRequest, RequestPlan
from bellwire.core.settings import LedgerScope, NetworkSettings, NodeSettings
from bellwire.gem.replica import Replica
from bellwire.labs import Lab, build_lab
from bellwire.labs.models import LabFile
from bellwire.node.machines import QuantumNode
from bellwire.planner.plans import compute_plan
from bellwire.simulator_backend.message_host import MessageHost
from bellwire.simulator_backend.simulation import Observer
from bellwire.simulator_backend.world import LinkTruth, MemoryTruth

SIZES: Final = (12, 99, 999, 9_999)
PLAYED_MAX: Final = 100
HOPS: Final = 3
REGION: Final = 9
SECONDS: Final = 2.0
DELAY_NS: Final = 20_000  # of a word over one link
NEAR: Final = 12  # links over which words are sent at most
SEED: Final = 1


def pattern() -> Lab:
    """A chain whose middle nodes, middle link and request are copied all around the ring."""
    link = {
        "lanes": 2,
        "length_km": 4.0,
        "attempt": {"period_us": 1000.0, "success_probability": 0.02, "fidelity": 0.98},
    }
    document = {
        "lab": "pattern",
        "nodes": {name: {"role": "end", "relays": True} for name in "abcd"},
        "links": {f"{one}-{two}": {"nodes": (one, two), **link} for one, two in ("ab", "bc", "cd")},
        "requests": (
            {
                "id": "q",
                "from": "a",
                "to": "d",
                "route": ("a", "b", "c", "d"),
                "duration_s": SECONDS,
                "consumption": "measure",
            },
        ),
    }
    return build_lab(LabFile.model_validate(document))


@dataclass(frozen=True)
class Ring:
    """The lab; satisfies VirtualLab."""

    network: NetworkSettings
    requests: tuple[EntanglementRequest, ...]
    scenario: Any
    truths: tuple[list[LinkTruth], list[MemoryTruth]]
    name: str = "ring"
    digest: str = ""
    plan_together: None = None

    def world(self) -> tuple[list[LinkTruth], list[MemoryTruth]]:
        """The hidden truth."""
        return self.truths


def ring(size: int, scope: LedgerScope) -> Ring:
    """So many nodes in a ring, and a third as many requests."""
    lab = pattern()
    names = [f"n{at}" for at in range(size)]
    node, link = lab.network.nodes["b"], lab.network.links["b-c"]
    truths, memories = lab.world()
    truth, memory = truths[1], memories[1]
    ends = {f"l{at}": (names[at], names[(at + 1) % size]) for at in range(size)}
    delays: dict[NodeId, dict[NodeId, int]] = {name: {} for name in names}
    for at, name in enumerate(names):
        for far in range(-NEAR, NEAR + 1) if size > PLAYED_MAX else range(size):
            steps = min(far % size, -far % size)
            delays[name][names[(at + far) % size]] = DELAY_NS * steps
    routes = [tuple(names[(at + step) % size] for step in range(HOPS + 1)) for at in range(0, size, HOPS)]
    network = changed(
        lab.network,
        nodes={
            name: changed(node, name=name, links=(f"l{(at - 1) % size}", f"l{at}"), region=f"r{at // REGION}")
            for at, name in enumerate(names)
        },
        links={name: changed(link, link=name, nodes=pair) for name, pair in ends.items()},
        delays_ns=delays,
        ledgers=scope,
    )
    requests = tuple(
        changed(lab.requests[0], request_id=f"q{number}", target_nodes=(route[0], route[-1]), route=route)
        for number, route in enumerate(routes)
    )
    world = (
        [replace(truth, name=name, nodes=pair) for name, pair in ends.items()],
        [replace(memory, node=name) for name in names],
    )
    return Ring(network, requests, lab.scenario, world)


def planner(network: NetworkSettings) -> Any:
    """Plans on the nodes of the route alone: how long a plan takes on a large network is not the question."""

    def compute(
        request: EntanglementRequest, version: int, circumstances: Circumstances
    ) -> RequestPlan | str:
        assert request.route is not None
        nodes: dict[NodeId, NodeSettings] = {name: network.nodes[name] for name in request.route}
        links = {
            name: network.links[name]
            for node in nodes.values()
            for name in node.links
            if set(network.links[name].nodes) <= nodes.keys()
        }
        within = {
            name: changed(node, links=tuple(name for name in node.links if name in links))
            for name, node in nodes.items()
        }
        return compute_plan(changed(network, nodes=within, links=links), request, version, circumstances)

    return compute


def size_of(thing: object, shared: set[int]) -> int:
    """Bytes of an object and everything that only it leads to; code, classes and `shared` left out."""
    seen, total, rest = set(shared), 0, [thing]
    while rest:
        one = rest.pop()
        if id(one) in seen or isinstance(one, (type, ModuleType, FunctionType)):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        rest.extend(leads_to(one))
    return total


def leads_to(thing: object) -> list[Any]:
    """What an object refers to. Words hide from the collector, which need not look at them."""
    if isinstance(thing, msgspec.Struct):
        return [getattr(thing, name) for name in thing.__struct_fields__]
    return gc.get_referents(thing)


def ids_within(thing: object) -> set[int]:
    """Ids of an object and of everything that it leads to."""
    seen: set[int] = set()
    rest = [thing]
    while rest:
        one = rest.pop()
        if id(one) not in seen and not isinstance(one, (type, ModuleType, FunctionType)):
            seen.add(id(one))
            rest.extend(leads_to(one))
    return seen


class Counting:
    """Every word that is sent, by its receiver, and every batch of facts, by its author."""

    def __init__(self, host: MessageHost) -> None:
        self.messages: Counter[NodeId] = Counter()
        self.bytes: Counter[NodeId] = Counter()
        self.kinds: Counter[str] = Counter()
        self.facts: dict[NodeId, list[FactBatch]] = defaultdict(list)
        self._send = host.post.send
        host.post.send = self.send  # type: ignore[method-assign]

    def send(self, source: NodeId, incarnation: int, to: NodeId, message: Message) -> None:
        size = len(encode(message))
        self.messages[to] += 1
        self.bytes[to] += size
        self.kinds[type(message).__name__] += size
        self._send(source, incarnation, to, message)

    def watch(self, now_ns: int, node: NodeId, event: Event, effects: list[Effect]) -> None:
        for effect in effects:
            if type(effect) is Publish and not effect.again:
                self.facts[node].append(effect.batch)


def played(size: int, scope: LedgerScope) -> dict[str, Any]:
    """One run."""
    lab = ring(size, scope)
    seen: list[Counting] = []
    host = MessageHost(lab, SEED, planner(lab.network), watch=lambda *step: seen[0].watch(*step))
    seen.append(Counting(host))
    observer = Observer(host)
    began_s = time.perf_counter()
    host.start()
    host.run(round(SECONDS * 1e9))
    wall_s = time.perf_counter() - began_s
    counting = seen[0]
    shared = ids_within(lab)
    nodes = list(lab.network.nodes)
    sample = nodes[:: max(1, size // 12)][:12]
    ledgers = [size_of(_gem(host.machines[name]), shared) for name in sample]
    facts = sum(len(batch.facts) for batches in counting.facts.values() for batch in batches)
    published = sum(len(encode(batch)) for batches in counting.facts.values() for batch in batches)
    told = counting.kinds["FactBatch"]
    return {
        "lab": lab,
        "counting": counting,
        "facts": facts,
        "published": published,
        "other_bytes": sum(counting.bytes.values()) - told,
        "delivered": sum(len(one.delivered_ns) for one in observer.outcomes.values()),
        "bytes": sum(counting.bytes.values()) / size / SECONDS,
        "messages": sum(counting.messages.values()) / size / SECONDS,
        "most": max(counting.bytes.values()) / SECONDS,
        "ledger": sum(ledgers) / len(ledgers),
        "wall_s": wall_s,
        "shared": shared,
    }


def _gem(machine: object) -> object:
    assert isinstance(machine, QuantumNode)
    return machine.gem


def replicated_ledger(run: dict[str, Any]) -> int:
    """Bytes of one replica that is told every fact of a run."""
    network: NetworkSettings = run["lab"].network
    node = next(iter(network.nodes))
    replica = Replica(network, node)
    facts: dict[NodeId, list[FactBatch]] = run["counting"].facts
    for author, batches in facts.items():
        for batch in batches:
            if author == node:
                for fact in batch.facts:
                    if replica.own.incarnation == 0:
                        replica.begin(batch.incarnation, 0)
                    else:
                        replica.author(fact)
            else:
                replica.take(author, batch.incarnation, batch.first, batch.facts)
    return size_of(replica, run["shared"])


def row(size: int) -> dict[str, Any]:
    """One size: both ways."""
    routes = played(size, "routes")
    found = {
        "nodes": size,
        "facts_per_node_s": routes["facts"] / size / SECONDS,
        "routes_kB_per_node_s": routes["bytes"] / 1e3,
        "routes_busiest_kB_s": routes["most"] / 1e3,
        "routes_ledger_kB": routes["ledger"] / 1e3,
    }
    # Everybody but the author is sent each batch; other words are the same.
    computed = (routes["published"] * (size - 1) + routes["other_bytes"]) / size / SECONDS
    if size <= PLAYED_MAX:
        everybody = played(size, "network")
        found |= {
            "network_kB_per_node_s": everybody["bytes"] / 1e3,
            "network_computed_kB": computed / 1e3,
            "network_ledger_kB": everybody["ledger"] / 1e3,
            "pairs_routes": routes["delivered"],
            "pairs_network": everybody["delivered"],
        }
    else:
        found |= {
            "network_kB_per_node_s": None,
            "network_computed_kB": computed / 1e3,
            "network_ledger_kB": replicated_ledger(routes) / 1e3,
            "pairs_routes": routes["delivered"],
            "pairs_network": None,
        }
    print(found, f"{routes['wall_s']:.0f} s", flush=True)
    return found


def main() -> None:
    """Measure, print, write."""
    sizes = tuple(int(text) for text in sys.argv[1:]) or SIZES
    rows = [row(size) for size in sizes]
    if sizes != SIZES:
        return
    write_result(
        "ledger_scope",
        title="What a ledger costs as the network grows, by what it hears of",
        command="python bench/ledger_scope.py",
        rows=rows,
        note="A ring, a request over three links from every third node. Pairs of the same seed: equal "
        "numbers are equal decisions. Above 100 nodes the network-wide ledger is computed from the published "
        f"facts; where both are there, they agree. {surroundings()}.",
    )


if __name__ == "__main__":
    main()
