"""Link purification in virtual time against its closed forms, for one round and for two.

Owns the two links that are measured and the recurrence of Deutsch et al. (1996) as its authors write it, with
states by name; bellwire's own is not used. Refuses waiting and noise of gates: memories are perfect here.
"""

from math import sqrt
from typing import Any, Final

from _link_rows import Comparison, Row

from bellwire.core.plans import RequestPlan
from bellwire.planner.lane_times import link_state
from bellwire.planner.plans import compute_plan
from tests.simulation.test_link_purification import PERFECT, lab_of, run

PART: Final = "link purification"
LANES: Final = 4
SECONDS: Final = {1: 6.0, 2: 9.0}
SEEN_S: Final = 0.4
"""Every pair is compared with the World for so long; that takes far more time than counting."""

SHORT: Final[dict[str, Any]] = {"emission": 0.25, "arm_km": 0.5, "period_us": 20.0}
"""Some fifty attempts a pair and short ways: what a lane waits for its next attempt is a small part."""

Named = tuple[float, float, float, float]
"""Phi+, Psi-, Psi+, Phi-: the A, B, C, D of the paper."""


def deutsch(state: Named) -> tuple[float, Named]:
    """One round on two equal pairs: its success probability and the state that it leaves."""
    A, B, C, D = state
    N = (A + B) ** 2 + (C + D) ** 2
    return N, ((A * A + B * B) / N, 2 * C * D / N, (C * C + D * D) / N, 2 * A * B / N)


def purification_rows(quick: bool) -> list[Row]:
    """Rate, share of rounds that succeed, pairs spent and fidelity, for one round and for two."""
    rows: list[Row] = []
    for rounds, seconds in SECONDS.items():
        lab = lab_of(PERFECT, lanes=LANES, link_purification=rounds, **SHORT)
        phi_plus, phi_minus, psi_plus, psi_minus = link_state(lab.network.links["ann-bob"])
        state: Named = (phi_plus, psi_minus, psi_plus, phi_minus)
        chances: list[float] = []
        for _ in range(rounds):
            chance, state = deutsch(state)
            chances.append(chance)
        spent = 1.0  # fresh pairs for a product: n_k = 2 n_(k-1) / p_k (algorithms.md 2.2)
        tries = passes = 0.0  # rounds for a product
        for chance in chances:
            spent = 2.0 * spent / chance
            tries, passes = (2.0 * tries + 1.0) / chance, 2.0 * passes / chance + 1.0
        seconds = seconds / 10 if quick else seconds
        counted = run(lab, 50 + rounds, seconds, watched=False).counters("ann")
        made = counted["purification_handed_up"]
        tried = counted["purification_passed"] + counted["purification_failed"]
        share = passes / tries
        name = f"{rounds} round{'s' * (rounds > 1)}"
        rows.append(
            Comparison(
                PART,
                f"{name}: share of rounds that succeed",
                counted["purification_passed"] / tried,
                share,
                sqrt(share * (1.0 - share) / tried),
                tried,
            ).row()
        )
        cost = counted["purification_taken"] / made
        rows.append(
            Comparison(
                PART, f"{name}: fresh pairs for one", cost, spent, spent * sqrt(2.0 / made), made
            ).row()
        )
        plan = compute_plan(lab.network, lab.requests[0], 1)
        if not isinstance(plan, RequestPlan):
            raise TypeError(f"no plan: {plan}")
        rate_hz = made / seconds
        # Products of pairs that come by chance spread no more than these: 1/sqrt(made).
        rows.append(
            Comparison(
                PART, f"{name}: pairs/s, against the plan", rate_hz, plan.rate_hz, rate_hz / sqrt(made), made
            ).row()
        )
        seen = run(lab, 60 + rounds, SEEN_S / 4 if quick else SEEN_S)
        truths = [known.truth.fidelity for known in seen.pairs.values()]
        furthest = max(truths, key=lambda truth: abs(truth - state[0]))
        what = f"{name}: fidelity in the World, the pair furthest off"
        rows.append(Comparison(PART, what, furthest, state[0], 0.0, len(truths)).row())
    return rows
