"""The report of an evaluation as Markdown: verdicts first, then every figure with its numbers.

Owns the wording. Refuses to decide: verdicts come from evaluation_claims.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from bellwire.study import figures
from bellwire.study.evaluation import Evaluated, Row
from bellwire.study.evaluation_claims import JAM_INTERVALS, Verdict
from bellwire.study.evaluation_claims_rows import rate_groups
from bellwire.study.evaluation_jobs import REPORTING_SEED_FIRST, Stock, code_version
from bellwire.study.evaluation_policies import POLICIES
from bellwire.study.evaluation_runs import SEARCH_SEEDS
from bellwire.study.evaluation_statistics import (
    BOOTSTRAP_SEED,
    DRAWS,
    NETWORKS_MIN,
    Estimate,
    mean_paired_ratio,
)
from bellwire.study.experiments import AXIS_TITLES, DEFAULTS, Experiment, Point
from bellwire.study.experiments_stored import BUDGET_ATTEMPTS, DEMANDS, STOCK_PAIRS


def report(seen: Evaluated, decided: Sequence[Verdict], command: str, pictures: Mapping[str, str]) -> str:
    """The whole document. command: that made it. pictures: file of each experiment's figure."""
    return "\n".join(
        [
            *_head(seen, command),
            *_verdicts(decided),
            *_method(seen),
            *(line for one in seen.experiments for line in _experiment(seen, one, pictures[one.name])),
        ]
    )


def _head(seen: Evaluated, command: str) -> Iterator[str]:
    effort = seen.effort
    yield "# Evaluation of swapping policies"
    yield ""
    yield f"Made by `{command}`, sources {code_version()}."
    yield (
        f"Effort {effort.name}: {effort.networks} networks a data point, "
        f"{max(effort.networks, effort.default_networks)} for the default network, {effort.routes} routes a "
        f"network, {effort.duration_s:g} simulated seconds a run; {len(seen.rows)} runs."
    )
    if effort.name == "quick":
        yield "A quick evaluation shows that everything runs. It decides little: see the intervals."
    yield ""


def _verdicts(decided: Sequence[Verdict]) -> Iterator[str]:
    yield "## Claims"
    yield ""
    yield "| claim | wanted | found [95 %] | ratio of means [95 %] | verdict | networks / routes | remark |"
    yield "|---|---|---|---|---|---|---|"
    for one in decided:
        sizes = "-" if one.found is None else f"{one.found.networks} / {one.found.routes}"
        cells = [one.claim, one.wanted, shown(one.found), shown(one.beside), one.outcome, sizes, one.remark]
        yield "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"
    yield ""
    counts = {name: sum(one.outcome == name for one in decided) for name in ("pass", "fail", "undecided")}
    others = len(decided) - sum(counts.values())
    yield ", ".join(f"{count} {name}" for name, count in counts.items()) + f", {others} not measured."
    yield ""


def shown(found: Estimate | None) -> str:
    """An estimate with its interval: as many digits as the interval deserves."""
    if found is None:
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.4g} [few networks]"
    digits = 2 if found.high - found.low > 0.02 else 4
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _method(seen: Evaluated) -> Iterator[str]:
    yield "## How it was measured"
    yield ""
    yield (
        "Every run is the machines of the live system in virtual time, on the paper's network: Waxman, one "
        "bank of memories a node, one lane a link. One request runs alone on its route, that of the best "
        "fixed tree of the network. All policies meet the same network, the same request and the same World."
    )
    yield ""
    yield (
        "A ratio is the geometric mean over routes of the ratio of the two rates on a route (half a pair is "
        "added to both counts); beside it stands the ratio of the mean rates, in which short routes weigh "
        f"most. Intervals: bootstrap over networks, {DRAWS} draws, seed {BOOTSTRAP_SEED}, expanded "
        f"percentiles; none for fewer than {NETWORKS_MIN} networks. The near end of the interval "
        "decides, never the value."
    )
    yield ""
    yield (
        f"Seeds of networks: {REPORTING_SEED_FIRST} and up. Weights of `score` are those of the "
        "specification, found on other chains. Search of the strongest tree and calibration of the tuned "
        "score see the numbers of the route but run in another simulator (the one-route model), with seeds "
        f"below {SEARCH_SEEDS}; seeds of the World are 48-bit digests of network and route."
    )
    yield ""
    yield f"A jam is a gap of more than {JAM_INTERVALS:g} mean intervals of the rate-matched tree."
    yield ""
    yield "Policies: " + "; ".join(
        f"{policy.title} (`{policy.mode}`{_extra(policy.searched, policy.tuned, policy.centralised)})"
        for policy in seen.policies
    )
    yield ""


def _extra(searched: bool, tuned: bool, centralised: bool) -> str:
    if tuned:
        return ", weights or tree chosen for each route"
    if searched:
        return ", tree found by simulation search"
    return ", ledger at one node" if centralised else ""


