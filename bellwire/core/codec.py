"""Bytes of messages, events and records: msgpack of tagged words, bounded, unknown fields refused.

Owns encoding and decoding. Refuses pickle and anything that is not a word of this schema version.
"""

import msgspec

from bellwire.core.effects import Effect
from bellwire.core.errors import PeerViolation
from bellwire.core.events import Event
from bellwire.core.ids import NodeId
from bellwire.core.messages import BusMessage

MESSAGE_BYTES_MAX = 256 * 1024
"""Larger frames are refused before decoding."""

_encoder = msgspec.msgpack.Encoder()
_message_decoder: msgspec.msgpack.Decoder[BusMessage] = msgspec.msgpack.Decoder(BusMessage)
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_effect_decoder: msgspec.msgpack.Decoder[Effect] = msgspec.msgpack.Decoder(Effect)


def encode(word: BusMessage | Event | Effect) -> bytes:
    """Bytes of one word."""
    return _encoder.encode(word)


def decode_message(source: NodeId, frame: bytes) -> BusMessage:
    """The message in a frame. Raises PeerViolation for anything else."""
    if len(frame) > MESSAGE_BYTES_MAX:
        raise PeerViolation(source, f"a message of {len(frame)} bytes, the limit is {MESSAGE_BYTES_MAX}")
    try:
        return _message_decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise PeerViolation(source, f"not a message of this schema: {problem}") from problem


def decode_event(frame: bytes) -> Event:
    """The event in a log entry. Raises msgspec.ValidationError for anything else."""
    return _event_decoder.decode(frame)


def decode_effect(frame: bytes) -> Effect:
    """The effect in a log entry."""
    return _effect_decoder.decode(frame)
