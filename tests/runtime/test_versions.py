"""Agents of different versions: told apart, refused in words at both ends, and taken back after an update."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import zmq

from bellwire import __version__
from bellwire.core.messages import SCHEMA_VERSION
from bellwire.runtime.control import NoAnswer
from bellwire.runtime.envelope import BEAT, HELLO, Frame, encode_frame
from bellwire.runtime.greeting import GREETING, opening_of, software_of
from bellwire.runtime.supervisor import Supervisor
from tests.hosts.live import live_lab, wait_for
from tests.runtime.buses import BusEnd, join, until
from tests.runtime.other_schema import command_line_with

REFUSED_WITHIN_S = 2.0


def hello(schema: int, payload: bytes = GREETING, incarnation: int = 3) -> Frame:
    return Frame("b", incarnation, schema, 0, HELLO, 0, 0, payload)


def told(end: BusEnd) -> list[str]:
    return [fields["problem"] for name, fields in end.health.recent if name == "peer_of_other_schema"]


def test_a_hello_names_the_software_and_nothing_else_does() -> None:
    assert software_of(hello(SCHEMA_VERSION)) == __version__
    assert software_of(hello(SCHEMA_VERSION, b"")) is None
    assert software_of(hello(SCHEMA_VERSION, b"\xc1")) is None
    assert software_of(hello(SCHEMA_VERSION, msgspec.msgpack.encode(["1.0\n", 5]))) is None
    assert software_of(hello(SCHEMA_VERSION, msgspec.msgpack.encode(["7.1", "news of later"]))) == "7.1"
    assert software_of(Frame("b", 1, SCHEMA_VERSION, 0, BEAT, 0, 0, GREETING)) is None


def test_a_frame_with_more_in_it_still_tells_its_schema() -> None:
    opening = opening_of(msgspec.msgpack.encode(["b", 3, 99, 0, 0, 0, 0, b"", "a place that we do not know"]))
    assert opening is not None
    assert (opening.source, opening.incarnation, opening.schema) == ("b", 3, 99)
    assert opening_of(b"\xc1") is None
    assert opening_of(msgspec.msgpack.encode({"source": "b"})) is None


async def test_peers_of_one_schema_know_each_others_software() -> None:
    a, b = BusEnd("a"), BusEnd("b")
    try:
        join(a, b)
        await until(lambda: a.knows(b) and a.network.peers["b"].version.software is not None, "a hears b")
        version = a.network.peers["b"].version
        assert version.told(1) == {
            "software": __version__,
            "schema": SCHEMA_VERSION,
            "incarnation": 1,
            "refused": False,
            "problem": "",
        }
    finally:
        a.network.close()
        b.network.close()


async def test_a_peer_of_another_schema_is_told_once_a_life_and_taken_back_after_its_update() -> None:
    a = BusEnd("a")
    a.network.add_peer("b", "tcp://127.0.0.1:9")
    context = zmq.Context()
    sender = context.socket(zmq.DEALER)
    sender.connect(a.endpoint)
    later = msgspec.msgpack.encode(["b", 4, SCHEMA_VERSION + 2, 0, 0, 0, 0, b"", 1])
    try:
        for frame in 3 * [hello(SCHEMA_VERSION - 1, b"")]:
            sender.send(encode_frame(frame))
        await until(lambda: a.health.counts["frame_of_other_schema"] == 3, "three frames")
        assert len(told(a)) == 1
        assert "update the computer of b" in told(a)[0]
        assert a.network.peers["b"].liveness.state is None
        sender.send(later)
        await until(lambda: len(told(a)) == 2, "the other life is told")
        assert "update this computer" in told(a)[1]
        sender.send(encode_frame(hello(SCHEMA_VERSION, incarnation=5)))
        await until(lambda: a.network.peers["b"].liveness.state == "up", "b is up")
        assert not a.network.peers["b"].version.refused
        assert a.network.peers["b"].version.problem() == ""
    finally:
        sender.close(0)
        context.term()
        a.network.close()


async def test_an_agent_of_another_schema_is_refused_within_two_seconds_in_the_health_of_both(
    tmp_path: Path,
) -> None:
    """Two real processes; the time is from when both listen, by the time stamps of their own logs."""
    lab = live_lab(tmp_path, "two_node_link")
    assert lab.path is not None
    state = tmp_path / "state"
    supervisor = Supervisor(lab, state, command_line=command_line_with("bob", Path(lab.path)))
    statuses: dict[str, Mapping[str, Any]] = {}

    async def both_refuse() -> bool:
        for name in ("alice", "bob"):
            try:
                statuses[name] = await supervisor.status(name)
            except NoAnswer:
                return False  # it is starting
        return (
            statuses["alice"]["peer_versions"]["bob"]["refused"]
            and statuses["bob"]["peer_versions"]["alice"]["refused"]
        )

    starting = asyncio.create_task(supervisor.start())  # never ready
    try:
        await wait_for(both_refuse, "both refuse")
        assert statuses["alice"]["health"]["peer_of_other_schema"] >= 1
        assert statuses["bob"]["health"]["peer_of_other_schema"] >= 1
        assert not statuses["alice"]["ready"]
        assert (statuses["alice"]["schema"], statuses["bob"]["schema"]) == (
            SCHEMA_VERSION,
            SCHEMA_VERSION + 1,
        )
        assert statuses["alice"]["peer_versions"]["bob"]["software"] == "99.0.0"
        assert statuses["bob"]["peer_versions"]["alice"]["software"] == __version__
        assert "update this computer" in statuses["alice"]["peer_versions"]["bob"]["problem"]
        assert statuses["alice"]["peer_versions"]["midpoint"]["refused"] is False
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await supervisor.stop()
    assert refusal_s(supervisor.run_dir) < REFUSED_WITHIN_S


def refusal_s(run_dir: Path) -> float:
    """From the later of the two starts to the later of the two refusals."""
    started, refused = [], []
    for name, other in (("alice", "bob"), ("bob", "alice")):
        lines = [
            msgspec.json.decode(line)
            for line in (run_dir / "logs" / f"{name}.log").read_bytes().splitlines()
            if line.startswith(b"{")
        ]
        started.append(next(line for line in lines if line["event"] == "agent_started"))
        refused.append(
            next(line for line in lines if line["event"] == "peer_of_other_schema" and line["peer"] == other)
        )

    def at_s(line: Mapping[str, Any]) -> float:
        return datetime.fromisoformat(line["timestamp"]).timestamp()

    return max(map(at_s, refused)) - max(map(at_s, started))