def _experiment(seen: Evaluated, experiment: Experiment, picture: str) -> Iterator[str]:
    yield f"## {experiment.name}: {experiment.title}"
    yield ""
    yield f"![{experiment.title}]({picture})"
    yield ""
    if experiment.stocks:
        yield from _stored_remarks(experiment)
    stocks: Sequence[Stock | None] = experiment.stocks or (None,)
    for axis in experiment.axes:
        points = sorted((one for one in experiment.points if one.axis == axis), key=lambda one: one.value)
        for stock in stocks:
            yield from _table(seen, experiment, points, stock)
    if not experiment.stocks:
        settings = dict.fromkeys(point.setting for point in experiment.points)
        for where, setting in DEFAULTS.items():
            if setting in settings:
                yield from _by_links(seen, where, seen.of(setting))


RATIOS: Final = (
    ("score", "fixed_tree"),
    ("score", "strongest_tree"),
    ("tuned", "strongest_tree"),
    ("strongest_tree", "fixed_tree"),
    ("score", "connectionless"),
)
"""Policies compared by the length of the route."""


def _by_links(seen: Evaluated, where: str, rows: Sequence[Row]) -> Iterator[str]:
    """How ratios depend on the length of the route: on one link no policy can differ from another."""
    lengths = sorted({int(row["hops"]) for row in rows})
    of_length = {hops: [row for row in rows if row["hops"] == hops] for hops in lengths}
    present = {policy.name for policy in seen.policies}
    routes = [len({(row["seed"], row["route_index"]) for row in of_length[hops]}) for hops in lengths]
    yield f"| links of the route, {where} | " + " | ".join(map(str, lengths)) + " |"
    yield "|---" * (len(lengths) + 1) + "|"
    yield "| routes | " + " | ".join(map(str, routes)) + " |"
    for policy, baseline in RATIOS:
        if policy in present and baseline in present:
            cells = [shown(_ratio_to(baseline)(of_length[hops], policy)) for hops in lengths]
            yield f"| {POLICIES[policy].title}, x {POLICIES[baseline].title} | " + " | ".join(cells) + " |"
    yield ""


def _stored_remarks(experiment: Experiment) -> Iterator[str]:
    yield (
        f"{DEMANDS} pairs of nodes of each network ask for single pairs in turn, one every half second. "
        f"Super-links are chosen for them within {BUDGET_ATTEMPTS:.0f} link attempts, each keeps "
        f"{STOCK_PAIRS} pairs. Trees follow links at full speed here."
    )
    yield ""


def _table(
    seen: Evaluated, experiment: Experiment, points: Sequence[Point], stock: Stock | None
) -> Iterator[str]:
    title = AXIS_TITLES[points[0].axis] + ("" if stock is None else f", stock {stock}")
    yield f"| {title} | " + " | ".join(f"{point.value:g}" for point in points) + " |"
    yield "|---" * (len(points) + 1) + "|"
    yield "| networks / routes | " + " | ".join(_sizes(seen, point, stock) for point in points) + " |"
    for policy in seen.policies:
        if experiment.policies and policy.name not in experiment.policies:
            continue
        for name, quantity in _quantities(experiment):
            cells = [shown(quantity(seen, point, stock, policy.name)) for point in points]
            if any(cell != "-" for cell in cells):
                yield f"| {policy.title}{name} | " + " | ".join(cells) + " |"
    yield ""


def _sizes(seen: Evaluated, point: Point, stock: Stock | None) -> str:
    rows = seen.of(point.setting, stock)
    routes = {(row["seed"], row["route_index"]) for row in rows}
    return f"{len({seed for seed, _ in routes})} / {len(routes)}"


class _Quantity:
    """A number of one policy at one point."""

    def __init__(self, of: figures.Quantity) -> None:
        self._of = of

    def __call__(self, seen: Evaluated, point: Point, stock: Stock | None, policy: str) -> Estimate | None:
        return self._of(seen.of(point.setting, stock), policy)


def _quantities(experiment: Experiment) -> list[tuple[str, _Quantity]]:
    if experiment.stocks:
        return [(", latency s", _Quantity(figures.latency))]
    if experiment.name == "fig9":
        return [("", _Quantity(figures.fidelity))]
    return [
        (", pairs/s", _Quantity(figures.rate)),
        (", x rate-matched tree", _Quantity(_ratio_to("fixed_tree"))),
        (", x strongest tree", _Quantity(_ratio_to("strongest_tree"))),
    ]


def _ratio_to(baseline: str) -> figures.Quantity:
    def ratio(rows: Sequence[Mapping[str, object]], policy: str) -> Estimate | None:
        return None if policy == baseline else mean_paired_ratio(rate_groups(rows, policy, baseline))

    return ratio
