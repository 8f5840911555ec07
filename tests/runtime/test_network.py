"""The bus on real sockets: order, reconnection, credit, keys, incarnations, verdicts."""

import asyncio
import socket
from pathlib import Path

import pytest
import zmq

from bellwire.core.bell import PERFECT
from bellwire.core.effects import Publish
from bellwire.core.errors import ConfigError
from bellwire.core.facts import Released
from bellwire.core.ids import End
from bellwire.core.messages import FactBatch, Watermark
from bellwire.runtime.channel import CREDIT_BYTES, CREDIT_FRAMES
from bellwire.runtime.health import Health
from bellwire.runtime.keys import Keyring
from bellwire.runtime.network import BusSettings, Network
from tests.runtime.buses import BusEnd, Listener, buses, until


async def test_messages_arrive_in_order_under_curve(tmp_path: Path) -> None:
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    async with buses(a, b):
        for number in range(2_000):
            a.send(b, number)
        a.network.flush()
        await until(lambda: len(b.host.numbers_from("a")) == 2_000, "2000 messages")
        assert b.host.numbers_from("a") == list(range(2_000))
        await until(lambda: a.network.peers["b"].outgoing.frames_in_flight == 0, "all acknowledged")
