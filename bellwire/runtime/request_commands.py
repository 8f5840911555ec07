"""What an agent tells of the requests that were made at it: request, requests, pairs, news.

Owns the table of these commands and their pages. Refuses to count anything: the life of a request is the
transport layer's, pairs are as the delivery records have them, news are reports as they were made.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, Protocol

import msgspec

from bellwire.core.machine import Machine
from bellwire.node.machines import QuantumNode
from bellwire.runtime.control import Command
from bellwire.transport.delivery_records import DeliveryRecord
from bellwire.transport.requests import Life

PAGE_MAX: Final = 500
"""Entries of one answer, which must fit one line of the control channel."""

UNTOLD: Final = frozenset({"pair_delivered", "pair_settled", "pair_void", "attempt_windows"})
"""Reports that are no news: pairs are read from their records, and windows open and close all the time."""


class Reports(Protocol):
    """The reports of this life of the agent, numbered from 1."""

    def after(self, number: int, name: str | None = None) -> list[dict[str, Any]]: ...


def request_commands(machine: Machine, incarnation: int, reports: Reports) -> Mapping[str, Command]:
    """The commands of one agent. A station, and a repeater, has seen no request."""

    async def request(fields: dict[str, Any]) -> dict[str, Any]:
        """`standing` None: never taken here; `refusal`: why the last one of that name was not."""
        name = str(fields["request"])
        life = _lives(machine).get(name)
        if life is not None:
            return {"standing": _standing(machine, life), "refusal": None}
        refused = [one for one in reports.after(0, "request_refused") if one["request"] == name]
        return {"standing": None, "refusal": refused[-1]["fields"] if refused else None}

    async def requests(fields: dict[str, Any]) -> dict[str, Any]:
        """A page in the order of arrival; `next` None: it was the last one."""
        after, lives = int(fields.get("after", 0)), _lives(machine)
        page = [_standing(machine, life) for life in islice(lives.values(), after, after + PAGE_MAX)]
        more = after + len(page) < len(lives)
        return {"requests": page, "next": after + len(page) if more else None}

    async def pairs(fields: dict[str, Any]) -> dict[str, Any]:
        """Pairs of a request with a higher number than `after`, as the records of this node have them."""
        after, limit = int(fields.get("after", 0)), min(int(fields.get("limit", PAGE_MAX)), PAGE_MAX)
        delivery = machine.delivery if isinstance(machine, QuantumNode) else None
        records = () if delivery is None else delivery.records(str(fields["request"]))
        found = [record for record in records if record.number > after]
        page = [_pair(record) for record in found[:limit]]
        return {"pairs": page, "next": page[-1]["number"] if len(found) > limit else None}

    async def news(fields: dict[str, Any]) -> dict[str, Any]:
        """Reports after a number of the asker's `incarnation`; all of this life if he knew another one.

        `last`: number up to which all is told now. `missed`: how many the shelf has lost before that.
        """
        after = int(fields.get("after", 0)) if fields.get("incarnation") == incarnation else 0
        told = reports.after(after)
        page = told[:PAGE_MAX]
        return {
            "incarnation": incarnation,
            "last": page[-1]["number"] if page else after,
            "missed": page[0]["number"] - after - 1 if page else 0,
            "reports": [report for report in page if report["name"] not in UNTOLD],
            "more": len(told) > len(page),
        }

    return {"request": request, "requests": requests, "pairs": pairs, "news": news}


def _lives(machine: Machine) -> Mapping[str, Life]:
    processing = machine.requests if isinstance(machine, QuantumNode) else None
    return {} if processing is None else processing.lives


def _standing(machine: Machine, life: Life) -> dict[str, Any]:
    record = life.record
    request_id = record.request.request_id
    processing = machine.requests if isinstance(machine, QuantumNode) else None
    return {
        "request": msgspec.to_builtins(record.request),
        "state": life.state,
        "delivered": 0 if processing is None else processing.delivered(request_id),
        "reason": record.reason or None,
        "plan_failure": life.failure or None,
        "admission": record.admission,
        "offer": None if record.offer is None else msgspec.to_builtins(record.offer),
        "submitted_ns": record.submitted_ns,
        "started_ns": record.started_ns,
    }


def _pair(record: DeliveryRecord) -> dict[str, Any]:
    return {
        "number": record.number,
        "peer": record.peer,
        "state": record.state,
        "head_end": str(record.head_end),
        "tail_end": str(record.tail_end),
        "frame": record.frame,
        "fidelity": record.fidelity,
        "at_ns": record.at_ns,
        "age_ns": record.at_ns - record.born_ns,
        "outcome": record.bit,
        "others": [[node, str(end)] for node, end in record.others],
    }
