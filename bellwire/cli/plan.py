"""`bellwire plan TOPOLOGY`: what a network can do for a pair of nodes, a batch, or a state of several nodes.

Owns the options and what belongs together. Refuses to plan (planner), to read files (plan_networks.py, labs)
and to draw (planner/reports). It takes nothing from any network: a plan is a proposal.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwire.cli.places import STATE
from bellwire.cli.plan_output import Output
from bellwire.cli.plan_wishes import Search, Wishes
from bellwire.core.errors import ConfigError

WANTED = "What is wanted (one of these)"
HOW = "How to plan"
LIMITS = "Limits"
OUTPUT = "Output"


def _option(*names: str, panel: str, metavar: str | None = None, words: str) -> Any:
    return typer.Option(*names, metavar=metavar, help=words, rich_help_panel=panel)


def plan(
    network: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPOLOGY",
            help="A lab (name or YAML file), a .graphml, .gml or .json network, or waxman:nodes=50,seed=3.",
        ),
    ] = None,
    source: Annotated[
        str | None, _option("--from", panel=WANTED, metavar="NODE", words="Pairs from this node ...")
    ] = None,
    destination: Annotated[
        str | None, _option("--to", panel=WANTED, metavar="NODE", words="... to this one.")
    ] = None,
    requests: Annotated[
        Path | None,
        _option(
            "--requests",
            panel=WANTED,
            metavar="FILE",
            words="A batch: YAML or JSON list of {id, from, to, rate_hz, fidelity, priority, max_age_s}.",
        ),
    ] = None,
    ghz: Annotated[
        str | None, _option("--ghz", panel=WANTED, metavar="A,B,C", words="GHZ states of these nodes.")
    ] = None,
    graph: Annotated[
        Path | None,
        _option(
            "--graph",
            panel=WANTED,
            metavar="FILE",
            words="Graph states: {vertices: {name: node}, edges: [[name, name]]}.",
        ),
    ] = None,
    consume: Annotated[
        Path | None,
        _option(
            "--consume",
            panel=WANTED,
            metavar="FILE",
            words="Pairs in the order in which a circuit uses them, cut into batches: list of [node, node].",
        ),
    ] = None,
    predistribution: Annotated[
        Path | None,
        _option(
            "--predistribution",
            panel=WANTED,
            metavar="FILE",
            words="Pairs of nodes to keep entangled ahead of this demand: list of {from, to, weight}.",
        ),
    ] = None,
    method: Annotated[
        str | None, _option("--method", panel=HOW, metavar="NAME", words="See --methods.")
    ] = None,
    route: Annotated[
        str | None, _option("--route", panel=HOW, metavar="A,B,C", words="Use this route only.")
    ] = None,
    avoid: Annotated[
        str | None, _option("--avoid", panel=HOW, metavar="X,Y", words="Do not touch these nodes.")
    ] = None,
    max_span_km: Annotated[
        float | None,
        _option(
            "--max-span",
            panel=HOW,
            metavar="KM",
            words="Put repeaters into longer edges of a graph file, evenly.",
        ),
    ] = None,
    waiting: Annotated[
        str,
        _option(
            "--waiting",
            panel=HOW,
            metavar="RULE",
            words="Mean wait for two pairs: three_halves of the slower one, or exponential (exact).",
        ),
    ] = "three_halves",
    throttle: Annotated[
        bool,
        _option(
            "--throttle/--no-throttle",
            panel=HOW,
            words="Slow fast links down to what the tree needs, or let them run.",
        ),
    ] = True,
    scheme: Annotated[
        str,
        _option("--scheme", panel=HOW, metavar="NAME", words="Purification: dejmps, bbpssw or recurrence."),
    ] = "dejmps",
    rounds: Annotated[
        int, _option("--rounds", panel=HOW, metavar="N", words="Purification rounds per level at most.")
    ] = 2,
    objective: Annotated[
        str | None,
        _option("--objective", panel=HOW, metavar="NAME", words="Batches: total, fair, priority or max_min."),
    ] = None,
    single_method: Annotated[
        str | None,
        _option("--single-method", panel=HOW, metavar="NAME", words="Batches: method for each tree."),
    ] = None,
    solver: Annotated[
        str | None, _option("--solver", panel=HOW, metavar="NAME", words="Method levels: highs or cbc.")
    ] = None,
    partly: Annotated[
        bool,
        _option("--partly", panel=HOW, words="Batches: list requests that get nothing instead of failing."),
    ] = False,
    beside: Annotated[
        Path | None,
        _option(
            "--beside",
            panel=HOW,
            metavar="FILE",
            words="Batches: requests that run already; the others come one by one and take what is left, "
            "or all is planned anew.",
        ),
    ] = None,
    give: Annotated[
        float | None,
        _option(
            "--give",
            panel=HOW,
            metavar="PART",
            words="With --beside: part of their rate that running requests give up when all is planned anew; "
            "never below a rate of their own (default 0.05).",
        ),
    ] = None,
    order: Annotated[
        str | None,
        _option(
            "--order",
            panel=HOW,
            metavar="NAME",
            words="With --consume: total (strictly in order), partial (pairs that share a node), layers.",
        ),
    ] = None,
    fidelity: Annotated[
        float | None,
        _option("--fidelity", panel=LIMITS, metavar="F", words="At delivery, at least."),
    ] = None,
    max_age_s: Annotated[
        float,
        _option(
            "--max-age",
            panel=LIMITS,
            metavar="SECONDS",
            words="Mean age of any qubit, below this; of a pair in store the time to make it.",
        ),
    ] = 60.0,
    max_leaves: Annotated[
        int | None, _option("--max-leaves", panel=LIMITS, metavar="N", words="Links of a tree at most.")
    ] = None,
    rate_hz: Annotated[
        float | None,
        _option(
            "--rate",
            panel=LIMITS,
            metavar="HZ",
            words="Pairs per second wanted: less is refused, and no more is planned.",
        ),
    ] = None,
    execution_s: Annotated[
        float | None,
        _option(
            "--execution", panel=LIMITS, metavar="SECONDS", words="With --consume: time of each pair's gate."
        ),
    ] = None,
    budget_attempts: Annotated[
        float | None,
        _option(
            "--budget",
            panel=LIMITS,
            metavar="ATTEMPTS",
            words="With --predistribution: link attempts for one pair of each (default 10000).",
        ),
    ] = None,
    state: Annotated[
        Path,
        _option(
            "--state",
            panel=HOW,
            metavar="DIR",
            words="Folder of the lab, whose calibrations in force take the place of its figures.",
        ),
    ] = STATE,
    as_json: Annotated[
        bool,
        _option("--json", panel=OUTPUT, words="Print one JSON document and nothing else."),
    ] = False,
    svg: Annotated[
        Path | None,
        _option("--svg", panel=OUTPUT, metavar="FILE", words="Draw map and tree; - is stdout."),
    ] = None,
    dot: Annotated[
        Path | None,
        _option("--dot", panel=OUTPUT, metavar="FILE", words="Write the tree for Graphviz; - is stdout."),
    ] = None,
    methods: Annotated[bool, _option("--methods", panel=OUTPUT, words="List the methods and stop.")] = False,
) -> None:
    """Plan pairs, batches of pairs, GHZ states and graph states on a network; nothing is reserved."""
    if methods:
        _show_methods(as_json)
        return
    wishes = Wishes(
        source=source,
        destination=destination,
        requests=requests,
        ghz=_names("--ghz", ghz),
        graph=graph,
        consume=consume,
        predistribution=predistribution,
    )
    if network is None:
        raise ConfigError("which network? Name a lab, a network file, or waxman:nodes=50,seed=3")
    output = Output(as_json, svg, dot)
    if wishes.kind == "order":
        output.refuse_pictures("an order of consumption")
    if wishes.kind == "store":
        output.refuse_pictures("pairs kept in store")
    search = Search(
        method=method,
        route=_names("--route", route),
        avoid=_names("--avoid", avoid) or (),
        waiting=waiting,
        throttle=throttle,
        scheme=scheme,
        rounds=rounds,
        objective=objective,
        single_method=single_method,
        solver=solver,
        partly=partly,
        beside=beside,
        give=give,
        order=order,
        fidelity=fidelity,
        max_age_s=max_age_s,
        max_leaves=max_leaves,
        rate_hz=rate_hz,
        execution_s=execution_s,
        budget_attempts=budget_attempts,
    )
    search.check(wishes)
    _plan(network, max_span_km, state, wishes, search, output)


def _plan(
    network: str, max_span_km: float | None, state: Path, wishes: Wishes, search: Search, output: Output
) -> None:
    from bellwire.cli import plan_making
    from bellwire.cli.plan_networks import topology_named

    topology = topology_named(network, max_span_km, state)
    options = plan_making.options_of(search, topology)
    if wishes.kind == "order":
        output.show_order(plan_making.make_order(topology, wishes, search, options))
    elif wishes.kind == "store":
        from bellwire.cli.plan_super_links import choose_super_links

        output.show_super_links(choose_super_links(topology, wishes, search, options))
    else:
        output.show(plan_making.make_plan(topology, wishes, search, options), topology, options)


def _names(option: str, text: str | None) -> tuple[str, ...] | None:
    """Names between commas; None when the option was not given."""
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise ConfigError(f'{option} "{text}" must be names with a comma between them')
    return names


def _show_methods(as_json: bool) -> None:
    from bellwire.cli.plan_methods import method_rows

    rows = method_rows()
    if as_json:
        typer.echo(json.dumps(rows))
        return
    from bellwire.cli import show

    columns = ["method", "plans", "what it does"]
    show.write(
        show.table("Methods", columns, [[row["method"], row["plans"], row["description"]] for row in rows])
    )
