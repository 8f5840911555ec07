"""The claims of the paper and the targets of this project, each decided by the rows of an evaluation.

Owns the list of claims and their verdicts. Refuses the pairing of rows (evaluation_claims_rows.py), and
thresholds that depend on what was found.

The statistic that decides a ratio is the geometric mean over routes of the ratio of the two policies' rates
on that route; beside it stands the ratio of mean rates, in which short and fast routes weigh most. A claim
passes when the near end of the 95 % interval is on the right side.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_claims_rows import (
    chain_rows,
    latency_groups,
    number_groups,
    paired,
    rate_groups,
    rate_points,
)
from bellwire.study.evaluation_jobs import Stock
from bellwire.study.evaluation_policies import POLICIES
from bellwire.study.evaluation_statistics import (
    CONFIDENCE,
    Estimate,
    Groups,
    mean,
    mean_difference,
    mean_paired_ratio,
    ratio_of_means,
)
from bellwire.study.experiments import DEFAULTS, FIGURE_POLICIES, NODES

Outcome = Literal["pass", "fail", "undecided", "not measured"]

SUBJECTS: Final = ("score", "tuned")
"""Policies for which the claims about the scoring strategy are decided."""

JAM_INTERVALS: Final = 30.0
"""A request that gets nothing for so many mean intervals of the rate-matched tree on its route has jammed.
With exponential intervals a run of ten thousand deliveries has such a gap with probability 1e-9."""

FIDELITY_LOSS_MAX: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one claim. beside: the ratio of means, where the claim is about a ratio."""

    claim: str
    wanted: str
    outcome: Outcome
    found: Estimate | None
    beside: Estimate | None = None
    remark: str = ""


def verdicts(seen: Evaluated) -> list[Verdict]:
    """Every claim that belongs to the experiments that were run."""
    names = {experiment.name for experiment in seen.experiments}
    found: list[Verdict] = []
    present = {policy.name for policy in seen.policies}
    subjects = [name for name in SUBJECTS if name in present] or ["score"]
    defaults = [(title, setting) for title, setting in DEFAULTS.items() if seen.of(setting)]
    for title, setting in defaults:
        for subject in subjects:
            found += _network_rates(seen.of(setting), subject, title)
        found += _paper_rates(seen.of(setting), title)
    if "chains" in names:
        for subject in subjects:
            found.append(_chains(seen, subject))
    rates = any(not experiment.stocks for experiment in seen.experiments)
    for subject in subjects if rates else ():
        found.append(_nowhere_below(seen, subject))
        found.append(_no_jam(seen, subject))
    for title, setting in defaults:
        for subject in subjects:
            found += _fidelity(seen.of(setting), subject, title)
    if "fig6" in names or "fig9" in names:
        found.append(_fidelity_grows(seen))
    if names & {"fig7", "fig8", "predistribution"}:
        found += list(_stored(seen, continuous=names != {"fig7"}))
    if rates:
        found.append(_frames(seen))
    return found


# ---- rates


def _at_least(
    claim: str, groups: Groups, least: float, statistic: Callable[..., Estimate | None] = mean_paired_ratio
) -> Verdict:
    found = statistic(groups)
    return Verdict(
        claim=claim,
        wanted=f">= {least:g}",
        outcome=_decide(found, least=least),
        found=found,
        beside=ratio_of_means(groups),
    )


def _decide(found: Estimate | None, *, least: float | None = None, most: float | None = None) -> Outcome:
    """By the end of the interval that is nearer to the limit."""
    if found is None:
        return "not measured"
    if found.low is None or found.high is None:
        return "undecided"
    if least is not None:
        return "pass" if found.low >= least else "fail"
    return "pass" if most is None or found.high <= most else "fail"


def _network_rates(rows: Sequence[Row], subject: str, where: str) -> list[Verdict]:
    title = POLICIES[subject].title
    strong = "connectionless"
    return [
        _at_least(
            f"{title} beats the rate-matched tree {where}", rate_groups(rows, subject, "fixed_tree"), 1.18
        ),
        _at_least(
            f"{title} is as good as the strongest tree {where}",
            rate_groups(rows, subject, "strongest_tree"),
            0.99,
        ),
        _at_least(
            f"{title} beats connectionless routing in its strong form {where}",
            rate_groups(rows, subject, strong),
            1.5,
        ),
        _at_least(
            f"{title} beats connectionless routing in its strong form {where}, routes of 3 and more links",
            rate_groups(rows, subject, strong, hops_min=3),
            2.0,
        ),
    ]


