"""NetworkMap: what a node knows of the nodes and links of its network, from what each says of itself.

Owns the latest announcement of every node, the version of the whole, and the state of nodes and links with
its reason and since when. Refuses to speak (announcing.py), and words about others: a node speaks of itself
alone.

Two things are kept apart. The *map* is a function of the announcements alone, whatever the order in which
they came: nodes that heard the same have the same map and the same digest. *States* add this node's own
opinion, who answers and who is silent, and may differ between two nodes.

A link counts as discovered when both of its ends, and its station where it has one, have announced it and
agree. Memory is bounded: one announcement for each node of the network, of at most LINKS_MAX links each.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from bellwire.core.effects import Report
from bellwire.core.errors import PeerViolation
from bellwire.core.events import PeerChanged, Received, Started
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.notices import PeerLeft, PeerLost, SelfAnnounced
from bellwire.core.settings import NetworkSettings
from bellwire.core.topology_messages import AnnouncementWanted, LinkClaim, MapTold, NodeAnnounced
from bellwire.planner.link_claims import fault_of
from bellwire.planner.link_states import LinkState, link_state

NodeState = Literal["unheard", "up", "suspect", "down", "left"]
"""unheard: it has announced nothing yet. left: it said that it leaves."""

DIGEST_BYTES: Final = 8

_encoder = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class MappedNode:
    """What is known of one node."""

    state: NodeState = "unheard"
    reason: str = "has announced nothing yet"
    since_ns: int = 0
    incarnation: int = 0  # of the announcement
    announced: NodeAnnounced | None = None  # None: none yet
    mark: bytes = b""  # digest of the announcement
    agrees: bool | None = None  # with this node's map when it told its digest last, None: it has not
    told_digest: str | None = None
    told_ns: int = 0


@dataclass(slots=True)
class MappedLink:
    """The state of one link as this node sees it, and what its ends and station claim of it."""

    state: LinkState = "half_announced"
    reason: str = "nobody has announced it"
    since_ns: int = 0
    claims: dict[NodeId, LinkClaim] = field(default_factory=dict[NodeId, LinkClaim])


class NetworkMap:
    """Part of every node and station, where nodes announce themselves."""

    def __init__(self, network: NetworkSettings, node: NodeId) -> None:
        self.counters: dict[str, int] = dict.fromkeys(("heard", "older", "strangers", "differing"), 0)
        self.nodes: dict[NodeId, MappedNode] = {name: MappedNode() for name in network.mapped_by(node)}
        self.links: dict[LinkId, MappedLink] = {}
        self._network = network
        self._node = node
        self._role = network.nodes[node].role
        self._digest: str | None = None  # None: something has changed since it was computed

    def on_events(self) -> Mapping[type, Handler]:
        """The host's opinion of peers."""
        return {Started: self._on_started, PeerChanged: self._on_peer_changed}

    def on_messages(self) -> Mapping[type, Handler]:
        return {NodeAnnounced: self._on_announced, MapTold: self._on_map_told}

    def on_notices(self) -> Mapping[type, Handler]:
        return {SelfAnnounced: self._on_self_announced}

    def gives(self) -> frozenset[type]:
        """A peer that leaves is lost to every part that would otherwise wait for the host's verdict."""
        given = {"end": (PeerLeft, PeerLost), "repeater": (PeerLost,), "station": ()}
        return frozenset(given[self._role])

    def deadline_ns(self) -> int | None:
        return None

    def on_deadline(self, step: Step) -> None:
        """Nothing is ever due."""

    # ---- the map as a whole

    def version(self) -> dict[NodeId, tuple[int, int]]:
        """Incarnation and number of the latest announcement of each node that has made one. Of two maps the
        one whose every entry is at least as high is at least as new."""
        return {
            name: (one.incarnation, one.announced.number)
            for name, one in sorted(self.nodes.items())
            if one.announced is not None
        }

    def digest(self) -> str:
        """Hexadecimal digest of all announcements: equal at two nodes if and only if their maps are."""
        if self._digest is None:
            whole = hashlib.blake2b(digest_size=DIGEST_BYTES)
            for name in sorted(name for name, one in self.nodes.items() if one.announced is not None):
                whole.update(self.nodes[name].mark)
            self._digest = whole.hexdigest()
        return self._digest

    def missing(self) -> tuple[NodeId, ...]:
        """Nodes that have announced nothing here."""
        return tuple(name for name, one in self.nodes.items() if one.announced is None)

    # ---- announcements

    def _on_started(self, step: Step, event: Started) -> None:
        for one in self.nodes.values():
            one.since_ns = step.now_ns
        for name, link in self._network.links.items():
            if any(node in self.nodes for node in link.nodes):
                self.links.setdefault(name, MappedLink(since_ns=step.now_ns))

    def _on_self_announced(self, step: Step, notice: SelfAnnounced) -> None:
        self._take(step, notice.announced, step.incarnation)

    def _on_announced(self, step: Step, received: Received) -> None:
        """Raises PeerViolation when somebody speaks for another, contradicts itself, or says what no node can
        be."""
        told, source = received.message, received.source
        assert isinstance(told, NodeAnnounced)
        if told.node != source:
            raise PeerViolation(source, f"announces {told.node}: a node speaks of itself alone")
        fault = fault_of(told)
        if fault is not None:
            raise PeerViolation(source, f"announces {fault}")
        if source not in self.nodes:
            self.counters["strangers"] += 1  # a region that is none of ours
            return
        known = self.nodes[source]
        if known.announced is not None:
            place = (known.incarnation, known.announced.number)
            if (received.incarnation, told.number) == place and told != known.announced:
                raise PeerViolation(source, f"announces two things under number {told.number}")
            if (received.incarnation, told.number) <= place:
                self.counters["older"] += 1
                return
        self._take(step, told, received.incarnation)

    def _take(self, step: Step, told: NodeAnnounced, incarnation: int) -> None:
        self.counters["heard"] += 1
        one = self.nodes[told.node]
        before = one.announced
        anew = before is None or incarnation > one.incarnation
        one.incarnation, one.announced = incarnation, told
        one.mark = hashlib.blake2b(
            _encoder.encode((incarnation, told)), digest_size=2 * DIGEST_BYTES
        ).digest()
        self._digest = None
        if told.leaving is not None:
            gone = one.state != "left"
            self._judge(step, told.node, "left", f"left the network: {told.leaving}")
            if gone and told.node != self._node and self._role != "station":
                if self._role == "end":
                    step.tell(PeerLeft(peer=told.node, reason=told.leaving))
                step.tell(PeerLost(peer=told.node))
        elif anew:
            self._judge(step, told.node, "up", "")
        claimed = {claim.link: claim for claim in told.links}
        for link in () if before is None else (claim.link for claim in before.links):
            if link not in claimed:
                del self.links[link].claims[told.node]
                self._judge_link(step, link)
        for link, claim in claimed.items():
            mapped = self.links.get(link)
            if mapped is None:
                mapped = self.links[link] = MappedLink(since_ns=step.now_ns)
            mapped.claims[told.node] = claim
            self._judge_link(step, link)

    def _on_map_told(self, step: Step, received: Received) -> None:
        """Another node compares: what is missing here is asked for, of its author."""
        told, one = received.message, self.nodes.get(received.source)
        assert isinstance(told, MapTold)
        if one is None:
            self.counters["strangers"] += 1
            return
        one.told_digest, one.told_ns = told.digest, step.now_ns
        one.agrees = told.digest == self.digest()
        self.counters["differing"] += not one.agrees
        number = one.announced.number if one.announced and one.incarnation == received.incarnation else 0
        if number < told.number:
            step.send(received.source, AnnouncementWanted(number=number))

    # ---- states

    def _on_peer_changed(self, step: Step, event: PeerChanged) -> None:
        """The host's opinion. One that said that it leaves is silent afterwards, which is no news."""
        one = self.nodes.get(event.peer)
        if one is None or one.announced is None:
            return
        if event.state == "up":
            if one.state in ("suspect", "down"):
                self._judge(step, event.peer, "up", "")
        elif one.state != "left":
            words = "is not heard at the moment" if event.state == "suspect" else "is silent"
            self._judge(step, event.peer, event.state, words)

    def _judge(self, step: Step, node: NodeId, state: NodeState, reason: str) -> None:
        one = self.nodes[node]
        if (one.state, one.reason) == (state, reason):
            return
        if one.state != state:
            one.since_ns = step.now_ns
        one.state, one.reason = state, reason
        if one.announced is not None:
            for claim in one.announced.links:
                if claim.link in self.links:
                    self._judge_link(step, claim.link)

    def _judge_link(self, step: Step, name: LinkId) -> None:
        link = self.links[name]
        settings = self._network.links.get(name)
        if not link.claims and settings is None:
            del self.links[name]  # nobody claims it any more, and no file knows it
            return
        state, reason = link_state(link.claims, settings, self._absent)
        if (state, reason) == (link.state, link.reason):
            return
        before = link.state
        if before != state:
            link.since_ns = step.now_ns
        link.state, link.reason = state, reason
        if settings is not None and settings.nodes[0] == self._node and before != state:
            step.order(
                Report(
                    name="link_state_changed",
                    request=None,
                    fields={"link": name, "state": state, "before": before, "reason": reason},
                )
            )

    def _absent(self, node: NodeId) -> tuple[NodeState, str]:
        one = self.nodes.get(node)
        return ("unheard", "is on no map here") if one is None else (one.state, one.reason)
