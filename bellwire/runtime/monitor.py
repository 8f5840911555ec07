"""Watches a ZeroMQ socket's connections, because a refused handshake raises nothing anywhere else.

Owns the monitor socket of one bus socket. Refuses reactions: it names what happened and to which address.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import zmq
from zmq.utils.monitor import parse_monitor_message

WATCHED: Final[dict[int, str]] = {
    int(zmq.EVENT_HANDSHAKE_SUCCEEDED): "connected",
    int(zmq.EVENT_DISCONNECTED): "disconnected",
    int(zmq.EVENT_HANDSHAKE_FAILED_AUTH): "handshake_failed_auth",
    int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL): "handshake_failed_no_detail",
    int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL): "handshake_failed_protocol",
    int(zmq.EVENT_ACCEPT_FAILED): "accept_failed",
}
"""libzmq's events and the names under which health counts them."""


def watch(socket: "zmq.Socket[bytes]", on_event: Callable[[str, str], None]) -> Callable[[], None]:
    """Call `on_event(name, address)` in the running loop for every watched event; returns what ends it."""
    loop = asyncio.get_running_loop()
    events = 0
    for event in WATCHED:
        events |= event
    monitor = socket.get_monitor_socket(events)
    descriptor = monitor.FD

    def drain() -> None:
        while not monitor.closed:
            try:
                parts = monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            told = parse_monitor_message(parts)
            name = WATCHED.get(int(told["event"]))
            if name is not None:
                endpoint = told["endpoint"]
                on_event(name, endpoint.decode("utf-8", "replace"))

    def close() -> None:
        loop.remove_reader(descriptor)
        socket.disable_monitor()
        monitor.close(0)

    loop.add_reader(descriptor, drain)
    loop.call_soon(drain)
    return close
