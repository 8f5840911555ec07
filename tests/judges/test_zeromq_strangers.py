"""zeromq.js, the ZeroMQ binding of another project, at the door of agents that speak to each other.

Without a key that the lab trusts it learns nothing and changes nothing, and is counted. With one it can
speak, but only in its own name.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import zmq

from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.keys import Keyring
from tests.runtime.buses import BusEnd, buses, until

pytestmark = pytest.mark.judge

SCRIPT = Path(__file__).parent / "peers" / "zeromq_stranger.js"
MODULES = Path(__file__).parents[2] / "build" / "npm"
DEADLINE_S = 60.0


async def visitor(b: BusEnd, *keys: str) -> dict[str, Any]:
    """Run the client against `b`; what it printed."""
    assert b.keyring is not None
    server = b.keyring.public_of("b")
    assert server is not None
    words = (str(MODULES), b.endpoint, server.decode("ascii"), str(SCHEMA_VERSION), *keys)
    process = await asyncio.create_subprocess_exec(
        "node", str(SCRIPT), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        printed, complaints = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, complaints.decode()
    found: dict[str, Any] = json.loads(printed)
    return found


async def chatter(a: BusEnd, b: BusEnd) -> None:
    """What there would be to overhear."""
    number = 0
    while True:
        number += 1
        a.send(b, number)
        b.send(a, number)
        a.network.flush()
        b.network.flush()
        await asyncio.sleep(0.01)


async def test_a_client_without_a_trusted_key_learns_nothing_and_changes_nothing(tmp_path: Path) -> None:
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    async with buses(a, b):
        talking = asyncio.create_task(chatter(a, b))
        visit = asyncio.create_task(visitor(b))
        # Who closes first decides which of the two libzmq tells.
        refused = ("listener_handshake_failed_protocol", "listener_handshake_failed_no_detail")
        await until(lambda: any(b.health.counts[name] for name in refused), "plain is refused")
        await until(lambda: b.health.counts["key_refused"] >= 1, "the strange key is refused")
        found = await visit
        for name in ("plain", "stranger"):
            assert found[name]["heard"] == 0
            assert "handshake" not in found[name]["events"], "the connection was established"
        await until(lambda: len(b.host.numbers_from("a")) > 50, "the two go on")
        talking.cancel()
        assert {source for source, *_ in b.host.messages} == {"a"}
        assert b.host.numbers_from("a") == sorted(b.host.numbers_from("a"))
        assert all(state == "up" for _, state, _ in b.host.opinions)
        assert len(Keyring(tmp_path).waiting()) == 1


async def test_a_client_with_a_trusted_key_speaks_in_its_own_name_only(tmp_path: Path) -> None:
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    public, secret = zmq.curve_keypair()
    Keyring(tmp_path).trust("c", public)
    async with buses(a, b):
        b.network.add_peer("c", "tcp://127.0.0.1:9")
        found = await visitor(b, public.decode("ascii"), secret.decode("ascii"))
        assert found["trusted"]["heard"] == 0
        assert "handshake" in found["trusted"]["events"]
        counts = b.health.counts
        await until(lambda: counts["frame_under_false_name"] >= 2, "its words as a and as b are dropped")
        await until(lambda: counts["frame_undecodable"] >= 2, "what is no word is dropped")
        assert ("c", "up", 1) in b.host.opinions
        assert b.host.messages == []
