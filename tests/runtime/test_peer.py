"""Sending to one peer through a socket that refuses, without a network."""

from typing import cast

import zmq

from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.channel import InChannel
from bellwire.runtime.envelope import HELLO, MESSAGE, Frame, decode_frame
from bellwire.runtime.health import Health
from bellwire.runtime.peer import Peer
from tests.runtime.buses import BusEnd


class FakeSocket:
    """Takes as many frames as it is allowed to."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.frames: list[Frame] = []

    def send(self, raw: bytes, _flags: int) -> None:
        if self.room <= 0:
            raise zmq.Again
        self.room -= 1
        self.frames.append(decode_frame(raw))

    def close(self, _linger: int) -> None:
        return


def with_socket(peer: Peer, room: int) -> FakeSocket:
    socket = FakeSocket(room)
    peer._socket = cast("zmq.Socket[bytes]", socket)
    return socket


def test_after_a_refused_message_the_next_to_leave_is_that_message() -> None:
    peer = Peer("b", "a", 1, 1_000_000, Health())
    peer.liveness.heard(7, 0)
    socket = with_socket(peer, 3)
    for number in range(5):
        peer.outbox.put("control", bytes([number]))
    peer.pump(1)
    socket.room = 2
    peer.outbox.put("outcome", b"late")
    peer.pump(2)
    socket.room = 100
    peer.pump(3)
    reader = InChannel()
    assert {reader.accept(frame.seq) for frame in socket.frames} == {"deliver"}
    # The order is fixed when a message enters the channel; what had not entered was overtaken by the outcome.
    assert [frame.payload for frame in socket.frames] == [b"\0", b"\1", b"\2", b"\3", b"late", b"\4"]
    assert all(frame.to_incarnation == 7 and frame.schema == SCHEMA_VERSION for frame in socket.frames)


async def test_a_new_connection_gets_a_greeting_and_everything_unacknowledged_at_once() -> None:
    end = BusEnd("a")
    end.network.add_peer("b", "tcp://127.0.0.1:9")
    peer = end.network.peers["b"]
    peer.close()
    lost = with_socket(peer, 100)
    try:
        peer.liveness.heard(7, 0)
        for number in range(4):
            peer.outbox.put("control", bytes([number]))
        peer.pump(1)
        assert len(lost.frames) == 4  # they vanish with the connection
        peer.outgoing.acknowledge(1, 2)
        found = with_socket(peer, 100)
        end.network._on_connected("b")
        assert [(frame.kind, frame.seq) for frame in found.frames] == [
            (HELLO, 0),
            (MESSAGE, 2),
            (MESSAGE, 3),
            (MESSAGE, 4),
        ]
    finally:
        end.network.close()


def test_messages_for_an_ended_incarnation_are_dropped_and_counting_begins_anew() -> None:
    peer = Peer("b", "a", 1, 1_000_000, Health())
    peer.liveness.heard(7, 0)
    socket = with_socket(peer, 100)
    peer.knows_us = True
    peer.outbox.put("control", b"old")
    peer.pump(1)
    peer.outbox.put("control", b"older")
    peer.liveness.heard(8, 2)
    assert peer.begin() == 2
    peer.outbox.put("control", b"new")
    peer.pump(3)
    assert [(frame.seq, frame.to_incarnation, frame.payload) for frame in socket.frames] == [
        (1, 7, b"old"),
        (1, 8, b"new"),
    ]
