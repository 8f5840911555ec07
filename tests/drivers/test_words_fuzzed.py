"""Decoders of instruments' words: no crash, no hang, and only the errors that are foreseen.

Register frames of the herald FPGA, the memory controller and the FPGA tagger (serial and UDP), Etherbone, and
the binary and textual words of bought instruments. 20,000 damaged words for each decoder, fixed seeds; SNMP,
which a library decodes, 2,000.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from bellwire.core.errors import BellwireError, PeerViolation
from bellwire.drivers import (
    apt_words,
    datagrams,
    decop,
    etherbone,
    frames,
    framing,
    id900_words,
    nktp_words,
    pulse_streamer_words,
    replies,
    snmp_words,
)
from tests.fuzzing import fuzzed

CASES = 20_000

MESSAGES = [
    framing.Message(framing.FrameType.READ, 1, 0x10, 4),
    framing.Message(framing.FrameType.WRITE, 2, 0x20, 2, 0, framing.pack_words([1, 0xFFFF_FFFF])),
    framing.Message(framing.FrameType.EVENTS, 3, 0, 0, 0, bytes(range(48))),
]
HERALD = frames.HeraldWords(1 << 40, 0xF, 2, 1, 1 << 50).pack()
RECORDS = [
    frames.Hello(1, 2, 3, 4, 5, 512, 7, 8).pack(),
    frames.Events(9, 1, 2, (HERALD, HERALD)).pack(),
    frames.Bound(1, 2, 3, 4, 5, 6, 7, 8).pack(),
    frames.Lost(1, 9, 3, 1).pack(),
    frames.Credit(100, 90).pack(),
    HERALD,
    frames.FirstHitsWords(7, 1, (1, None, 3, None)).pack(),
    frames.TagWords(1 << 40, 3, 8).pack(),
    frames.MemoryWords(1, 2, 3).pack(),
]


class Decoder(NamedTuple):
    """What is fed with what, and the errors that it may raise."""

    read: Callable[[bytes], Any]
    words: list[bytes]
    foreseen: tuple[type[Exception], ...] = ()
    cases: int = CASES


def _record(octets: bytes) -> None:
    """As whichever record its length may be; each says so itself when it is not."""
    problems = 0
    kinds: list[Callable[[bytes], Any]] = [
        frames.Hello.unpack,
        lambda body: frames.Events.unpack(body, len(HERALD)),
        frames.Bound.unpack,
        frames.Lost.unpack,
        frames.Credit.unpack,
        frames.HeraldWords.unpack,
        frames.FirstHitsWords.unpack,
        frames.TagWords.unpack,
        frames.MemoryWords.unpack,
    ]
    for unpack in kinds:
        try:
            unpack(octets)
        except PeerViolation:
            problems += 1
    if problems == len(kinds):
        raise PeerViolation("instrument", "no record of any kind")


def _serial_frames(octets: bytes) -> None:
    """In two parts, and a good frame behind: what was damaged must not swallow what follows."""
    decoder = framing.FrameDecoder()
    decoder.feed(octets[: len(octets) // 2])
    decoder.feed(octets[len(octets) // 2 :])
    decoder.feed(b"\x7e")  # what is unfinished ends here
    good = framing.encode_frame(MESSAGES[0])
    assert decoder.feed(good)[-1:] == [MESSAGES[0]]


def _apt(octets: bytes) -> None:
    for message in apt_words.messages(octets)[0]:
        if message.data is None:
            continue
        for kind in (apt_words.Hardware, apt_words.PaddleStatus, apt_words.MoveTo):
            try:
                kind.decoded(message.data)
            except ValueError:
                continue


def _nktp(octets: bytes) -> None:
    found = nktp_words.next_frame(octets)
    if found is None:
        raise nktp_words.BadTelegram("no frame")
    nktp_words.Telegram.decoded(found[0])


def _text(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda octets: read(octets.decode("latin-1"))


def _takes(octets: bytes) -> None:
    for take in (replies.line(), replies.prompt(b"> "), replies.lines(2), replies.block()):
        take(octets)


def _id900(text: str) -> None:
    for read in (id900_words.number_of, id900_words.picoseconds_of, id900_words.bins_of):
        try:
            read(text)
        except ValueError:
            continue


TELEGRAM = nktp_words.Telegram(0x0F, 0x42, nktp_words.Kind.DATAGRAM, 0x11, b"\x0a\x0d\x5e").encoded()

DECODERS = {
    "serial frames": Decoder(_serial_frames, [framing.encode_frame(one) for one in MESSAGES]),
    "datagrams": Decoder(
        lambda octets: datagrams.DatagramDecoder().feed(octets), datagrams.encode_datagrams(MESSAGES)
    ),
    "records": Decoder(_record, RECORDS, (PeerViolation,)),
    "Etherbone": Decoder(
        etherbone.decode_packet,
        [
            etherbone.encode_packet(etherbone.Packet((etherbone.Record(8, (1, 2), 16, (4, 8)),))),
            etherbone.encode_packet(etherbone.Packet(probe=True)),
        ],
        (PeerViolation,),
    ),
    "APT": Decoder(
        _apt,
        [apt_words.AptMessage(apt_words.Id.HW_REQ_INFO).encoded()],
        (apt_words.UnknownMessage,),
    ),
    "NKTP": Decoder(_nktp, [TELEGRAM], (nktp_words.BadTelegram,)),
    "DeCoP": Decoder(_text(decop.decode), [b'(1 #t "a\\"b" (2.5e3 &aGVsbG8=))', b'"text"'], (ValueError,)),
    "ID900 answers": Decoder(_text(_id900), [b"12.5ns", b"[1, 2, 3]", b"100ps"]),
    "ID900 tags": Decoder(id900_words.times_of, [np.arange(6, dtype="<u8").tobytes()], (ValueError,)),
    "Pulse Streamer": Decoder(pulse_streamer_words.sequence_of, [bytes(72)], (ValueError,)),
    "SNMP": Decoder(
        snmp_words.answer,
        [snmp_words.get_request(7, "public", [(1, 3, 6, 1, 2, 1, 1, 1, 0)])],
        (snmp_words.BadSnmp,),
        2_000,
    ),
    "replies": Decoder(_takes, [b"one\r\ntwo\r\n> ", b"#210 0123456789\n"], (ValueError, BellwireError)),
}


@pytest.mark.parametrize("name", DECODERS)
def test_words_of_instruments(name: str) -> None:
    one = DECODERS[name]
    for word in one.words:
        if one.foreseen and name not in ("Pulse Streamer", "SNMP"):
            one.read(word)  # as it should be, nothing is raised
    fuzzed(one.read, one.words, one.foreseen, one.cases)
