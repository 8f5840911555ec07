"""The bus of one agent: one ROUTER that only receives, one DEALER per peer that only sends.

Owns sockets, the receive loop, acknowledgement, heartbeats and the checks of every frame: key, schema,
incarnation, order (architecture.md section 9). Refuses protocol: a message is decoded and handed to the host,
or counted and dropped.
"""

import asyncio
from collections.abc import Callable

import msgspec
import zmq

from bellwire.core.codec import decode_message, encode
from bellwire.core.effects import Publish, Send
from bellwire.core.errors import ConfigError, LocalMisuse, PeerViolation
from bellwire.core.ids import NodeId
from bellwire.core.messages import SCHEMA_VERSION, BusMessage
from bellwire.runtime.bus_words import BusHost, BusSettings, is_loopback, option_text
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.envelope import FRAME_BYTES_MAX, HELLO, MESSAGE, Frame, decode_frame
from bellwire.runtime.greeting import Opening, opening_of, software_of
from bellwire.runtime.health import Health
from bellwire.runtime.keys import ZAP_DOMAIN, Keyring, ZapHandler
from bellwire.runtime.monitor import watch
from bellwire.runtime.outbox import Urgency, encode_facts
from bellwire.runtime.peer import SOCKET_FRAMES_MAX, Peer

DRAIN_FRAMES_MAX = 256
"""Frames read before the loop may look after other things (limits.md: bounded drain)."""
ACK_FRAMES = 32
"""After this many frames an acknowledgement leaves at once."""
ACK_NS = 2_000_000
"""At the latest after this long."""
HELLO_ANSWER_NS = 20_000_000
"""A peer that does not know us is told at most this often."""
REFUSED_WAIT_NS = 1_000_000_000
"""libzmq gives up after a refused key;

we try anew after this long, because keys are added and peers repaired.
"""