def _paper_rates(rows: Sequence[Row], where: str) -> list[Verdict]:
    found = [
        _at_least(
            f"paper: score more than doubles connectionless routing {where}"
            f" ({'strong form' if name == 'connectionless' else 'losses taken for congestion'})",
            rate_groups(rows, "score", name),
            2.0,
        )
        for name in ("connectionless", "connectionless_weak")
    ]
    found += [
        _at_least(
            f"paper: {POLICIES[name].title} improves over the fixed tree {where}",
            rate_groups(rows, name, "fixed_tree"),
            1.0,
        )
        for name in ("oldest", "longest_hop")
    ]
    groups = rate_groups(rows, "centralised", "fixed_tree")
    centralised = mean_paired_ratio(groups)
    found.append(
        Verdict(
            claim=f"paper: a ledger at one place is worse than the fixed tree {where}",
            wanted="< 1",
            outcome=_decide(centralised, most=1.0),
            found=centralised,
            beside=ratio_of_means(groups),
        )
    )
    return found


def _chains(seen: Evaluated, subject: str) -> Verdict:
    rows = chain_rows(seen, range(5, 9))
    return _at_least(
        f"{POLICIES[subject].title} beats the strongest tree on chains of 5 to 8 links at p_b = 0.4",
        rate_groups(rows, subject, "strongest_tree"),
        1.12,
    )


# ---- everywhere


def _nowhere_below(seen: Evaluated, subject: str) -> Verdict:
    compared = 0
    below: list[tuple[float, str]] = []
    certain: list[str] = []
    others = [policy.name for policy in seen.policies if policy.name not in SUBJECTS]
    pairs = [(point, other) for _, point in rate_points(seen) for other in others]
    for point, other in pairs:
        groups = rate_groups(seen.of(point.setting), subject, other)
        found = mean_paired_ratio(groups)
        if found is None or found.high is None:
            continue
        compared += 1
        if found.high < 1.0:
            where = f"{point.axis} {point.value:g}: {found.value:.2f} x {other}"
            below.append((found.value, where))
            strict = mean_paired_ratio(groups, 1.0 - (1.0 - CONFIDENCE) / len(pairs))
            if strict is not None and strict.high is not None and strict.high < 1.0:
                certain.append(where)
    chance = compared * (1.0 - CONFIDENCE) / 2.0
    remark = (
        f"{len(below)} of {compared} comparisons are below; {chance:.1f} would be by chance among equals; "
        f"{len(certain)} remain in an interval for all comparisons together"
    )
    listed = [where for _, where in sorted(below)[:LISTED_MAX]]
    return Verdict(
        claim=f"{POLICIES[subject].title} is at no data point below any other policy",
        wanted="interval reaches 1",
        outcome="not measured" if compared == 0 else "fail" if below else "pass",
        found=None,
        remark="; ".join([remark, *listed]),
    )


LISTED_MAX: Final = 8
"""Data points that one remark names."""


def _no_jam(seen: Evaluated, subject: str) -> Verdict:
    tested, short = 0, 0
    jams: list[str] = []
    longest = 0.0
    for _, point in rate_points(seen):
        for group in paired(seen.of(point.setting), subject, "fixed_tree").values():
            for row, tree in group:
                if tree["delivered"] == 0 or JAM_INTERVALS / tree["rate_hz"] > row["duration_s"]:
                    short += 1
                    continue
                tested += 1
                gap = row["longest_gap_s"] * tree["rate_hz"]
                longest = max(longest, gap)
                if gap > JAM_INTERVALS:
                    jams.append(f"{row['route']} (seed {row['seed']}): {gap:.0f}")
    remark = (
        f"{len(jams)} of {tested} runs; longest gap {longest:.1f} intervals; "
        f"{short} runs were too short to tell"
    )
    return Verdict(
        claim=f"{POLICIES[subject].title} never jams",
        wanted=f"no gap above {JAM_INTERVALS:g} mean intervals of the rate-matched tree",
        outcome="not measured" if tested == 0 else "fail" if jams else "pass",
        found=None,
        remark="; ".join([remark, *jams[:LISTED_MAX]]),
    )


