"""How links are shared: rivals on one link, high priority among low, and three links of one emitter.

Owns the scenarios and their bounds. Refuses arithmetic of schedulers (tests/link_layer): what is counted here
are pairs that nodes made in virtual time.
"""

import random
from itertools import pairwise
from math import sqrt
from typing import Final

from _link_rows import Comparison, Row, limited

from bellwire.core.link_words import LinkCreate, LinkOkMeasure
from bellwire.core.units import NS_PER_MS, NS_PER_S
from tests.simulation.faulty import History
from tests.simulation.test_link_creates import Users
from tests.simulation.test_link_fairness import LEASE_MS, STEP_MS, one_link
from tests.simulation.test_shared_bank import SETTLED_NS, STAR, Watched, lab_of, star_requests

WEIGHTS: Final = {"one": 1, "two": 2, "three": 3}
STRETCH_S: Final = 4
"""Length of each stretch in which shares are compared."""

FAIR_S: Final = 60
FAIR_SIGMAS: Final = 4.4
"""For three comparisons in each of many stretches: false alarm 1e-5 each."""

ARRIVALS: Final = 150
HUB_S: Final = 30


def fairness_rows(quick: bool) -> list[Row]:
    """Shares of three requests with weights 1, 2 and 3 over stretches, and over the whole time.

    Round robin begins its cycle with each window anew: up to a frame of each goes to those who are first.
    """
    rows: list[Row] = []
    seconds = FAIR_S // 5 if quick else FAIR_S
    for seed, scheduler in ((20, "weighted_round_robin"), (21, "weighted_fair_queueing")):
        history = History(one_link(WEIGHTS, scheduler=scheduler, lanes=2), seed)
        history.host.run((seconds + 1) * NS_PER_S)
        delivered_ns = {name: outcome.delivered_ns for name, outcome in history.observer.outcomes.items()}
        # A frame of each window for round robin, two frames of the stretch for fair queueing.
        late = STEP_MS / LEASE_MS if scheduler == "weighted_round_robin" else 2 * STEP_MS / (STRETCH_S * 1000)
        worst, limit, samples = 0.0, 0.0, 0
        for since_ns, until_ns in pairwise(
            range(NS_PER_S, (seconds + 1) * NS_PER_S + 1, STRETCH_S * NS_PER_S)
        ):
            counts = {name: sum(since_ns <= at < until_ns for at in delivered_ns[name]) for name in WEIGHTS}
            total = sum(counts.values())
            samples += total
            for name, weight in WEIGHTS.items():
                share = weight / sum(WEIGHTS.values())
                off = abs(counts[name] / total - share)
                allowed = FAIR_SIGMAS * sqrt(share * (1 - share) / total) + late
                if limit == 0.0 or off / allowed > worst / limit:
                    worst, limit = off, allowed
        name = scheduler.replace("_", " ")
        stretches = seconds // STRETCH_S
        label = f"{name}: share furthest from its weight in {stretches} stretches of {STRETCH_S} s, off by"
        rows.append(limited("fairness", label, worst, limit, samples))
        whole = {name: sum(at >= NS_PER_S for at in own) for name, own in delivered_ns.items()}
        for request, weight in WEIGHTS.items():
            share = weight / sum(WEIGHTS.values())
            error = sqrt(share * (1 - share) / sum(whole.values()))
            found = whole[request] / sum(whole.values())
            label = f"{name}: share of weight {weight} of 6 in {seconds} s"
            row = Comparison("fairness", label, found, share, error, sum(whole.values())).row()
            rows.append(row)
    return rows


def priority_rows(quick: bool) -> list[Row]:
    """How long CREATEs of high priority, asked at either end at any time, wait behind one of low priority."""
    arrivals = ARRIVALS // 10 if quick else ARRIVALS
    users = Users(one_link({}, scheduler="strict_priority", lanes=2), 22)
    users.create(1_000, "ann", LinkCreate(create=60_000, partner="bob", kind="measure", count=65_535))
    chance = random.Random(22)
    asked_ns: dict[int, int] = {}
    at_ns = NS_PER_S
    for number in range(arrivals):
        at_ns += chance.randint(700, 1200) * NS_PER_MS + chance.randrange(NS_PER_MS)
        asked_ns[number] = at_ns
        node, partner = ("ann", "bob") if number % 2 else ("bob", "ann")
        users.create(
            at_ns, node, LinkCreate(create=number, partner=partner, kind="measure", count=120, priority=7)
        )
    users.host.run(at_ns + 2 * NS_PER_S)
    low_ns: list[int] = []
    high_ns: dict[int, list[int]] = {number: [] for number in asked_ns}
    for ok in users.of("ann", LinkOkMeasure):
        low_ns.append(ok.born_ns) if ok.create == 60_000 else high_ns[ok.create].append(ok.born_ns)
    lease_ns = LEASE_MS * NS_PER_MS
    behind = [
        max((low - since for low in low_ns if since <= low < max(high_ns[number])), default=0) / lease_ns
        for number, since in asked_ns.items()
    ]
    first = [(min(high_ns[number]) - since) / lease_ns for number, since in asked_ns.items()]
    label = "strict priority: longest wait of an arrival behind lower ones, in attempt windows"
    mean = f"strict priority: mean time to the first pair of an arrival, in attempt windows of {LEASE_MS} ms"
    return [
        limited("fairness", label, max(behind), 1.0, arrivals),
        limited("fairness", mean, sum(first) / arrivals, 1.0, arrivals),
    ]


def heralds_in(memory: dict[str, int], seconds: int, seed: int) -> tuple[dict[str, int], dict[str, float]]:
    """Heralds of each link of a hub once its turns are settled, and the granted part of the time of each."""
    run = Watched(lab_of(memory, STAR, star_requests(1, 1, 1)), seed)
    run.host.run(SETTLED_NS)
    before = {link: len(told) for link, told in run.heralds.items()}
    run.host.run(SETTLED_NS + seconds * NS_PER_S)
    return (
        {link: len(told) - before[link] for link, told in run.heralds.items()},
        {link: run.side_0(link).duty() for link in STAR},
    )


def emitter_rows(quick: bool) -> list[Row]:
    """Three links of a hub with one emitter: their shares, and their rates over those without a rival."""
    seconds = HUB_S // 10 if quick else HUB_S
    shared, duties = heralds_in({"emitters": 1}, seconds, 23)
    alone, _ = heralds_in({}, seconds, 24)
    whole = sum(shared.values())
    rows: list[Row] = []
    for link, count in shared.items():
        share = duties[link] / sum(duties.values())
        error = sqrt(share * (1 - share) / whole)
        label = f"{link} of three links at one emitter: share of the pairs"
        rows.append(Comparison("shared emitter", label, count / whole, share, error, whole).row())
    ratio = whole / sum(alone.values())
    error = ratio * sqrt(1 / whole + 1 / sum(alone.values()))
    # Three links alone have three emitters: the mean duty is what a link keeps of its rate.
    duty = sum(duties.values()) / len(duties)
    label = (
        "all three at one emitter, over three with an emitter each; should be the granted part of the time"
    )
    rows.append(Comparison("shared emitter", label, ratio, duty, error, whole + sum(alone.values())).row())
    return rows
