"""The UDP codec and the turns of requests, without a socket."""

from __future__ import annotations

import asyncio
import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.drivers.datagrams import DATAGRAM_BYTES_MAX, DatagramDecoder, encode_datagrams
from bellwire.drivers.frame_port import make_port
from bellwire.drivers.framing import Message
from bellwire.drivers.request_turns import RequestTurns
from bellwire.drivers.serial_port import SerialPort
from bellwire.drivers.udp_port import UdpPort

messages = st.builds(
    Message,
    type=st.integers(0, 255),
    seq=st.integers(0, 255),
    address=st.integers(0, 0xFFFF),
    count=st.integers(0, 255),
    status=st.integers(0, 255),
    payload=st.binary(max_size=700),
)


def test_a_datagram_has_the_documented_bytes() -> None:
    body = b"HR\x01\x01" + struct.pack("<H", 4) + bytes([2, 7]) + struct.pack("<H", 0x1234) + bytes([1, 0])
    body += b"\x01\x02\x03\x04"
    assert encode_datagrams([Message(2, 7, 0x1234, 1, 0, b"\x01\x02\x03\x04")]) == [
        body + struct.pack("<I", zlib.crc32(body))
    ]
    assert zlib.crc32(b"123456789") == 0xCBF43926  # the published check value of this CRC


@settings(derandomize=True, deadline=None)
@given(st.lists(messages, max_size=30))
def test_messages_come_back_in_order_from_as_few_datagrams_as_fit(sent: list[Message]) -> None:
    datagrams = encode_datagrams(sent)
    decoder = DatagramDecoder()
    assert [message for datagram in datagrams for message in decoder.feed(datagram)] == sent
    assert all(len(datagram) <= DATAGRAM_BYTES_MAX for datagram in datagrams)
    for early, late in pairwise(datagrams):
        first = DatagramDecoder().feed(late)[0]
        assert len(early) + 2 + 6 + len(first.payload) > DATAGRAM_BYTES_MAX


@settings(derandomize=True, deadline=None)
@given(st.lists(messages, min_size=1, max_size=3), st.integers(0, 10_000), st.integers(0, 7))
def test_one_wrong_bit_drops_the_whole_datagram(sent: list[Message], where: int, bit: int) -> None:
    datagram = bytearray(encode_datagrams(sent)[0])
    datagram[where % len(datagram)] ^= 1 << bit
    decoder = DatagramDecoder()
    assert decoder.feed(bytes(datagram)) == []
    assert (decoder.crc_errors, decoder.foreign) == (1, 0)


@pytest.mark.parametrize(
    "octets",
    [
        b"XX\x01\x00",
        b"HR\x02\x00",
        b"HR\x01\x01",
        b"HR\x01\x01" + struct.pack("<H", 9) + bytes(6) + b"short",
        b"HR\x01\x00" + b"rest",
    ],
    ids=["magic", "version", "header missing", "payload missing", "rest"],
)
def test_a_well_summed_datagram_of_somebody_else_is_foreign(octets: bytes) -> None:
    decoder = DatagramDecoder()
    assert decoder.feed(octets + struct.pack("<I", zlib.crc32(octets))) == []
    assert (decoder.crc_errors, decoder.foreign) == (0, 1)
    assert decoder.feed(b"HR") == []
    assert decoder.foreign == 2


def test_a_message_that_fits_no_datagram_is_our_mistake() -> None:
    with pytest.raises(LocalMisuse, match="does not fit"):
        encode_datagrams([Message(1, 0, payload=bytes(1400))])


def test_the_address_chooses_the_port() -> None:
    def of(address: str) -> object:
        return make_port("one", address, 9600, lambda messages: None, lambda fault: None)

    assert isinstance(of("/dev/ttyUSB0"), SerialPort)
    assert isinstance(of("udp://10.0.0.7:4660"), UdpPort)
    for wrong in ("udp://10.0.0.7", "udp:10.0.0.7:1", "udp://a:0", "udp://a:70000"):
        with pytest.raises(ConfigError, match="is not udp://HOST:PORT"):
            of(wrong)


async def test_no_more_requests_are_in_flight_than_the_window_allows() -> None:
    turns, busy, most = RequestTurns(8), 0, 0

    async def request() -> None:
        nonlocal busy, most
        async with turns.one():
            busy += 1
            most = max(most, busy)
            await asyncio.sleep(0)
            busy -= 1

    async with asyncio.timeout(5):
        await asyncio.gather(*(request() for _ in range(50)))
    assert most == 8


async def test_whoever_wants_to_be_alone_is_alone_and_soon() -> None:
    turns = RequestTurns(3)
    order: list[str] = []

    async def request(name: str) -> None:
        async with turns.one():
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    async def alone() -> None:
        async with turns.alone():
            order.append("alone begins")
            await asyncio.sleep(0)
            order.append("alone ends")

    early = [asyncio.create_task(request(name)) for name in "ab"]
    await asyncio.sleep(0)
    tasks = [asyncio.create_task(alone()), *(asyncio.create_task(request(name)) for name in "cd")]
    async with asyncio.timeout(5):
        await asyncio.gather(*early, *tasks)
    begun = order.index("alone begins")
    assert order[begun + 1] == "alone ends"
    assert {entry for entry in order[:begun] if entry.endswith("ends")} == {"a ends", "b ends"}
    assert all(order.index(f"{name} begins") > begun for name in "cd")


async def test_a_wait_for_all_turns_that_is_cancelled_gives_them_back() -> None:
    turns = RequestTurns(2)
    async with turns.one():
        waiting = asyncio.create_task(turns.alone().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), turns.alone():
        pass
    with pytest.raises(LocalMisuse):
        RequestTurns(0)
