"""Whether a CREATE can be served at all, answered before anybody works for it (algorithms.md 10.1, 10.2).

Owns the checks of a CREATE's own numbers, of what the link can reach and of an end's queue rules. Refuses
places in the queue (queue.py) and knowledge of partners (service.py).
"""

from collections.abc import Iterable
from math import isfinite
from typing import Final, NamedTuple

from bellwire.core.bases import fault_of_choice
from bellwire.core.link_words import PRIORITIES, LinkCreate, LinkErrorCode
from bellwire.core.plans import WEIGHTS_MAX, LinkPlan
from bellwire.core.settings import LinkSettings
from bellwire.core.units import NS_PER_S

NUMBER_MAX: Final = (1 << 16) - 1
"""Pairs of one CREATE, its id and its purpose: 16 bits in the draft."""


FIDELITY_ROUNDING: Final = 1e-9
"""An estimate in integers may lie so much below the fidelity that it was made from."""


class Refusal(NamedTuple):
    """Why a CREATE is not taken."""

    code: LinkErrorCode
    reason: str  # for people: value, limit, what to do


def fault_of_create(asked: LinkCreate) -> str | None:
    """What is wrong with a CREATE whatever the link; None when nothing is."""
    return _fault_of_number(asked) or _fault_of_time(asked) or _fault_of_rest(asked)


def _fault_of_number(asked: LinkCreate) -> str | None:
    if (asked.count is None) == (asked.rate_hz is None):
        return f"count {asked.count} and rate {asked.rate_hz} Hz: give exactly one of them"
    if asked.count is not None and not 1 <= asked.count <= NUMBER_MAX:
        return f"{asked.count} pairs: ask for 1 to {NUMBER_MAX}"
    if asked.rate_hz is not None and not (isfinite(asked.rate_hz) and asked.rate_hz > 0.0):
        return f"rate {asked.rate_hz} Hz: ask for a number above 0"
    if asked.rate_hz is not None and asked.atomic:
        return "a rate has no last pair and cannot be atomic: give a count"
    if asked.rate_hz is not None and not asked.consecutive:
        return "a rate has no last pair to wait for: ask for an OK with each pair"
    return None


def _fault_of_time(asked: LinkCreate) -> str | None:
    if asked.within_ns is not None and asked.within_ns < 0:
        return f"allowed time {asked.within_ns} ns lies in the past"
    if asked.hold_ns is not None and asked.hold_ns < 1:
        return f"holding time {asked.hold_ns} ns: allow at least 1 ns, or give none"
    return None


def _fault_of_rest(asked: LinkCreate) -> str | None:
    if not 0 <= asked.create <= NUMBER_MAX:
        return f"id {asked.create}: choose one of 0 to {NUMBER_MAX}"
    if not 0 <= asked.purpose <= NUMBER_MAX:
        return f"purpose {asked.purpose}: choose one of 0 to {NUMBER_MAX}"
    if not 0 <= asked.priority < PRIORITIES:
        return f"priority {asked.priority}: choose 0 to {PRIORITIES - 1}"
    if not 1 <= asked.weight <= WEIGHTS_MAX:
        return f"weight {asked.weight}: choose 1 to {WEIGHTS_MAX}"
    if asked.fidelity_min is not None and not 0.0 <= asked.fidelity_min <= 1.0:
        return f"fidelity {asked.fidelity_min} is outside 0..1"
    for whose, choice in (("local", asked.local), ("remote", asked.remote)):
        fault = fault_of_choice(choice)
        if fault is not None:
            return f"{whose} {fault}"
    return None


def too_poor(fidelity: float, asked: LinkCreate) -> bool:
    """True for pairs of less than the fidelity that the user wants."""
    return asked.fidelity_min is not None and fidelity < asked.fidelity_min - FIDELITY_ROUNDING


def time_min_ns(asked: LinkCreate, link: LinkSettings) -> int:
    """Within less no count of pairs can be made: attempts of all lanes succeed at once, every time.

    A measured pair costs its lane one attempt period. A kept one costs at least the time to its herald,
    because the memory waits for it; the longer of the two ends' counts.
    """
    if asked.count is None:
        return link.period_ns
    rounds = -(-asked.count // link.lanes)
    if asked.kind == "measure":
        return rounds * link.period_ns
    return rounds * max(link.period_ns, link.click_delay_ns + max(link.herald_delay_ns))


def rate_max_hz(link: LinkSettings) -> float:
    """Pairs per second of the fastest operating point when every lane always attempts."""
    best = max(link.point(index).success_probability for index in range(max(1, len(link.points))))
    return best * link.lanes * NS_PER_S / link.period_ns


def slots_for_creates(link: LinkSettings, plans: Iterable[LinkPlan]) -> int:
    """Pairs that can be in memory together for one CREATE: slots of the smaller side, less reserved ones."""
    return min(link.lanes, *(len(slots) for slots in link.slots)) - sum(plan.lanes for plan in plans)


def unsupported(
    asked: LinkCreate, link: LinkSettings, *, fidelity: float, delay_ns: int, slots: int
) -> str | None:
    """What the link cannot do of a faultless CREATE; None when it can.

    fidelity: the best that the link gives now. delay_ns: one way to the other end, which must hear of the
    CREATE first. slots: of `slots_for_creates`.
    """
    if too_poor(fidelity, asked):
        return f"fidelity {asked.fidelity_min:.4f} is out of reach: the link gives at most {fidelity:.4f}"
    if asked.rate_hz is not None and asked.rate_hz > rate_max_hz(link):
        return f"rate {asked.rate_hz:g} Hz is out of reach: the link makes {rate_max_hz(link):g} Hz at most"
    if asked.within_ns is not None:
        needed_ns = max(time_min_ns(asked, link), delay_ns)
        if asked.within_ns < needed_ns:
            return f"{asked.within_ns / 1e9:g} s are too short: at least {needed_ns / 1e9:g} s are needed"
    together = asked.kind == "keep" and (asked.atomic or not asked.consecutive)
    if together and asked.count is not None and asked.count > slots:
        return f"{asked.count} pairs in memory together: this link has room for {slots}"
    return None


def refused_purpose(asked: LinkCreate, purposes: tuple[int, ...] | None) -> str | None:
    """The queue rules of an end: None when it takes part in CREATEs of that purpose."""
    if purposes is None or asked.purpose in purposes:
        return None
    accepted = ", ".join(str(purpose) for purpose in purposes) or "none"
    return f"purpose {asked.purpose} is not accepted here (accepted: {accepted})"
