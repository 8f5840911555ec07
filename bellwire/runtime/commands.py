"""What an agent answers on its control channel: submit, cancel, replan, suspend, resume, create,
cancel_create, release_qubit, link_answers, links, status, ledger, ledger_now, reports, stop; request,
requests, pairs, news (request_commands.py); topology, pinged, leave (topology_commands.py).

Owns the table. Refuses protocol: a request becomes an event, an answer is what may be read without asking a
machine.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import msgspec

from bellwire.core.effects import Report
from bellwire.core.errors import ConfigError
from bellwire.core.events import (
    LinkCreateCancelled,
    LinkCreateSubmitted,
    LinkQubitReleased,
    ReplanAsked,
    RequestCancelled,
    RequestSubmitted,
    ResumptionAsked,
    SuspensionAsked,
)
from bellwire.core.ids import End
from bellwire.core.link_words import LinkAnswer, LinkCreate
from bellwire.core.plans import EntanglementRequest
from bellwire.core.units import ns_from_s
from bellwire.core.view import Entanglement
from bellwire.runtime.agent import Agent
from bellwire.runtime.clock import LiveClock
from bellwire.runtime.control import Command
from bellwire.runtime.counters import machine_counters
from bellwire.runtime.instruments import NodeInstruments
from bellwire.runtime.link_standings import link_standings
from bellwire.runtime.request_answers import ADMISSION_WAIT_MAX_S, submission_answer
from bellwire.runtime.request_commands import request_commands
from bellwire.runtime.topology_commands import topology_commands

REPORTS_KEPT = 20_000
ANSWERS_KEPT = 20_000
ROWS_MAX = 500
SUSPENSION_MAX_S = 7 * 86_400.0


class ReportShelf:
    """The latest reports of an agent, numbered from 1, for whoever asks for those after a number."""

    def __init__(self) -> None:
        self._reports: deque[dict[str, Any]] = deque(maxlen=REPORTS_KEPT)
        self._last = 0

    @property
    def last(self) -> int:
        """Number of the latest report, 0: there was none."""
        return self._last

    def put(self, now_ns: int, report: Report) -> None:
        """A report was made."""
        self._last += 1
        fields = {"at_ns": now_ns, "name": report.name, "request": report.request, "fields": report.fields}
        self._reports.append({"number": self._last} | fields)

    def after(self, number: int, name: str | None = None) -> list[dict[str, Any]]:
        """Reports with a higher number, of one name or (None) of all.

        Older ones than the shelf holds are missing, which the numbers show.
        """
        return [
            report for report in self._reports if report["number"] > number and name in (None, report["name"])
        ]


class AnswerShelf:
    """The latest answers to users of this node's links, numbered from 1."""

    def __init__(self) -> None:
        self._answers: deque[dict[str, Any]] = deque(maxlen=ANSWERS_KEPT)
        self._last = 0

    def put(self, now_ns: int, answer: LinkAnswer) -> None:
        """A user was answered. The answer is kept as JSON has it, its type under `t`."""
        self._last += 1
        self._answers.append({"number": self._last, "at_ns": now_ns, "answer": msgspec.to_builtins(answer)})

    def after(self, number: int, create: int | None) -> list[dict[str, Any]]:
        """Answers with a higher number, of one CREATE or (None) of all.

        Older ones than the shelf holds are missing, which the numbers show.
        """
        return [
            answer
            for answer in self._answers
            if answer["number"] > number and create in (None, answer["answer"]["create"])
        ]


