"""The bus on real sockets: order, reconnection, credit, keys, incarnations, verdicts."""

from pathlib import Path

import pytest
import zmq

from bellwire.core.effects import Publish
from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.facts import Fact, Released
from bellwire.core.ids import End
from bellwire.core.messages import SCHEMA_VERSION, FactBatch
from bellwire.runtime.channel import CREDIT_FRAMES
from bellwire.runtime.envelope import HELLO, MESSAGE, Frame, encode_frame
from bellwire.runtime.keys import WAITING_MAX, Keyring, fingerprint
from tests.hosts.fault_proxy import Relay
from tests.runtime.buses import BusEnd, buses, join, until


async def test_no_message_is_lost_or_reordered_over_many_reconnections(tmp_path: Path) -> None:
    total, cuts = 12_000, 6
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    door = Relay(0, int(b.endpoint.rpartition(":")[2]))
    a.network.add_peer("b", await door.start())
    b.network.add_peer("a", a.endpoint)
    try:
        await until(lambda: a.knows(b) and b.knows(a), "a and b know each other")
        sent = 0
        while sent < total:
            for _ in range(200):
                a.send("b", sent)
                sent += 1
            a.network.flush()
            arrived = len(b.host.messages)
            if sent >= total * (door.cuts + 1) // (cuts + 1) and door.cuts < cuts:
                door.cut()
            await until(lambda seen=arrived: len(b.host.messages) > seen, "messages arrive after a cut")
            await until(
                lambda floor=sent - 2_000: len(b.host.messages) >= floor, "the outbox is not overfilled"
            )
        await until(lambda: len(b.host.messages) >= total, f"{total} messages")
        assert b.host.numbers_from("a") == list(range(total))
        assert door.cuts == cuts
        assert a.health.counts["peer_disconnected"] >= cuts
        assert a.health.counts["frames_resent"] >= 1
        assert {state for _, state, _ in b.host.opinions} <= {"up", "suspect"}
    finally:
        await door.stop()
        for end in (a, b):
            end.network.close()


async def test_messages_of_both_directions_keep_their_order_under_load(tmp_path: Path) -> None:
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    async with buses(a, b):
        for number in range(3_000):
            a.send(b, number)
            b.send(a, number)
        a.network.flush()
        b.network.flush()
        await until(lambda: len(a.host.messages) == len(b.host.messages) == 3_000, "3000 messages each way")
        assert a.host.numbers_from("b") == b.host.numbers_from("a") == list(range(3_000))
        in_flight = a.network.peers["b"].outgoing
        await until(lambda: in_flight.frames_in_flight == 0, "everything acknowledged")


