"""What an agent answers on its control channel: submit, cancel, replan, status, ledger, reports, stop.

Owns the table. Refuses protocol: a request becomes an event, an answer is what may be read without asking a
machine.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from bellwire.core.effects import Report
from bellwire.core.errors import ConfigError
from bellwire.core.events import ReplanAsked, RequestCancelled, RequestSubmitted
from bellwire.core.plans import EntanglementRequest
from bellwire.runtime.agent import Agent
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.control import Command
from bellwire.runtime.counters import machine_counters
from bellwire.runtime.instruments import NodeInstruments

REPORTS_KEPT = 20_000
ROWS_MAX = 500


class ReportShelf:
    """The latest reports of an agent, numbered from 1, for whoever asks for those after a number."""

    def __init__(self) -> None:
        self._reports: deque[dict[str, Any]] = deque(maxlen=REPORTS_KEPT)
        self._last = 0

    def put(self, now_ns: int, report: Report) -> None:
        """A report was made."""
        self._last += 1
        fields = {"at_ns": now_ns, "name": report.name, "request": report.request, "fields": report.fields}
        self._reports.append({"number": self._last} | fields)

    def after(self, number: int) -> list[dict[str, Any]]:
        """Reports with a higher number;

        older ones than the shelf holds are missing, which the numbers show.
        """
        return [report for report in self._reports if report["number"] > number]


def agent_commands(agent: Agent, instruments: NodeInstruments, clock: LiveClock) -> Mapping[str, Command]:
    """The commands of one agent."""
    shelf = ReportShelf()
    agent.on_report.append(shelf.put)

    async def submit(fields: dict[str, Any]) -> dict[str, str]:
        try:
            request = msgspec.convert(fields["request"], EntanglementRequest)
        except msgspec.ValidationError as problem:
            raise ConfigError(f"not a request: {problem}") from problem
        if request.target_nodes[0] != agent.name:
            raise ConfigError(f"submit {request.request_id} at its source {request.target_nodes[0]}")
        agent.feed(RequestSubmitted(request=request))
        return {"request": request.request_id}

    async def cancel(fields: dict[str, Any]) -> dict[str, str]:
        agent.feed(RequestCancelled(request=str(fields["request"])))
        return {"request": str(fields["request"])}

    async def replan(fields: dict[str, Any]) -> dict[str, str]:
        agent.feed(ReplanAsked(request=str(fields["request"])))
        return {"request": str(fields["request"])}

    async def status(_fields: dict[str, Any]) -> dict[str, Any]:
        up = all(state == "up" for state in agent.status()["peers"].values())
        return agent.status() | {
            "ready": up and instruments.ready,
            "instruments": instruments.states(),
            "slots": _slots(agent),
            **machine_counters(agent.machine),
        }

    async def ledger(_fields: dict[str, Any]) -> list[dict[str, Any]]:
        replica = getattr(agent.machine, "replica", None)
        if replica is None:
            return []
        rows = replica.fold.rows(clock.now_ns())[:ROWS_MAX]
        return [
            {
                "end_nodes": list(row.end_nodes),
                "request": row.request,
                "created_ns": row.created_ns,
                "age_ns": row.age_ns,
                "fidelity": row.fidelity,
                "frame": row.frame,
                "hops": row.hops,
                "usage": row.usage,
            }
            for row in rows
        ]

    async def reports(fields: dict[str, Any]) -> list[dict[str, Any]]:
        return shelf.after(int(fields.get("after", 0)))

    async def stop(_fields: dict[str, Any]) -> None:
        agent.ended.get_loop().call_soon(agent.stop)

    return {
        "submit": submit,
        "cancel": cancel,
        "replan": replan,
        "status": status,
        "ledger": ledger,
        "reports": reports,
        "stop": stop,
    }


def _slots(agent: Agent) -> list[dict[str, Any]]:
    table = getattr(agent.machine, "slots", None)
    if table is None:
        return []
    return [
        {
            "slot": slot.index,
            "state": slot.state,
            "link": slot.link,
            "lane": slot.lane,
            "request": slot.request,
        }
        for slot in table.slots()
    ]
