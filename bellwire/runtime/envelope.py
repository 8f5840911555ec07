"""Frames of the bus: one msgpack array around every payload, and the numbers that bound a channel.

Owns the envelope and its limits. Refuses payloads: they are opaque bytes here (`core.codec` knows them).
"""

from typing import Final

import msgspec

from bellwire.core.codec import MESSAGE_BYTES_MAX
from bellwire.core.ids import NodeId

HELLO: Final = 0
"""Here I am, with this incarnation; please tell me yours. Carries no sequence number."""
BEAT: Final = 1
"""I am alive; carries the acknowledgement."""
MESSAGE: Final = 2
"""One message in channel order."""

FRAME_BYTES_MAX: Final = MESSAGE_BYTES_MAX + 1024
"""ZeroMQ closes the connection of a peer that sends more in one frame."""


class Frame(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """The envelope. `incarnation` names the sender's channel, `to_incarnation` whom it was meant for."""

    source: NodeId
    incarnation: int
    schema: int
    to_incarnation: int  # 0: the sender does not know the receiver's incarnation yet
    kind: int  # HELLO, BEAT or MESSAGE
    seq: int  # 1, 2, 3, ... for MESSAGE; 0 for the others
    ack: int  # every MESSAGE of the receiver's incarnation up to this one has arrived
    payload: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame) -> bytes:
    """Bytes of one frame."""
    return _encoder.encode(frame)


def decode_frame(raw: bytes | memoryview) -> Frame:
    """The frame in these bytes.

    Raises msgspec.DecodeError (or its subclass ValidationError) for anything else.
    """
    try:
        return _decoder.decode(raw)
    except (UnicodeDecodeError, RecursionError) as problem:  # a name that is no text, words within words
        raise msgspec.DecodeError(str(problem)) from problem
