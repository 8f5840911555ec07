"""What whoever submits a request is answered: accepted, queued, rejected with the best offer, or nothing yet.

Owns the answer and the wait for it. Refuses the decision, which is the transport layer's: it is read, never
made here.
"""

import asyncio
import time
from typing import Any, Final, Protocol

from bellwire.core.machine import Machine
from bellwire.node.machines import QuantumNode

ADMISSION_WAIT_MAX_S: Final = 30.0
"""Longest wait of one question; whoever wants to wait longer asks again."""

LOOK_S: Final = 0.02


class Reports(Protocol):
    """The reports of this life of the agent, numbered from 1."""

    def after(self, number: int, name: str | None = None) -> list[dict[str, Any]]: ...


async def submission_answer(
    machine: Machine, request_id: str, wait_s: float, reports: Reports, before: int
) -> dict[str, Any]:
    """The answer as soon as there is one, at the latest after `wait_s`.

    reports, before: a request that is not taken at all leaves a report with a higher number than `before`.
    """
    give_up_s = time.monotonic() + wait_s
    while True:
        answer = _answer(machine, request_id, reports, before)
        if answer["admission"] != "pending" or time.monotonic() >= give_up_s:
            return answer
        await asyncio.sleep(LOOK_S)


def _answer(machine: Machine, request_id: str, reports: Reports, before: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"request": request_id, "admission": "pending", "reason": None, "offer": None}
    refused = [one for one in reports.after(before, "request_refused") if one["request"] == request_id]
    if refused:
        return answer | {"admission": "rejected", "reason": refused[-1]["fields"]["reason"]}
    processing = machine.requests if isinstance(machine, QuantumNode) else None
    life = None if processing is None else processing.lives.get(request_id)
    if life is None:
        return answer
    record = life.record
    return answer | {
        "admission": record.admission,
        "reason": None if record.admission == "accepted" else record.reason or life.failure or None,
        "offer": None
        if record.offer is None
        else {"rate_hz": record.offer.rate_hz, "fidelity": record.offer.fidelity},
    }
