"""What people order from the page: start, suspend, resume, cancel, calibrate; each ends done or refused.

Owns the check of who may, the steps, and the words of the end. Refuses to believe the browser: the session is
looked at again for every order, names and numbers are checked by the same models as those of the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pydantic import ValidationError

from bellwire.client.words import SUSPENSION_MAX_S, RequestTerms
from bellwire.core.ids import LinkId
from bellwire.northbound import request_orders
from bellwire.northbound.agents import AgentRefusal, AgentSilent
from bellwire.northbound.problems import Problem
from bellwire.northbound.requests import FINAL_STATES
from bellwire.northbound.service import Northbound
from bellwire.northbound.submissions import Submissions
from bellwire.northbound.tokens import Principal, Role
from bellwire.page.calibrating import Calibrating

ROLES: Final[Mapping[str, Role]] = {
    "start": "operator",
    "suspend": "operator",
    "resume": "operator",
    "cancel": "operator",
    "calibrate": "admin",  # it takes the link from everybody who uses it
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an order ended, in words."""

    done: bool
    text: str


class Orders:
    """The orders of one server."""

    def __init__(self, service: Northbound, calibrating: Calibrating) -> None:
        self._service = service
        self._submissions = Submissions(service)
        self._calibrating = calibrating
        self._log = structlog.get_logger()

    async def carry_out(self, name: str, what: Mapping[str, Any], who: Principal | None) -> Outcome:
        """Do it, or say why not. `who` None: the session is over."""
        if who is None:
            return Outcome(False, "your session is over: sign in again")
        role = ROLES.get(name)
        if role is None:
            return Outcome(False, "there is no such order")
        if not who.may(role):
            return Outcome(False, f"this needs the role {role}; {who.name} is {who.role}")
        try:
            outcome = Outcome(True, await self._do(name, what, who))
        except Problem as problem:
            outcome = Outcome(False, str(problem.detail))
        except (AgentSilent, AgentRefusal) as refusal:
            outcome = Outcome(False, str(refusal))
        self._log.info("ordered", order=name, principal=who.name, done=outcome.done, outcome=outcome.text)
        return outcome

    async def _do(self, name: str, what: Mapping[str, Any], who: Principal) -> str:
        match name:
            case "start":
                return await self._start(what, who)
            case "suspend":
                return await self._suspend(_name(what), _seconds(what), who)
            case "resume":
                return await self._resume(_name(what), who)
            case "cancel":
                return await self._cancel(_name(what), who)
            case _:
                return self._calibrate(_name(what), bool(what.get("all")), who)

    async def _start(self, what: Mapping[str, Any], who: Principal) -> str:
        terms = terms_of(what)
        answer = await self._submissions.submit(terms, who, None)
        return (
            f"{answer.body['request_id']} is taken by {terms.target_nodes[0]}; whether there is room follows"
        )

    async def _suspend(self, request_id: str, for_s: float, who: Principal) -> str:
        await request_orders.suspend(self._service, request_id, for_s, who)
        return f"{request_id} is suspended for {for_s:g} s"

    async def _resume(self, request_id: str, who: Principal) -> str:
        await request_orders.resume(self._service, request_id, who)
        return f"{request_id} goes on"

    async def _cancel(self, request_id: str, who: Principal) -> str:
        told = await request_orders.cancel(self._service, request_id, who)
        if told.state not in FINAL_STATES:
            told = await request_orders.settled(self._service, request_id, FINAL_STATES.__contains__)
        if told.state not in FINAL_STATES:
            patience = f"{request_orders.SETTLED_S:g} s"
            raise Problem("agent-silent", f"{request_id} is still {told.state} after {patience}")
        return f"{request_id} is {told.state}"

    def _calibrate(self, link: LinkId, everything: bool, who: Principal) -> str:
        if link not in self._service.lab.network.links:
            raise Problem("not-found", f"no link {link}")
        refusal = self._calibrating.start(link, everything=everything, operator=who.name)
        if refusal is not None:
            raise Problem("request-refused", refusal)
        return f"the calibration of {link} has begun; how it ends is told under Calibrations"


def terms_of(what: Mapping[str, Any]) -> RequestTerms:
    """The terms of a form. Raises Problem: invalid-request."""
    fields: dict[str, Any] = {"target_nodes": [what.get("from"), what.get("to")]}
    if what.get("from") == what.get("to"):
        raise Problem("invalid-request", "the two nodes are the same")
    if what.get("request_id"):
        fields["request_id"] = what["request_id"]
    if what.get("count") in (None, ""):
        fields["until_cancelled"] = True
    else:
        fields["count"] = what["count"]
    for name in ("fidelity_threshold", "rate_threshold_hz"):
        if what.get(name) not in (None, ""):
            fields[name] = what[name]
    try:
        return RequestTerms.model_validate(fields)
    except ValidationError as invalid:
        told = "; ".join(
            f"{'/'.join(str(step) for step in one['loc'])}: {one['msg']}" for one in invalid.errors()[:3]
        )
        raise Problem("invalid-request", told) from invalid


def _name(what: Mapping[str, Any]) -> str:
    name = what.get("name")
    if not isinstance(name, str) or not name or len(name) > 256:
        raise Problem("invalid-request", "it is not said of what")
    return name


def _seconds(what: Mapping[str, Any]) -> float:
    try:
        for_s = float(what.get("for_s", ""))
    except (TypeError, ValueError):
        raise Problem("invalid-request", "say for how many seconds") from None
    if not 0.0 < for_s <= SUSPENSION_MAX_S:
        raise Problem("invalid-request", f"{for_s:g} s: give more than 0 and at most {SUSPENSION_MAX_S:g}")
    return for_s
