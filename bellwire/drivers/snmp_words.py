"""Questions and answers of SNMP version 2c, as bytes: what a driver says to an agent and hears from it.

Owns GET requests and responses; the codec is pysnmp's, imported when it is needed, because most labs have no
SNMP at all. Refuses traps, SET, and the versions 1 (no 64-bit counters) and 3. No bytes move here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from bellwire.core.errors import ConfigError

ObjectId = tuple[int, ...]
SnmpValue = int | bytes | None
"""A number, octets, or None: the agent has no such object."""

VERSION_2C = 1
REQUEST_ID_MAX = (1 << 31) - 1


class BadSnmp(ValueError):
    """Not an SNMP message of version 2c, or another kind than expected."""


@dataclass(frozen=True, slots=True)
class SnmpAnswer:
    """A response. `error`: 0, or the number of RFC 3416 with the place of its object, counted from 1."""

    request_id: int
    error: int
    error_index: int
    values: tuple[tuple[ObjectId, SnmpValue], ...]


def require_pysnmp(instrument: str) -> None:
    """Raises ConfigError when the codec is not installed."""
    if importlib.util.find_spec("pysnmp") is None:
        raise ConfigError(
            "SNMP needs pysnmp: install bellwire[instruments], or pip install pysnmp", where=instrument
        )


def get_request(request_id: int, community: str, objects: Sequence[ObjectId]) -> bytes:
    """A GET of all these objects at once."""
    from pyasn1.codec.ber import encoder
    from pysnmp.proto.api import v2c

    pdu = v2c.GetRequestPDU()
    v2c.apiPDU.set_defaults(pdu)
    v2c.apiPDU.set_request_id(pdu, request_id)
    v2c.apiPDU.set_varbinds(pdu, [(one, v2c.Null("")) for one in objects])
    message = v2c.Message()
    v2c.apiMessage.set_defaults(message)
    v2c.apiMessage.set_community(message, community.encode("utf-8"))
    v2c.apiMessage.set_pdu(message, pdu)
    return bytes(encoder.encode(message))


def answer(octets: bytes) -> SnmpAnswer:
    """The response in a datagram. Raises BadSnmp."""
    from pyasn1.codec.ber import decoder
    from pyasn1.error import PyAsn1Error
    from pysnmp.proto.api import v2c

    try:
        message, _ = decoder.decode(octets, asn1Spec=v2c.Message())
        pdu = v2c.apiMessage.get_pdu(message)
        if int(v2c.apiMessage.get_version(message)) != VERSION_2C or not isinstance(pdu, v2c.ResponsePDU):
            raise BadSnmp("not a response of version 2c")
        return SnmpAnswer(
            int(v2c.apiPDU.get_request_id(pdu)),
            int(v2c.apiPDU.get_error_status(pdu)),
            int(v2c.apiPDU.get_error_index(pdu)),
            tuple((tuple(name), _value(value)) for name, value in v2c.apiPDU.get_varbinds(pdu)),
        )
    except (PyAsn1Error, ValueError, TypeError, IndexError, KeyError, OverflowError) as error:
        # Whatever an ASN.1 reader says about bytes that are no ASN.1; a missing index raises the last ones.
        raise BadSnmp(f"not an SNMP message: {type(error).__name__}") from None


def _value(value: object) -> SnmpValue:
    from pyasn1.type import univ

    if isinstance(value, univ.Null):  # as are noSuchObject, noSuchInstance and endOfMibView
        return None
    if isinstance(value, univ.OctetString):
        return bytes(value)
    if isinstance(value, univ.Integer):
        return int(value)
    return str(value).encode("ascii", "replace")
