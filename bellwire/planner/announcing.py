"""NodeAnnouncing: a node or station says what it is and what it can do, and compares its map with others'.

Owns the node's own announcement, its numbering, who is told and when. Refuses to speak about others, and the
map (network_map.py).

Said at the start, whenever something changed, to every peer that (re)starts, and to whoever asks for it. What
got lost is found by comparing: every `look_ns` a node tells one other, in turn, how far its announcements go
and the digest of its map; who lacks an announcement asks its author, who alone may say it.

Bounds: at most one announcement each `gap_ns` to every node that keeps this one on its map, and one more to
each peer that restarts or asks; one comparison each `look_ns`.
"""

from collections.abc import Callable, Mapping

import msgspec

from bellwire import __version__
from bellwire.core.effects import Report
from bellwire.core.events import LeaveAsked, LinkPinged, PeerChanged, Received, Started
from bellwire.core.ids import LinkId, NodeId
from bellwire.core.machine import Handler, Step
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.core.notices import LinkStateTold, NodeLeaving, SelfAnnounced
from bellwire.core.settings import NetworkSettings, TopologySettings
from bellwire.core.topology_messages import (
    AnnouncementWanted,
    LinkClaim,
    LinkVerification,
    MapTold,
    NodeAnnounced,
)
from bellwire.planner.link_claims import TEXT_MAX, claim_of, memory_of