class Network:
    """The bus end of one process."""

    def __init__(
        self,
        name: NodeId,
        incarnation: int,
        host: BusHost,
        clock: LiveClock,
        health: Health,
        keyring: Keyring | None,
        settings: BusSettings | None = None,
    ) -> None:
        self.settings = settings or BusSettings()
        self.name = name
        self.peers: dict[NodeId, Peer] = {}
        self._incarnation = incarnation
        self._host = host
        self._clock = clock
        self._health = health
        self._keyring = keyring
        if (keyring is None) != (self.settings.security == "plaintext"):
            raise LocalMisuse("a keyring goes with curve, and only with curve")
        self._endpoints: dict[NodeId, str] = {}
        self._audience: list[NodeId] = []  # peers that keep a ledger
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router: zmq.Socket[bytes] | None = None
        self._closers: list[Callable[[], None]] = []
        self._tick_handle: asyncio.TimerHandle | None = None
        self._wake_handle: asyncio.TimerHandle | None = None
        self._wake_ns: int | None = None
        self._touched: set[NodeId] = set()
        self._keys_wanted: set[NodeId] = set()
        self._callers: set[NodeId] = set()  # peers that are spoken to while they speak
        self.frames_received = 0

    # ---- life

    def start(self, bind: str) -> str:
        """Bind the ROUTER and begin to listen; returns the endpoint (a port of `*` is chosen by the system).

        Raises:
            ConfigError: the address is in use or malformed, or plaintext was asked for beyond loopback.
        """
        try:
            self._refuse_open_plaintext(bind)
        except ConfigError:
            self.close()
            raise
        loop = asyncio.get_running_loop()
        if self._keyring is not None:
            self._keyring.reload()
            self._closers.append(ZapHandler(self._context, self._keyring, self._health).listen())
        router = self._context.socket(zmq.ROUTER)
        router.set(zmq.LINGER, 0)
        router.set(zmq.RCVHWM, SOCKET_FRAMES_MAX)
        router.set(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        if self._keyring is not None:
            router.set(zmq.CURVE_SERVER, 1)
            router.set(zmq.CURVE_SECRETKEY, self._keyring.secret_of(self.name))
            router.set(zmq.ZAP_DOMAIN, ZAP_DOMAIN.encode("ascii"))
        try:
            router.bind(bind)
        except zmq.ZMQError as problem:
            router.close(0)
            self.close()
            raise ConfigError(
                f"{self.name} cannot listen on {bind}: {problem.strerror}; is another agent running?"
            ) from problem
        self._router = router
        self._closers.append(
            watch(router, lambda event, address: self._health.count(f"listener_{event}", address=address))
        )
        descriptor = router.FD
        loop.add_reader(descriptor, self._drain)

        def stop_reading() -> None:
            loop.remove_reader(descriptor)

        self._closers.append(stop_reading)
        loop.call_soon(self._drain)
        self._tick_handle = loop.call_later(self.settings.interval_ns / 2e9, self._tick)
        return option_text(router.get(zmq.LAST_ENDPOINT))

    def add_peer(self, name: NodeId, endpoint: str, *, takes_facts: bool = True, calls: bool = False) -> None:
        """Begin to speak to a peer; with CURVE as soon as its public key lies in the lab's folder.

        takes_facts: False for stations, which keep no ledger. calls: it comes and goes as it likes, and is
        spoken to from its first frame until it is down.
        """
        self._refuse_open_plaintext(endpoint)
        if name == self.name or name in self.peers:
            raise LocalMisuse(f"{self.name}: {name} is already a peer or myself")
        self.peers[name] = Peer(name, self.name, self._incarnation, self.settings.interval_ns, self._health)
        self._endpoints[name] = endpoint
        if takes_facts:
            self._audience.append(name)
        if calls:
            self._callers.add(name)
        else:
            self._connect(name)

    def close(self) -> None:
        """Close all sockets. Unacknowledged messages are lost with this incarnation."""
        for handle in (self._tick_handle, self._wake_handle):
            if handle is not None:
                handle.cancel()
        self._tick_handle = self._wake_handle = None
        for peer in self.peers.values():
            peer.close()
        for closer in reversed(self._closers):
            closer()
        self._closers.clear()
        if self._router is not None:
            self._router.close(0)
            self._router = None
        self._context.destroy(linger=0)

    def _connect(self, name: NodeId) -> None:
        keys = None
        if self._keyring is not None:
            public, own = self._keyring.public_of(name), self._keyring.public_of(self.name)
            if public is None or own is None:
                self._health.count("peer_key_missing", peer=name)
                self._keys_wanted.add(name)
                return
            keys = (own, self._keyring.secret_of(self.name), public)
        self._keys_wanted.discard(name)
        self.peers[name].connect(
            self._context,
            self._endpoints[name],
            keys,
            on_connected=lambda: self._on_connected(name),
            now_ns=self._clock.now_ns,
        )

    def _refuse_open_plaintext(self, endpoint: str) -> None:
        if self._keyring is None and not is_loopback(endpoint):
            raise ConfigError(f"{self.name}: plaintext is for loopback only, not for {endpoint}; use curve")

    # ---- sending

    def send(self, order: Send) -> None:
        """Queue one message;

        it leaves at the next `flush`. Raises LocalMisuse for somebody who is no peer.
        """
        self._peer(order.to).outbox.put(order.urgency, encode(order.message))
        self._touched.add(order.to)

    def post(self, to: NodeId, message: BusMessage, urgency: Urgency) -> None:
        """Send one message outside of a step of the machine, within credit."""
        self._peer(to).outbox.put(urgency, encode(message))
        self._touched.add(to)
        self.flush()

    def publish(self, order: Publish) -> None:
        """Queue new facts for every peer that keeps a ledger, or for those whom they concern."""
        encoded = encode_facts(order.batch)
        now_ns = self._clock.now_ns()
        urgent = frozenset(order.urgent_to)
        if order.audience is not None:
            for one in order.audience:
                batch = order.addressed(one)
                self._peer(one.node).outbox.put_facts(batch, encoded, now_ns, urgent=one.node in urgent)
                self._touched.add(one.node)
            return
        for name in self._audience:
            self.peers[name].outbox.put_facts(order.batch, encoded, now_ns, urgent=name in urgent)
        self._touched.update(self._audience)

    def flush(self) -> None:
        """Send what a step has queued, within credit; the rest follows as acknowledgements arrive."""
        if not self._touched:
            return
        now_ns = self._clock.now_ns()
        due_ns: int | None = None
        for name in self._touched:
            peer = self.peers[name]
            peer.pump(now_ns)
            peer_due_ns = peer.outbox.next_due_ns()
            if peer_due_ns is not None and (due_ns is None or peer_due_ns < due_ns):
                due_ns = peer_due_ns
        self._touched.clear()
        if due_ns is not None and due_ns > now_ns:
            self._wake_at(due_ns, now_ns)

    @property
    def congested(self) -> tuple[NodeId, ...]:
        """Peers whose outbox is above its high mark."""
        return tuple(name for name, peer in self.peers.items() if peer.outbox.congested)

    def _peer(self, name: NodeId) -> Peer:
        try:
            return self.peers[name]
        except KeyError:
            raise LocalMisuse(f"{self.name} has no peer {name}; known: {', '.join(self.peers)}") from None

    # ---- receiving

    def _drain(self) -> None:
        router = self._router
        if router is None:
            return
        for _ in range(DRAIN_FRAMES_MAX):
            try:
                parts = router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self.frames_received += 1
            self._take(parts)
            if self._router is None:
                return  # the host has closed the bus in the middle
        else:
            asyncio.get_running_loop().call_soon(self._drain)
        self._acknowledge()
        self.flush()

    def _take(self, parts: "list[zmq.Frame]") -> None:
        if len(parts) != 2:
            self._health.count("frame_malformed", parts=len(parts))
            return
        raw = parts[1]
        frame: Frame | None = None
        try:
            frame = decode_frame(raw.buffer)
            opening = Opening(frame.source, frame.incarnation, frame.schema)
        except msgspec.DecodeError as problem:
            of_another = opening_of(raw.buffer)
            if of_another is None or of_another.schema == SCHEMA_VERSION:
                self._health.count("frame_undecodable", problem=str(problem))
                return
            opening = of_another
        if self._keyring is not None:
            owner = self._keyring.node_of(str(raw.get("User-Id")))
            if owner != opening.source:
                name = "frame_of_revoked_key" if owner is None else "frame_under_false_name"
                self._health.count(name, owner=owner, source=opening.source)
                return
        peer = self.peers.get(opening.source)
        if peer is None:
            self._health.count("frame_of_stranger", source=opening.source)
        elif frame is None or frame.schema != SCHEMA_VERSION:
            peer.version.refuse(opening, None if frame is None else software_of(frame), self._health)
        else:
            self._take_checked(peer, frame)

    def _take_checked(self, peer: Peer, frame: Frame) -> None:
        now_ns = self._clock.now_ns()
        heard = peer.liveness.heard(frame.incarnation, now_ns)
        if heard == "ended":
            self._health.count("frame_of_ended_incarnation", source=peer.name, incarnation=frame.incarnation)
            return
        peer.version.accept(frame)
        if heard == "begun":
            dropped = peer.begin()
            if dropped:
                self._health.count("messages_to_ended_incarnation", peer=peer.name, messages=dropped)
        if peer.name in self._callers and not peer.connected_socket:
            self._connect(peer.name)
        if heard != "same":
            self._tell_peer(peer)
        if frame.to_incarnation != self._incarnation:
            if frame.kind == MESSAGE:
                self._health.count("frame_to_other_incarnation", source=peer.name, meant=frame.to_incarnation)
            if now_ns - peer.hello_ns >= HELLO_ANSWER_NS:
                peer.hello(now_ns)
            self._touched.add(peer.name)
            return
        if not peer.knows_us:
            peer.knows_us = True
            peer.resend(now_ns)
        if frame.ack:
            if not peer.outgoing.acknowledge(frame.ack, now_ns):
                self._health.count("acknowledgement_of_unsent", source=peer.name, ack=frame.ack)
            self._touched.add(peer.name)
        elif heard != "same":
            self._touched.add(peer.name)
        if frame.kind == MESSAGE:
            self._take_message(peer, frame)
        elif frame.kind == HELLO and heard == "begun":
            peer.beat(now_ns)

    def _take_message(self, peer: Peer, frame: Frame) -> None:
        verdict = peer.incoming.accept(frame.seq)
        if verdict != "deliver":
            self._health.count(f"frame_{verdict}", source=peer.name, seq=frame.seq)
            return
        try:
            message = decode_message(peer.name, frame.payload)
            self._host.on_message(peer.name, frame.incarnation, message)
        except PeerViolation as violation:
            self._health.tell("peer_violation", source=peer.name, detail=violation.detail)

    def _acknowledge(self) -> None:
        now_ns = self._clock.now_ns()
        waiting = False
        for peer in self.peers.values():
            if peer.incoming.unacknowledged >= ACK_FRAMES:
                peer.beat(now_ns)
            elif peer.incoming.unacknowledged:
                waiting = True
        if waiting:
            self._wake_at(now_ns + ACK_NS, now_ns)

    # ---- time

    def _wake_at(self, at_ns: int, now_ns: int) -> None:
        if self._wake_ns is not None and self._wake_ns <= at_ns:
            return
        if self._wake_handle is not None:
            self._wake_handle.cancel()
        self._wake_ns = at_ns
        self._wake_handle = asyncio.get_running_loop().call_later(max(0, at_ns - now_ns) / 1e9, self._wake)

    def _wake(self) -> None:
        if self._router is None:
            return
        self._wake_ns = self._wake_handle = None
        now_ns = self._clock.now_ns()
        self._touched.update(
            name for name, peer in self.peers.items() if peer.outbox.next_due_ns() is not None
        )
        self.flush()
        for peer in self.peers.values():
            if peer.incoming.unacknowledged:
                peer.beat(now_ns)

    def _tick(self) -> None:
        now_ns = self._clock.now_ns()
        self._tick_handle = asyncio.get_running_loop().call_later(self.settings.interval_ns / 2e9, self._tick)
        if self._keyring is not None:
            self._keyring.reload_if_changed()
        for name in tuple(self._keys_wanted):
            self._connect(name)
        for peer in tuple(self.peers.values()):
            if peer.liveness.judge(now_ns) is not None:
                if peer.name in self._callers and peer.liveness.state == "down":
                    peer.close()
                self._tell_peer(peer)
            if not peer.knows_us:
                peer.hello(now_ns)
            elif now_ns - peer.sent_ns >= self.settings.interval_ns * 9 // 10:
                peer.beat(now_ns)
            if peer.knows_us and peer.outgoing.resend_due(now_ns):
                peer.resend(now_ns)
            peer.pump(now_ns)
            if peer.refused_ns is not None and now_ns - peer.refused_ns >= REFUSED_WAIT_NS:
                peer.close()
                self._connect(peer.name)

    def _on_connected(self, name: NodeId) -> None:
        # What the old connection still held is lost; duplicates are dropped at the other side.
        now_ns = self._clock.now_ns()
        peer = self.peers[name]
        peer.hello(now_ns)
        peer.resend(now_ns)
        peer.pump(now_ns)

    def _tell_peer(self, peer: Peer) -> None:
        state = peer.liveness.state
        if state is None:
            return
        self._health.tell(f"peer_{state}", peer=peer.name, incarnation=peer.liveness.incarnation)
        self._host.on_peer(peer.name, state, peer.liveness.incarnation)