def _frames(seen: Evaluated) -> Verdict:
    checked = [row for row in seen.rows if row.get("frame_errors") is not None]
    wrong = sum(int(row["frame_errors"]) for row in checked)
    delivered = sum(int(row["delivered"]) for row in checked)
    return Verdict(
        claim="every delivered pair is in the Bell state that was reported",
        wanted="0 wrong",
        outcome="not measured" if not delivered else "fail" if wrong else "pass",
        found=None,
        remark=f"{wrong} wrong of {delivered} delivered pairs",
    )


# ---- fidelity


def _fidelity(rows: Sequence[Row], subject: str, where: str) -> Iterator[Verdict]:
    for tree in ("fixed_tree", "strongest_tree"):
        groups = [
            [
                (float(row["fidelity"]), float(other["fidelity"]))
                for row, other in group
                if row["fidelity"] is not None and other["fidelity"] is not None
            ]
            for group in paired(rows, subject, tree).values()
        ]
        found = mean_difference(groups)
        yield Verdict(
            claim=f"fidelity of {POLICIES[subject].title} less that of the {POLICIES[tree].title} {where}",
            wanted=f">= -{FIDELITY_LOSS_MAX:g}",
            outcome=_decide(found, least=-FIDELITY_LOSS_MAX),
            found=found,
        )


def _fidelity_grows(seen: Evaluated) -> Verdict:
    by_nodes = {
        int(point.value): mean(number_groups(seen.of(point.setting), "score", "fidelity"))
        for experiment in seen.experiments
        for point in experiment.points
        if point.axis == "nodes" and not experiment.stocks
    }
    claim = "paper: fidelity grows with the number of nodes"
    measured = {nodes: found for nodes, found in by_nodes.items() if found is not None}
    remark = ", ".join(f"{nodes} nodes {found.value:.4f}" for nodes, found in sorted(measured.items()))
    if len(measured) < 2:
        return Verdict(claim=claim, wanted="> 0", outcome="not measured", found=None, remark=remark)
    few, many = measured[min(measured)], measured[max(measured)]
    difference = many.value - few.value
    if few.low is None or few.high is None or many.low is None or many.high is None:
        found = Estimate(value=difference, low=None, high=None, networks=few.networks, routes=few.routes)
    else:  # different networks: the half intervals add in squares
        half_below = ((many.value - many.low) ** 2 + (few.high - few.value) ** 2) ** 0.5
        half_above = ((many.high - many.value) ** 2 + (few.value - few.low) ** 2) ** 0.5
        found = Estimate(
            value=difference,
            low=difference - half_below,
            high=difference + half_above,
            networks=few.networks + many.networks,
            routes=few.routes + many.routes,
        )
    if max(measured) < NODES[-1]:
        remark += f"; the paper goes to {NODES[-1]} nodes"
    return Verdict(claim=claim, wanted="> 0", outcome=_decide(found, least=0.0), found=found, remark=remark)


# ---- pairs in store


def _stored(seen: Evaluated, *, continuous: bool) -> Iterator[Verdict]:
    """The paper's claims of figures 7 and 8 on the default network. continuous: figure 8 was run."""
    steps: list[tuple[Stock, Stock, str]] = [("one_time", "none", "a one-time batch lowers the latency")]
    if continuous:
        steps.append(("continuous", "one_time", "refilled stores lower it further than a one-time batch"))
        steps.append(("continuous", "none", "refilled stores lower the latency"))
    for stock, other_stock, words in steps:
        for policy in FIGURE_POLICIES:
            yield _below(
                f"paper: {POLICIES[policy].title}: {words}",
                latency_groups(seen, (policy, stock), (policy, other_stock)),
            )
    for stock in ("one_time", "continuous") if continuous else ("one_time",):
        for other in FIGURE_POLICIES:
            if other != "score":
                yield _below(
                    f"paper: score has a lower latency than {POLICIES[other].title}, stock {stock}",
                    latency_groups(seen, ("score", stock), (other, stock)),
                )


def _below(claim: str, groups: list[list[tuple[float, float]]]) -> Verdict:
    """The mean difference of two latencies, in seconds, is below zero: at its upper end, or not."""
    found = mean_difference(groups)
    outcome = _decide(found, most=0.0)
    reproduced = "reproduced" if outcome == "pass" else "not reproduced"
    if found is not None and found.low is not None and found.low > 0.0:
        reproduced = "the contrary was found"
    remark = reproduced if outcome in ("pass", "fail") else ""
    return Verdict(claim=claim, wanted="< 0 s", outcome=outcome, found=found, remark=remark)
