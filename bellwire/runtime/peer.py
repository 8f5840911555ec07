"""One peer of the bus: the DEALER that only sends to it, its channel, its outbox and its liveness.

Owns everything this process knows about one peer, and the sending of frames. Refuses receiving: frames come
in through the one ROUTER of `network.py`.
"""

from collections.abc import Callable
from typing import Literal

import zmq

from bellwire.core.ids import NodeId
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.channel import CREDIT_FRAMES, InChannel, OutChannel
from bellwire.runtime.envelope import BEAT, HELLO, MESSAGE, Frame, encode_frame
from bellwire.runtime.greeting import GREETING, PeerVersion
from bellwire.runtime.health import Health
from bellwire.runtime.liveness import Liveness
from bellwire.runtime.monitor import watch
from bellwire.runtime.outbox import Outbox

SOCKET_FRAMES_MAX = 2 * (CREDIT_FRAMES + 64)
"""High-water mark: the credit and some heartbeats, twice, because libzmq learns what was read in steps of
half the mark. Reaching it is the event `socket_full`."""
RECONNECT_MS = 50
RECONNECT_MAX_MS = 250
HANDSHAKE_MS = 2_000
BREAK_INTERVALS = 8
"""A connection on which nothing moves for this many heartbeat intervals is closed and made anew (half-open
TCP)."""

CurveKeys = tuple[bytes, bytes, bytes]
"""Own public, own secret and the peer's public key, Z85."""


class Peer:
    """A neighbour on the bus, as one agent sees it."""

    def __init__(self, name: NodeId, own: NodeId, incarnation: int, interval_ns: int, health: Health) -> None:
        self.name = name
        self.liveness = Liveness(interval_ns)
        self.version = PeerVersion(name)
        self.outbox = Outbox(health, name)
        self.outgoing = OutChannel()
        self.incoming = InChannel()
        self._stuck_at: int | None = (
            None  # the oldest message that the socket did not take; None: it took all
        )
        self.knows_us = False  # the peer has sent a frame that names our incarnation
        self.sent_ns = 0  # when a frame last entered the socket
        self.hello_ns = 0  # when a HELLO was last tried
        self.refused_ns: int | None = None  # when the peer refused our key; None: it did not
        self._own = own
        self._incarnation = incarnation
        self._interval_ns = interval_ns
        self._health = health
        self._socket: zmq.Socket[bytes] | None = None
        self._stop_watching: Callable[[], None] | None = None

    @property
    def connected_socket(self) -> bool:
        """True once a socket exists; whether anybody listens at its other end is liveness's question."""
        return self._socket is not None

    def connect(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        keys: CurveKeys | None,
        on_connected: Callable[[], None],
        now_ns: Callable[[], int],
    ) -> None:
        """Open the DEALER. It reconnects by itself for ever."""
        self.refused_ns = None
        socket = context.socket(zmq.DEALER)
        socket.set(zmq.IMMEDIATE, 1)
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.SNDHWM, SOCKET_FRAMES_MAX)
        socket.set(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.set(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        interval_ms = max(1, self._interval_ns // 1_000_000)
        socket.set(zmq.HEARTBEAT_IVL, interval_ms * BREAK_INTERVALS // 2)
        socket.set(zmq.HEARTBEAT_TIMEOUT, interval_ms * BREAK_INTERVALS)
        if keys is not None:
            own_public, own_secret, peer_public = keys
            socket.set(zmq.CURVE_PUBLICKEY, own_public)
            socket.set(zmq.CURVE_SECRETKEY, own_secret)
            socket.set(zmq.CURVE_SERVERKEY, peer_public)

        def on_event(event: str, address: str) -> None:
            if event == "connected":
                on_connected()
            elif event == "handshake_failed_auth":
                self.refused_ns = now_ns()
            self._health.count(f"peer_{event}", peer=self.name, address=address)

        self._stop_watching = watch(socket, on_event)
        socket.connect(endpoint)
        self._socket = socket

    def close(self) -> None:
        """Close the socket; what is in it is lost, what is unacknowledged stays in the channel."""
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    def begin(self) -> int:
        """The peer's new incarnation begins:

        fresh channels. Returns how many messages to the old one were dropped.
        """
        dropped = 0
        if self.knows_us or self.outgoing.frames_in_flight:
            dropped = self.outgoing.frames_in_flight + self.outbox.clear()
        self.outgoing = OutChannel()
        self.incoming = InChannel()
        self.knows_us = False
        self._stuck_at = None
        return dropped

    def pump(self, now_ns: int) -> None:
        """Send what credit allows, most urgent first."""
        if self.liveness.incarnation is None:
            return  # nobody to number messages for
        if self._stuck_at is not None and not self._send_pending(self._stuck_at, now_ns):
            return
        outgoing = self.outgoing
        while outgoing.has_credit():
            payload = self.outbox.take(now_ns)
            if payload is None:
                return
            seq = outgoing.push(payload, now_ns)
            if not self._transmit(MESSAGE, seq, payload, now_ns):
                self._stuck_at = seq
                return
        if len(self.outbox):
            self._health.count("credit_used_up", peer=self.name)

    def resend(self, now_ns: int) -> None:
        """Send every unacknowledged message again, oldest first."""
        if self.liveness.incarnation is None or not self.outgoing.frames_in_flight:
            return
        self._health.count("frames_resent", peer=self.name, frames=self.outgoing.frames_in_flight)
        self._send_pending(0, now_ns)

    def _send_pending(self, first: int, now_ns: int) -> bool:
        # A message after one that the socket refused would only be a hole to the reader.
        for seq, payload in self.outgoing.pending():
            if seq >= first and not self._transmit(MESSAGE, seq, payload, now_ns):
                self._stuck_at = seq
                return False
        self._stuck_at = None
        return True

    def hello(self, now_ns: int) -> None:
        """Say who we are."""
        self.hello_ns = now_ns
        self._transmit(HELLO, 0, GREETING, now_ns)

    def beat(self, now_ns: int) -> None:
        """Say that we are alive, and what has arrived."""
        self._transmit(BEAT, 0, b"", now_ns)

    def _transmit(self, kind: Literal[0, 1, 2], seq: int, payload: bytes, now_ns: int) -> bool:
        if self._socket is None:
            return False
        frame = Frame(
            source=self._own,
            incarnation=self._incarnation,
            schema=SCHEMA_VERSION,
            to_incarnation=self.liveness.incarnation or 0,
            kind=kind,
            seq=seq,
            ack=self.incoming.last,
            payload=payload,
        )
        try:
            self._socket.send(encode_frame(frame), zmq.NOBLOCK)
        except zmq.Again:
            # Nobody is connected, or the reader is slower than the credit; the channel sends it again.
            self._health.count("socket_full" if self.knows_us else "nobody_connected", peer=self.name)
            return False
        self.sent_ns = now_ns
        self.incoming.unacknowledged = 0
        return True
