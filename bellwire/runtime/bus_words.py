"""What a bus is told and whom it tells: its settings, its host, and which addresses are loopback.

Owns these words. Refuses sockets.
"""

import ipaddress
from typing import Literal, Protocol

from bellwire.core.ids import NodeId
from bellwire.core.messages import BusMessage
from bellwire.core.record import Word
from bellwire.runtime.liveness import PeerState


class BusSettings(Word, frozen=True):
    """How the bus of a lab is run."""

    interval_ns: int = 250_000_000  # heartbeat interval; suspect after 3, down after 6
    security: Literal["curve", "plaintext"] = "curve"  # plaintext: loopback only, and only when asked for


class BusHost(Protocol):
    """Who is told what arrives."""

    def on_message(self, source: NodeId, incarnation: int, message: BusMessage) -> None:
        """The next message of a peer. May raise PeerViolation: the message is counted and dropped."""
        ...

    def on_peer(self, peer: NodeId, state: PeerState, incarnation: int | None) -> None:
        """The opinion about a peer has changed."""
        ...


def option_text(option: int | bytes | str) -> str:
    """A text option of a socket, without the zero byte that libzmq leaves at its end."""
    return option.rstrip(b"\0").decode("ascii") if isinstance(option, bytes) else str(option)


def is_loopback(endpoint: str) -> bool:
    """True when an endpoint cannot be reached from another computer."""
    if endpoint.startswith(("ipc://", "inproc://")):
        return True
    address = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
