"""Requests that come one by one beside running plans, as one plan for all of them.

Owns the question "what would happen if these came now?", put to a plan book. Refuses time: everything runs
already, nobody waits, and all may be planned anew (rule of admission.py).
"""

from collections.abc import Callable, Sequence

from bellwire.planner.batch.admission import PlanBook
from bellwire.planner.batch.admission_values import AdmissionRule, Admitted, Refused, Replanned
from bellwire.planner.batch.batch_plan import BatchPlan, share_of, use_of_shares
from bellwire.planner.capacity import NoPlan
from bellwire.planner.requests import PairRequest, check_requests
from bellwire.planner.topology import Topology

METHOD = "beside running plans"


def plan_beside(
    topology: Topology,
    running: Sequence[PairRequest],
    coming: Sequence[PairRequest],
    rule: AdmissionRule,
    *,
    allow_unserved: bool = False,
    told: Callable[[str], None] | None = None,
) -> BatchPlan:
    """Shares of all requests after the coming ones were decided upon in their order.

    running: entered first, in their order, by the same rule. allow_unserved: list coming requests that are
    refused instead of failing. told: told the name of each request before it is decided upon.

    Raises:
        NoPlan: a running request cannot run beside those before it, or (without allow_unserved) a coming one
            is refused; the text says why and gives the best offer.
        ConfigError: an unknown node, or two requests with one id.
    """
    check_requests([*running, *coming], topology)
    book = PlanBook(topology, rule)
    decided: dict[str, str] = {}
    unserved: dict[str, str] = {}
    for index, request in enumerate([*running, *coming]):
        if told is not None:
            told(request.request)
        match book.decide(request, 0):
            case Admitted():
                how = "takes what is left"
            case Replanned(changed=changed):
                others = [name for name in changed if name != request.request]
                how = f"all planned anew, which changes {', '.join(others) or 'no other'}"
            case Refused(reason=reason):
                if index < len(running):
                    raise NoPlan(f"already running: {reason}")
                if not allow_unserved:
                    raise NoPlan(reason)
                unserved[request.request] = reason
                continue
            case decision:
                raise NoPlan(f"request {request.request}: {decision}")
        if index >= len(running):
            decided[request.request] = how
    plans = book.plans
    shares = tuple(share_of(plan.request, plan.trees) for plan in plans.values())
    return BatchPlan(
        method=METHOD,
        objective=rule.objective or rule.batch_method,
        shares=shares,
        use=use_of_shares(shares),
        unserved=unserved,
        decided=decided,
    )
