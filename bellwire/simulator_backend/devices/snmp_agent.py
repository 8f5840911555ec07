"""An SNMP agent, version 2c, read only, sans I/O: objects in their order, and the four requests.

Owns GET, GETNEXT, GETBULK, and the refusal of SET; codec and types are pysnmp's. What is no request of
version 2c, or names another community, is not answered, as agents do. Refuses to know what objects mean.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyasn1.codec.ber import decoder, encoder
from pyasn1.error import PyAsn1Error
from pysnmp.proto.api import v2c

from bellwire.drivers.snmp_words import VERSION_2C, ObjectId

REPETITIONS_MAX = 64
OBJECTS_MAX = 128
NOT_WRITABLE, TOO_BIG = 17, 1

Objects = Mapping[ObjectId, Callable[[], Any]]
"""What an object's instance holds now, in a type of pysnmp."""


def is_set(request: bytes) -> bool:
    """Whether the request would change something."""
    return isinstance(_pdu(_message(request)), v2c.SetRequestPDU)


class SnmpAgent:
    """Answers for a set of objects. `community`: who may read."""

    def __init__(self, objects: Objects, *, community: bytes = b"public") -> None:
        self._objects = objects
        self._order = sorted(objects)
        self._community = community

    def answer(self, request: bytes) -> bytes | None:
        """The response to a datagram; None when there is none."""
        message = _message(request)
        asked = _pdu(message)
        if (
            asked is None
            or int(v2c.apiMessage.get_version(message)) != VERSION_2C
            or bytes(v2c.apiMessage.get_community(message)) != self._community
        ):
            return None
        response = v2c.apiMessage.get_response(message)
        told = v2c.apiMessage.get_pdu(response)
        if isinstance(asked, v2c.GetBulkRequestPDU):
            v2c.apiPDU.set_varbinds(told, self._bulk(asked))
        elif isinstance(asked, v2c.SetRequestPDU):
            v2c.apiPDU.set_error_status(told, NOT_WRITABLE)
            v2c.apiPDU.set_error_index(told, 1)
            v2c.apiPDU.set_varbinds(told, v2c.apiPDU.get_varbinds(asked))
        else:
            names = [tuple(name) for name, _ in v2c.apiPDU.get_varbinds(asked)]
            if len(names) > OBJECTS_MAX:
                v2c.apiPDU.set_error_status(told, TOO_BIG)
                names = []
            find = self._next if isinstance(asked, v2c.GetNextRequestPDU) else self._exactly
            v2c.apiPDU.set_varbinds(told, [find(name) for name in names])
        return bytes(encoder.encode(response))

    def _exactly(self, name: ObjectId) -> tuple[ObjectId, Any]:
        read = self._objects.get(name)
        if read is not None:
            return name, read()
        column = name[:-1]
        known = any(one[:-1] == column for one in self._order)
        return name, v2c.NoSuchInstance("") if known else v2c.NoSuchObject("")

    def _next(self, name: ObjectId) -> tuple[ObjectId, Any]:
        place = bisect.bisect_right(self._order, name)
        if place == len(self._order):
            return name, v2c.EndOfMibView("")
        found = self._order[place]
        return found, self._objects[found]()

    def _bulk(self, asked: Any) -> list[tuple[ObjectId, Any]]:
        names: Sequence[ObjectId] = [tuple(name) for name, _ in v2c.apiBulkPDU.get_varbinds(asked)]
        single = max(0, int(v2c.apiBulkPDU.get_non_repeaters(asked)))
        repetitions = min(REPETITIONS_MAX, max(0, int(v2c.apiBulkPDU.get_max_repetitions(asked))))
        told = [self._next(name) for name in names[:single]]
        current = list(names[single:])
        for _ in range(repetitions):
            step = [self._next(name) for name in current]
            if not step or len(told) + len(step) > OBJECTS_MAX:
                break
            told += step
            current = [name for name, _ in step]
            if all(isinstance(value, v2c.EndOfMibView) for _, value in step):
                break
        return told


def _message(request: bytes) -> Any:
    try:
        message, _ = decoder.decode(request, asn1Spec=v2c.Message())
    except (PyAsn1Error, ValueError, TypeError, IndexError, OverflowError):
        return None  # whatever an ASN.1 reader says about bytes that are none
    return message


def _pdu(message: Any) -> Any:
    """The request in a message; None when there is none."""
    if message is None:
        return None
    try:
        pdu = v2c.apiMessage.get_pdu(message)
    except (PyAsn1Error, ValueError, TypeError, IndexError, KeyError):
        return None
    kinds = (v2c.GetRequestPDU, v2c.GetNextRequestPDU, v2c.GetBulkRequestPDU, v2c.SetRequestPDU)
    return pdu if isinstance(pdu, kinds) else None
