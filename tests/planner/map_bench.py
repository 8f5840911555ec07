"""Nodes that announce themselves to one another, with messages that a test may hold back, lose or shuffle."""

from collections.abc import Callable
from typing import Any

import msgspec

from bellwire.core.effects import Report, Send
from bellwire.core.events import Event, PeerChanged, Received, Started, TimerFired
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import LinkStateTold, NodeLeaving, PeerLeft, PeerLost
from bellwire.core.settings import NetworkSettings, TopologySettings
from bellwire.node.routing import NodeMachine
from bellwire.planner.announcing import NodeAnnouncing
from bellwire.planner.network_map import NetworkMap
from tests.node.networks import chain

MS = 1_000_000
SECOND = 1_000 * MS
TOPOLOGY = TopologySettings()
NETWORK = msgspec.structs.replace(chain(lanes=1), topology=TOPOLOGY)


class Said(msgspec.Struct, frozen=True):
    """A part of the node has found something out about a link."""

    told: LinkStateTold


class Ear:
    """The rest of the node: what it is told is kept."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_events(self) -> dict[type, Handler]:
        return {Said: lambda step, said: step.tell(said.told)}

    def on_messages(self) -> dict[type, Handler]:
        return {}

    def on_notices(self) -> dict[type, Handler]:
        return {
            kind: lambda step, notice: self.told.append(notice) for kind in (PeerLeft, PeerLost, NodeLeaving)
        }

    def gives(self) -> frozenset[type]:
        return frozenset({LinkStateTold})

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        pass


class MapNode:
    """One life of one node: its map, its announcements, and what it was heard to say."""

    def __init__(self, network: NetworkSettings, name: str, incarnation: int) -> None:
        self.name, self.incarnation = name, incarnation
        self.map = NetworkMap(network, name)
        self.announcing = NodeAnnouncing(network, TOPOLOGY, name, self.map.digest)
        self.ear = Ear()
        self.machine = NodeMachine(name, [self.map, self.announcing, self.ear])


class Bench:
    """Some nodes of a network. `settings`: another file than the others have, by node."""

    def __init__(
        self, network: NetworkSettings = NETWORK, settings: dict[str, NetworkSettings] | None = None
    ) -> None:
        self.network = network
        self.settings = settings or {}
        self.nodes: dict[str, MapNode] = {}
        self.lives: dict[str, int] = {}
        self.now_ns = 0
        self.wire: list[tuple[str, int, str, Any]] = []
        self.reports: list[tuple[str, Report]] = []
        self.lost: Callable[[str, str], bool] = lambda source, to: False
        self.carried = 0

    def start(self, *names: str) -> None:
        """Begin a life of these nodes; none: of all."""
        for name in names or tuple(self.network.nodes):
            self.lives[name] = self.lives.get(name, 0) + 1
            network = self.settings.get(name, self.network)
            self.nodes[name] = MapNode(network, name, self.lives[name])
            self.tell(name, Started(incarnation=self.lives[name]))

    def tell(self, name: str, event: Event | Said) -> None:
        node = self.nodes[name]
        for effect in node.machine.handle(self.now_ns, event):  # type: ignore[arg-type]
            if isinstance(effect, Send):
                assert effect.to != name
                self.wire.append((name, node.incarnation, effect.to, effect.message))
            elif isinstance(effect, Report):
                self.reports.append((name, effect))

    def up(self, name: str) -> None:
        """Every other host notices a new life of a node, and its host every other."""
        for peer in [each for each in self.nodes if each != name]:
            self.tell(peer, PeerChanged(peer=name, state="up", incarnation=self.lives[name]))
            self.tell(name, PeerChanged(peer=peer, state="up", incarnation=self.lives[peer]))

    def down(self, name: str) -> None:
        """The process of a node has ended, and every other host has noticed."""
        del self.nodes[name]
        for peer in self.nodes:
            self.tell(peer, PeerChanged(peer=name, state="down", incarnation=self.lives[name]))

    def deliver(self) -> None:
        """Everything on the wire arrives, except what gets lost."""
        while self.wire:
            source, incarnation, to, message = self.wire.pop(0)
            if to in self.nodes and not self.lost(source, to):
                self.carried += 1
                self.tell(to, Received(source=source, incarnation=incarnation, message=message))

    def wait(self, duration_ns: int) -> None:
        """Time passes; messages arrive at once."""
        until_ns = self.now_ns + duration_ns
        self.deliver()
        while True:
            due = {
                name: node.machine.next_deadline_ns
                for name, node in self.nodes.items()
                if node.machine.next_deadline_ns is not None and node.machine.next_deadline_ns <= until_ns
            }
            if not due:
                break
            name = min(due, key=lambda each: (due[each], each))
            self.now_ns = max(self.now_ns, due[name] or 0)
            self.tell(name, TimerFired())
            self.deliver()
        self.now_ns = until_ns

    def digests(self) -> set[str]:
        return {node.map.digest() for node in self.nodes.values()}

    def link(self, at: str, link: str) -> tuple[str, str]:
        mapped = self.nodes[at].map.links[link]
        return mapped.state, mapped.reason