async def test_a_key_that_the_lab_does_not_know_is_refused_and_counted(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    b = BusEnd("b", keys=home)
    stranger = BusEnd("a", keys=elsewhere)
    (elsewhere / "public" / "b.key").write_bytes((home / "public" / "b.key").read_bytes())
    b.network.add_peer("a", stranger.endpoint)
    stranger.network.add_peer("b", b.endpoint)
    try:
        await until(lambda: b.health.counts["key_refused"] >= 1, "b refuses the key")
        await until(lambda: stranger.health.counts["peer_handshake_failed_auth"] >= 1, "the stranger sees it")
        await until(lambda: b.health.counts["listener_handshake_failed_auth"] >= 1, "b's monitor sees it")
        assert b.host.opinions == []
        # Once an operator has said whose key it is, the two meet without a restart.
        operator = Keyring(home)
        ((mark, key),) = operator.waiting().items()
        assert b.health.recent[-1][1].get("fingerprint", mark) == mark == fingerprint(key)
        operator.trust("a", key)
        assert operator.waiting() == {}
        await until(lambda: stranger.knows(b) and b.knows(stranger), "they meet after the key was added")
    finally:
        for end in (b, stranger):
            end.network.close()


async def test_frames_of_a_revoked_key_are_dropped_on_the_live_connection(tmp_path: Path) -> None:
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    async with buses(a, b):
        a.send(b, 1)
        a.network.flush()
        await until(lambda: b.host.numbers_from("a") == [1], "the first message")
        assert a.keyring is not None
        a.keyring.revoke("a")  # another process: b learns of it from the folder
        await until(
            lambda: b.health.counts["frame_of_revoked_key"] >= 1, "b drops a frame of the revoked key"
        )
        a.send(b, 2)
        a.network.flush()
        await until(lambda: ("a", "down", 1) in b.host.opinions, "b judges a down")
        assert b.host.numbers_from("a") == [1]


async def test_a_stranger_is_refused_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A disk that is full must not make the agent give up because a stranger knocks."""
    b = BusEnd("b", keys=tmp_path / "home")
    (tmp_path / "home" / "waiting").write_text("no folder", encoding="utf-8")
    stranger = BusEnd("a", keys=tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "public" / "b.key").write_bytes(
        (tmp_path / "home" / "public" / "b.key").read_bytes()
    )
    stranger.network.add_peer("b", b.endpoint)
    try:
        await until(lambda: b.health.counts["refused_key_not_kept"] >= 2, "refused again and again")
        assert b.health.counts["key_refused"] >= 2
    finally:
        for end in (b, stranger):
            end.network.close()


def test_strangers_fill_no_disk_and_a_revoked_key_waits_for_nobody(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    ring.make("a")
    old = ring.public_of("a")
    assert old is not None
    ring.renew("a")
    ring.refused(old)
    assert ring.waiting() == {}
    for _ in range(WAITING_MAX + 5):
        ring.refused(zmq.curve_keypair()[0])
    assert len(ring.waiting()) == WAITING_MAX
    with pytest.raises(ConfigError, match="was revoked"):
        ring.trust("a", old)
    with pytest.raises(ConfigError, match="revoke that one first"):
        ring.trust("a", zmq.curve_keypair()[0])
    with pytest.raises(ConfigError, match="40 characters"):
        ring.trust("b", b"short")


def test_a_second_key_of_a_node_can_be_revoked_too(tmp_path: Path) -> None:
    ring = Keyring(tmp_path)
    ring.make("a")
    for _ in range(2):
        ring.renew("a")
    newest = ring.public_of("a")
    assert newest is not None
    assert ring.node_of(newest.decode("ascii")) == "a"
    ring.revoke("a")
    assert ring.node_of(newest.decode("ascii")) is None


async def test_a_frame_under_the_name_of_another_node_is_dropped(tmp_path: Path) -> None:
    a, b, c = (BusEnd(name, keys=tmp_path) for name in "abc")
    async with buses(a, b, c):
        peer = c.network.peers["b"]
        peer._own = "a"  # c lies about its name; its key does not
        peer.beat(1)
        await until(lambda: b.health.counts["frame_under_false_name"] >= 1, "b notices")
        peer._own = "c"


async def test_a_higher_incarnation_ends_the_old_one_at_once(tmp_path: Path) -> None:
    a, b = BusEnd("a", keys=tmp_path), BusEnd("b", keys=tmp_path)
    reborn = None
    try:
        join(a, b)
        await until(lambda: a.knows(b) and b.knows(a), "a and b know each other")
        b.network.close()
        for number in range(50):
            a.send("b", number)  # meant for the incarnation that has ended
        a.network.flush()
        reborn = BusEnd("b", keys=tmp_path, incarnation=2, bind=b.endpoint)
        reborn.network.add_peer("a", a.endpoint)
        await until(
            lambda: a.network.peers["b"].liveness.incarnation == 2 and a.knows(reborn), "a meets b again"
        )
        a.send("b", 1_000)
        a.network.flush()
        await until(lambda: bool(reborn.host.messages), "a message to the new incarnation")
        assert reborn.host.numbers_from("a") == [1_000]
        assert ("b", "up", 2) in a.host.opinions
        assert ("b", "down", 1) not in a.host.opinions
        assert a.health.counts["messages_to_ended_incarnation"] == 1
    finally:
        a.network.close()
        (reborn or b).network.close()


async def test_a_frame_of_an_ended_incarnation_is_dropped() -> None:
    b = BusEnd("b")
    sender = Forger(b.endpoint)
    b.network.add_peer("a", "tcp://127.0.0.1:9")
    try:
        sender.send(Frame("a", 5, SCHEMA_VERSION, 1, HELLO, 0, 0, b""))
        sender.send(Frame("a", 4, SCHEMA_VERSION, 1, HELLO, 0, 0, b""))
        await until(lambda: b.health.counts["frame_of_ended_incarnation"] == 1, "the old frame is counted")
        assert b.host.opinions == [("a", "up", 5)]
    finally:
        sender.close()
        b.network.close()


async def test_silence_makes_a_peer_suspect_and_then_down_and_its_return_up() -> None:
    b = BusEnd("b")
    sender = Forger(b.endpoint)
    b.network.add_peer("a", "tcp://127.0.0.1:9")
    try:
        sender.send(Frame("a", 1, SCHEMA_VERSION, 1, HELLO, 0, 0, b""))
        await until(lambda: len(b.host.opinions) == 3, "three opinions")
        sender.send(Frame("a", 1, SCHEMA_VERSION, 1, HELLO, 0, 0, b""))
        await until(lambda: len(b.host.opinions) == 4, "a fourth opinion")
        assert [state for _, state, _ in b.host.opinions] == ["up", "suspect", "down", "up"]
    finally:
        sender.close()
        b.network.close()


async def test_malformed_frames_are_counted_and_change_nothing() -> None:
    b = BusEnd("b")
    sender = Forger(b.endpoint)
    b.network.add_peer("a", "tcp://127.0.0.1:9")
    try:
        sender.raw(b"\xc1 this is no msgpack")
        sender.send(Frame("nobody", 1, SCHEMA_VERSION, 1, HELLO, 0, 0, b""))
        sender.send(Frame("a", 1, 99, 1, HELLO, 0, 0, b""))
        sender.send(Frame("a", 1, SCHEMA_VERSION, 1, MESSAGE, 1, 0, b"\xc1"))
        sender.send(Frame("a", 1, SCHEMA_VERSION, 1, MESSAGE, 3, 0, b"\xc1"))
        sender.send(Frame("a", 1, SCHEMA_VERSION, 1, MESSAGE, 1, 0, b"\xc1"))
        sender.send(Frame("a", 1, SCHEMA_VERSION, 7, MESSAGE, 2, 0, b"\xc1"))
        counts = b.health.counts
        await until(lambda: counts["frame_to_other_incarnation"] == 1, "the last frame")
        expected = (
            "frame_undecodable",
            "frame_of_stranger",
            "frame_of_other_schema",
            "peer_violation",
            "frame_hole",
            "frame_duplicate",
        )
        assert {name: counts[name] for name in expected} == dict.fromkeys(expected, 1)
        assert b.host.messages == []
    finally:
        sender.close()
        b.network.close()


async def test_a_reader_that_does_not_acknowledge_gets_no_more_than_the_credit() -> None:
    a = BusEnd("a")
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    deaf = context.socket(zmq.ROUTER)
    port = deaf.bind_to_random_port("tcp://127.0.0.1")
    sender = Forger(a.endpoint)
    a.network.add_peer("b", f"tcp://127.0.0.1:{port}")
    try:
        sender.send(Frame("b", 1, SCHEMA_VERSION, 1, HELLO, 0, 0, b""))
        await until(lambda: a.network.peers["b"].knows_us, "a believes that b knows it")
        for number in range(20_000):
            a.send("b", number)
        a.network.flush()
        peer = a.network.peers["b"]
        assert peer.outgoing.frames_in_flight == CREDIT_FRAMES
        assert (
            len(peer.outbox) == 4_096 - CREDIT_FRAMES
        )  # the limit of its class; older ones are dropped and counted
        assert a.health.counts["outbox_full_control"] == 20_000 - 4_096
        assert a.network.congested == ("b",)
        # An outcome overtakes everything that waits, but not what is in the channel.
        a.send("b", 99_999, urgency="outcome")
        sender.send(Frame("b", 1, SCHEMA_VERSION, 1, HELLO, 0, 1, b""))
        await until(lambda: peer.outgoing.acknowledged == 1, "one message is acknowledged")
        await until(lambda: peer.outgoing.frames_in_flight == CREDIT_FRAMES, "the credit is used again")
        last = list(peer.outgoing.pending())[-1][1]
        assert b"Watermark" in last
        assert (99_999).to_bytes(4, "big") in last
    finally:
        sender.close()
        deaf.close(0)
        context.destroy(linger=0)
        a.network.close()


async def test_urgent_facts_arrive_before_every_later_message_and_other_facts_follow_in_a_batch() -> None:
    a, b, c = (BusEnd(name) for name in "abc")
    async with buses(a, b, c):
        fact: Fact = Released(end=End("l", 1, 1, 1, 0), reason="dead", at_ns=1)
        for number in range(1, 4):
            batch = FactBatch(incarnation=1, first=number, facts=(fact,))
            a.network.publish(Publish(batch=batch, urgent_to=("b",) if number == 3 else ()))
        a.send(b, 7, urgency="outcome")
        a.network.flush()
        await until(lambda: len(b.host.messages) == 2 and len(c.host.messages) == 1, "facts at both")
        kinds = [type(message).__name__ for _, _, message in b.host.messages]
        assert kinds == ["FactBatch", "Watermark"]
        for end in (b, c):
            message = end.host.messages[0][2]
            assert isinstance(message, FactBatch)
            assert (message.first, len(message.facts)) == (1, 3)


async def test_a_port_in_use_is_one_clear_error() -> None:
    a = BusEnd("a")
    try:
        with pytest.raises(ConfigError, match=r"b cannot listen on tcp://127\.0\.0\.1:\d+: .*in use"):
            BusEnd("b", bind=a.endpoint)
    finally:
        a.network.close()


async def test_plaintext_is_refused_beyond_loopback() -> None:
    with pytest.raises(ConfigError, match="plaintext is for loopback only"):
        BusEnd("a", bind="tcp://0.0.0.0:*")
    a = BusEnd("a")
    try:
        with pytest.raises(ConfigError, match="plaintext is for loopback only"):
            a.network.add_peer("b", "tcp://192.0.2.1:47000")
    finally:
        a.network.close()


async def test_a_message_to_somebody_who_is_no_peer_is_our_own_mistake() -> None:
    a = BusEnd("a")
    try:
        with pytest.raises(LocalMisuse, match="a has no peer nobody"):
            a.send("nobody", 1)
    finally:
        a.network.close()


class Forger:
    """A client of the bus that says what the test wants; for plaintext ends."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def send(self, frame: Frame) -> None:
        self._socket.send(encode_frame(frame))

    def raw(self, octets: bytes) -> None:
        self._socket.send(octets)

    def close(self) -> None:
        self._socket.close(0)
        self._context.destroy(linger=0)