def agent_commands(agent: Agent, instruments: NodeInstruments, clock: LiveClock) -> Mapping[str, Command]:
    """The commands of one agent."""
    shelf = ReportShelf()
    agent.on_report.append(shelf.put)
    answers = AnswerShelf()
    agent.on_answer.append(answers.put)

    async def submit(fields: dict[str, Any]) -> dict[str, Any]:
        """`wait_s`: how long to wait for the word about its admission, 0: not at all."""
        try:
            request = msgspec.convert(fields["request"], EntanglementRequest)
        except msgspec.ValidationError as problem:
            raise ConfigError(f"not a request: {problem}") from problem
        if request.target_nodes[0] != agent.name:
            raise ConfigError(f"submit {request.request_id} at its source {request.target_nodes[0]}")
        before = shelf.last
        agent.feed(RequestSubmitted(request=request))
        wait_s = min(float(fields.get("wait_s", 0.0)), ADMISSION_WAIT_MAX_S)
        return await submission_answer(agent.machine, request.request_id, wait_s, shelf, before)

    async def cancel(fields: dict[str, Any]) -> dict[str, str]:
        agent.feed(RequestCancelled(request=str(fields["request"])))
        return {"request": str(fields["request"])}

    async def replan(fields: dict[str, Any]) -> dict[str, str]:
        agent.feed(ReplanAsked(request=str(fields["request"])))
        return {"request": str(fields["request"])}

    async def suspend(fields: dict[str, Any]) -> dict[str, str]:
        """`for_s`: after so long it goes on by itself. What became of it is told by its standing."""
        for_s = float(fields["for_s"])
        if not 0.0 < for_s <= SUSPENSION_MAX_S:
            raise ConfigError(f"for_s is {for_s:g}: give more than 0 and at most {SUSPENSION_MAX_S:g}")
        agent.feed(SuspensionAsked(request=str(fields["request"]), duration_ns=ns_from_s(for_s)))
        return {"request": str(fields["request"])}

    async def resume(fields: dict[str, Any]) -> dict[str, str]:
        agent.feed(ResumptionAsked(request=str(fields["request"])))
        return {"request": str(fields["request"])}

    async def create(fields: dict[str, Any]) -> dict[str, int]:
        """`asked` holds the fields of a LinkCreate. What becomes of it is told by link_answers."""
        _require_links(agent)
        try:
            asked = msgspec.convert(fields["asked"], LinkCreate)
        except msgspec.ValidationError as problem:
            raise ConfigError(f"not a CREATE: {problem}") from problem
        agent.feed(LinkCreateSubmitted(asked=asked))
        return {"create": asked.create}

    async def cancel_create(fields: dict[str, Any]) -> dict[str, int]:
        _require_links(agent)
        agent.feed(LinkCreateCancelled(create=int(fields["create"])))
        return {"create": int(fields["create"])}

    async def release_qubit(fields: dict[str, Any]) -> dict[str, Any]:
        """`end` as it stands in an OK for a kept pair."""
        _require_links(agent)
        try:
            end = msgspec.convert(fields["end"], End)
        except msgspec.ValidationError as problem:
            raise ConfigError(f"not an end: {problem}") from problem
        agent.feed(LinkQubitReleased(end=end))
        return {"end": list(end)}

    async def link_answers(fields: dict[str, Any]) -> list[dict[str, Any]]:
        only = fields.get("create")
        return answers.after(int(fields.get("after", 0)), None if only is None else int(only))

    async def links(_fields: dict[str, Any]) -> dict[str, Any]:
        return {"now_ns": clock.now_ns(), "links": link_standings(agent.machine)}

    async def status(_fields: dict[str, Any]) -> dict[str, Any]:
        up = all(state == "up" for state in agent.status()["peers"].values())
        return agent.status() | {
            **agent.versions(),
            "ready": up and instruments.ready,
            "instruments": instruments.states(),
            "slots": _slots(agent),
            **machine_counters(agent.machine),
            "stores": _stores(agent),
        }

    async def ledger(_fields: dict[str, Any]) -> list[dict[str, Any]]:
        replica = getattr(agent.machine, "replica", None)
        if replica is None:
            return []
        rows = replica.fold.rows(clock.now_ns())[:ROWS_MAX]
        return [{name: value for name, value in _told(row).items() if name != "ends"} for row in rows]

    async def ledger_now(fields: dict[str, Any]) -> dict[str, Any]:
        """Rows as `ledger` has them, the oldest first, with the names of their ends; `count`: of all."""
        now_ns, replica = clock.now_ns(), getattr(agent.machine, "replica", None)
        rows = [] if replica is None else sorted(replica.fold.available(now_ns), key=lambda row: -row.age_ns)
        page = rows[: min(int(fields.get("limit", ROWS_MAX)), ROWS_MAX)]
        return {"now_ns": now_ns, "count": len(rows), "rows": [_told(row) for row in page]}

    async def reports(fields: dict[str, Any]) -> list[dict[str, Any]]:
        only = fields.get("only")
        return shelf.after(int(fields.get("after", 0)), None if only is None else str(only))

    async def stop(_fields: dict[str, Any]) -> None:
        agent.ended.get_loop().call_soon(agent.stop)

    return {
        "submit": submit,
        "cancel": cancel,
        "replan": replan,
        "suspend": suspend,
        "resume": resume,
        "create": create,
        "cancel_create": cancel_create,
        "release_qubit": release_qubit,
        "link_answers": link_answers,
        "links": links,
        "status": status,
        "ledger": ledger,
        "ledger_now": ledger_now,
        "reports": reports,
        "stop": stop,
        **request_commands(agent.machine, agent.incarnation, shelf),
        **topology_commands(agent, clock),
    }


def _require_links(agent: Agent) -> None:
    if getattr(agent.machine, "links", None) is None:
        raise ConfigError(f"{agent.name} has no link layer for users: ask an end node or a repeater")


def _stores(agent: Agent) -> dict[str, Any]:
    """Pairs in store by the super-link that they belong to, where the node is its head; and what became of
    those that have ended, at this node."""
    part = getattr(agent.machine, "predistribution", None)
    if part is None:
        return {}
    return {"pairs": {name: len(store.pairs) for name, store in part.stores.items()}, **part.counters}


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


def _told(row: Entanglement) -> dict[str, Any]:
    return {
        "end_nodes": list(row.end_nodes),
        "ends": [str(end) for end in row.ends],
        "request": row.request,
        "created_ns": row.created_ns,
        "age_ns": row.age_ns,
        "fidelity": row.fidelity,
        "frame": row.frame,
        "hops": row.hops,
        "usage": row.usage,
    }