class NodeAnnouncing:
    """Part of every node and station, where nodes announce themselves."""

    def __init__(
        self, network: NetworkSettings, topology: TopologySettings, node: NodeId, digest: Callable[[], str]
    ) -> None:
        """`digest`: of this node's map."""
        self.counters: dict[str, int] = dict.fromkeys(("announced", "asked", "compared"), 0)
        self.leaving: str | None = None  # None: it stays
        self._network = network
        self._topology = topology
        self._node = node
        self._digest = digest
        self._hearers = network.announces_to(node)
        self._alike = tuple(name for name in self._hearers if network.share_map(node, name))
        self._claims: dict[LinkId, LinkClaim] = {
            link: claim_of(network.links[link]) for link in network.nodes[node].links
        }
        self._greeted: dict[NodeId, int] = {}  # incarnation of each peer that was told
        self._silent: set[NodeId] = set()  # peers that the host judges down
        self._number = 0
        self._turn = 0  # whose map was compared last
        self._told: NodeAnnounced | None = None  # None: not started
        self._said_ns = 0  # when it was last announced to all
        self._say_ns: int | None = None  # when the next announcement is due, None: nothing is new
        self._look_ns: int | None = None  # None: not started, or nobody to compare with

    def on_events(self) -> Mapping[type, Handler]:
        """The host's opinion of peers, what operators measure, and their wish that the node leaves."""
        return {
            Started: self._on_started,
            PeerChanged: self._on_peer_changed,
            LinkPinged: self._on_pinged,
            LeaveAsked: self._on_leave_asked,
        }

    def on_messages(self) -> Mapping[type, Handler]:
        return {AnnouncementWanted: self._on_wanted}

    def on_notices(self) -> Mapping[type, Handler]:
        return {LinkStateTold: self._on_link_state}

    def gives(self) -> frozenset[type]:
        leaving = () if self._network.nodes[self._node].memory is None else (NodeLeaving,)
        return frozenset((SelfAnnounced, LinkStateTold, *leaving))

    def deadline_ns(self) -> int | None:
        due_ns = [each for each in (self._say_ns, self._look_ns) if each is not None]
        return min(due_ns, default=None)

    def on_deadline(self, step: Step) -> None:
        """Announce what is new, and compare maps with the next node."""
        if self._say_ns is not None and self._say_ns <= step.now_ns:
            self._announce(step)
        if self._look_ns is not None and self._look_ns <= step.now_ns:
            self._look_ns = step.now_ns + self._topology.look_ns
            self.counters["compared"] += 1
            self._turn += 1
            peer = self._alike[self._turn % len(self._alike)]
            if peer not in self._silent:
                step.send(peer, MapTold(number=self._number, digest=self._digest()), "digest")

    # ---- what is new

    def _on_started(self, step: Step, event: Started) -> None:
        if self._alike:
            # Not all at once: nodes that start together would compare in the same moment for ever.
            place = tuple(self._network.nodes).index(self._node)
            share = self._topology.look_ns * place // len(self._network.nodes)
            self._turn = place
            self._look_ns = step.now_ns + self._topology.look_ns + share
        self._announce(step)

    def _on_link_state(self, step: Step, notice: LinkStateTold) -> None:
        """A part of this node has found out something about a link."""
        claim = self._claims.get(notice.link)
        if claim is None or (claim.condition, claim.reason) == (notice.state, notice.reason[:TEXT_MAX]):
            return
        self._change(
            step, msgspec.structs.replace(claim, condition=notice.state, reason=notice.reason[:TEXT_MAX])
        )

    def _on_pinged(self, step: Step, event: LinkPinged) -> None:
        claim, found = self._claims.get(event.link), event.found
        if claim is None:
            reason = f"{event.link} is no link of {self._node}"
            step.order(
                Report(name="link_ping_refused", request=None, fields={"link": event.link, "reason": reason})
            )
            return
        self._change(step, msgspec.structs.replace(claim, verification=found))
        step.order(_report(event.link, found))
        if found.verdict == "yes":
            step.tell(LinkStateTold(link=event.link, state="up", reason=""))
        elif found.verdict == "no":
            reason = f"a quantum ping found fidelity {found.fidelity:.3f}, wanted {found.fidelity_wanted:.3f}"
            if not found.pairs:
                reason = "a quantum ping got no pair"
            step.tell(LinkStateTold(link=event.link, state="degraded", reason=reason))

    def _on_leave_asked(self, step: Step, event: LeaveAsked) -> None:
        """Peers are told at once: they need not wait for a verdict."""
        if self.leaving is not None:
            return
        self.leaving = event.reason[:TEXT_MAX]
        self._announce(step)
        step.order(Report(name="node_leaving", request=None, fields={"reason": self.leaving}))
        if self._network.nodes[self._node].memory is not None:
            step.tell(NodeLeaving(reason=self.leaving))

    def _change(self, step: Step, claim: LinkClaim) -> None:
        self._claims[claim.link] = claim
        if self._told is not None and self._say_ns is None:
            self._say_ns = max(step.now_ns, self._said_ns + self._topology.gap_ns)

    # ---- saying it

    def _announce(self, step: Step) -> None:
        settings = self._network.nodes[self._node]
        self._number += 1
        self.counters["announced"] += 1
        self._said_ns, self._say_ns = step.now_ns, None
        self._told = NodeAnnounced(
            node=self._node,
            number=self._number,
            role=settings.role,
            relays=settings.may_relay,
            region=settings.region,
            software=__version__,
            schema=SCHEMA_VERSION,
            memory=memory_of(self._network, self._node),
            links=tuple(self._claims.values()),
            leaving=self.leaving,
        )
        for peer in self._hearers:
            step.send(peer, self._told)
        step.tell(SelfAnnounced(announced=self._told))

    def _on_peer_changed(self, step: Step, event: PeerChanged) -> None:
        """A new life of a peer knows nothing of this node."""
        peer, incarnation = event.peer, event.incarnation
        if event.state == "down":
            self._silent.add(peer)
        else:
            self._silent.discard(peer)
        if event.state != "up" or incarnation is None or peer not in self._hearers or self._told is None:
            return
        if incarnation > self._greeted.get(peer, -1):
            self._greeted[peer] = incarnation
            step.send(peer, self._told)

    def _on_wanted(self, step: Step, received: Received) -> None:
        wanted = received.message
        assert isinstance(wanted, AnnouncementWanted)
        if self._told is not None and wanted.number < self._number:
            self.counters["asked"] += 1
            step.send(received.source, self._told)


def _report(link: LinkId, found: LinkVerification) -> Report:
    return Report(
        name="link_pinged",
        request=None,
        fields={
            "link": link,
            "verdict": found.verdict,
            "fidelity_wanted": found.fidelity_wanted,
            "pairs": found.pairs,
            "fidelity": found.fidelity,
            "fidelity_low": found.fidelity_low,
            "fidelity_high": found.fidelity_high,
        },
    )
