"""`bellwire check LAB`: is this lab file right, and what may its requests expect?

Owns the check of what the file says: schema, references, physics, and a plan for every request. With
--connect every instrument is looked at as well (connecting.py).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bellwire.cli.exits import WRONG_INPUT
from bellwire.cli.places import STATE, JsonOption, LabArgument, StateOption, find_lab
from bellwire.core.units import NS_PER_S

if TYPE_CHECKING:
    from bellwire.core.plans import EntanglementRequest, RequestPlan
    from bellwire.labs import Lab


def check(
    lab: LabArgument,
    connect: Annotated[
        bool,
        typer.Option("--connect", help="Connect to every instrument instead: identity, health, what to do."),
    ] = False,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Check a lab file and predict rate and fidelity of its links and requests; or check its instruments."""
    from bellwire.labs import LabProblems, load_lab

    path = find_lab(lab)
    try:
        loaded = load_lab(path, live=connect)
    except LabProblems as problems:
        _refuse(problems.lines, as_json)
    if connect:
        from bellwire.cli.connecting import connect_all

        connect_all(loaded, state, as_json)
        return
    summary, lines = _predictions(loaded)
    if lines:
        _refuse(lines, as_json)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _show(summary)


def _refuse(lines: tuple[str, ...], as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"ok": False, "problems": list(lines)}))
    else:
        for line in lines:
            typer.echo(line, err=True)
    raise typer.Exit(WRONG_INPUT)


def _predictions(lab: "Lab") -> tuple[dict[str, Any], tuple[str, ...]]:
    """Figures of links and requests, and a line for every request that cannot be served."""
    from bellwire.core.bell import fidelity
    from bellwire.labs.document import read_document
    from bellwire.planner.lane_times import link_latency_s, link_state
    from bellwire.planner.points import as_planned

    nodes = lab.network.nodes
    links = {
        name: {
            "nodes": list(link.nodes),
            "station": link.station,
            "length_km": link.length_km,
            "lanes": link.lanes,
            "attempt_period_us": link.period_ns / 1e3,
            "success_probability": link.success_probability,
            "rate_hz": 1.0 / link_latency_s(as_planned(link, nodes)),
            "fidelity": fidelity(link_state(link), 0),
        }
        for name, link in lab.network.links.items()
    }
    requests: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for index, request in enumerate(lab.requests):
        expected = _expected(lab, request)
        if isinstance(expected, str):
            place = read_document(Path(lab.path)).where(("requests", index)) if lab.path else lab.name
            problems.append(f'{place}: request "{request.request_id}": {expected}')
            continue
        requests[request.request_id] = {
            "mode": request.generation_mode,
            "members": list(request.target_nodes),
            **({"edges": [list(edge) for edge in request.edges]} if request.edges else {}),
            **expected,
            "corrections": _corrections(lab, request, expected["latency_s"]),
        }
    together = _plans(lab)
    for name, found in requests.items():
        if "batches" in found:
            continue  # each of its pairs is planned when its batch begins
        plan = together[name]
        found["together"] = (
            {"refused": plan}
            if isinstance(plan, str)
            else {
                "tree": plan.tree,
                "rate_hz": plan.rate_hz,
                "lanes": {part.link: part.lanes for node in plan.nodes.values() for part in node.links},
            }
        )
    summary: dict[str, Any] = {
        "ok": True,
        "lab": lab.name,
        "digest": lab.digest,
        "figures": "lab file",
        "nodes": len(nodes),
        "instruments": len(lab.instruments) + len(lab.equipment),
        "emulated_instruments": sum(one.emulated for one in lab.instruments)
        + sum(one.emulated for one in lab.equipment),
        "links": links,
        "requests": requests,
        "plan_together": lab.plan_together,
    }
    return summary, tuple(problems)


def _corrections(lab: "Lab", request: "EntanglementRequest", latency_s: float) -> dict[str, Any] | None:
    """When the request is judged and how soon it is acted on, in seconds; None: it never is."""
    from bellwire.core.units import ns_from_s, s_from_ns
    from bellwire.labs.schedule import SAMPLES_ENDLESS
    from bellwire.transport.corrections_window import Durations

    rules = lab.network.monitor
    if not rules.enabled or not (request.rate_threshold_hz or request.fidelity_threshold):
        return None
    durations = Durations.of(rules, ns_from_s(latency_s))
    return {
        "rate_hz": request.rate_threshold_hz,
        "fidelity": request.fidelity_threshold,
        "pairs": None if rules.samples_min >= SAMPLES_ENDLESS else rules.samples_min,
        "least_s": s_from_ns(durations.least),
        "cooldown_s": s_from_ns(durations.cooldown),
        "suspension_s": s_from_ns(durations.suspension),
        "ladder": [*rules.ladder, "terminate"],
    }


def _plans(lab: "Lab") -> "dict[str, RequestPlan | str]":
    """What each request gets: beside those before it in the file, or all of them planned at once."""
    from bellwire.planner.in_order import plans_in_order
    from bellwire.planner.joint_plans import planner_for
    from bellwire.planner.plans import IDLE

    if lab.plan_together is None:
        return plans_in_order(lab.network, lab.requests)
    planner = planner_for(lab.network, lab.requests, lab.plan_together)
    return {request.request_id: planner(request, 1, IDLE) for request in lab.requests}


def _expected(lab: "Lab", request: "EntanglementRequest") -> dict[str, Any] | str:
    """What a request can expect when it is alone, or why it cannot be served. A GHZ state has nodes of a tree
    for a route, and nobody predicts its age."""
    from bellwire.core.purification_words import ADAPTIVE, words_of
    from bellwire.planner.plans import compute_plan, foresee

    if request.entanglement_sequence:
        return _expected_in_order(lab, request)
    if request.entanglement_type == "bipartite":
        seen = foresee(lab.network, request)
        if isinstance(seen, str):
            return seen
        route, outlook = seen
        return {
            "route": list(route.nodes),
            "tree": route.tree.text(route.nodes),
            "rate_hz": 1.0 / outlook.latency_s,
            "latency_s": outlook.latency_s,
            "age_s": outlook.age_s,
            "fidelity": outlook.fidelity,
            "purification": ADAPTIVE if request.purification == ADAPTIVE else words_of(route.levels) or None,
        }
    plan = compute_plan(lab.network, request, 1)
    if isinstance(plan, str):
        return plan
    return {
        "route": list(plan.nodes),
        "tree": plan.tree,
        "rate_hz": plan.rate_hz,
        "latency_s": plan.latency_ns / NS_PER_S,
        "age_s": None,
        "fidelity": plan.fidelity,
        "purification": None,
    }


def _expected_in_order(lab: "Lab", request: "EntanglementRequest") -> dict[str, Any] | str:
    """Of a sequence: its batches, one after the other, and the fidelity at delivery of its worst pair. Each
    pair has a plan of its own."""
    from bellwire.core.units import ns_from_s
    from bellwire.planner.plans import predict
    from bellwire.planner.sequence_batches import divide, hold_s
    from bellwire.transport.request_records import fault_of
    from bellwire.transport.sequence_records import ProcessedRequest

    fault = fault_of(request, lab.network, request.target_nodes[0])
    if fault is not None:
        return fault
    held_s = hold_s(lab.network, request)
    batches = divide(lab.network, request, held_s, ())
    if isinstance(batches, str):
        return batches
    worst = 1.0
    for pair in request.entanglement_sequence:
        part = ProcessedRequest(request=request, batches=batches).part(pair, 1, ns_from_s(held_s), 1)
        expected = predict(lab.network, part)
        if isinstance(expected, str):
            return f'pair "{pair.pair_id}" of the sequence: {expected}'
        worst = min(worst, expected.fidelity)
    pairs, total_s = sum(len(batch.pair_ids) for batch in batches), sum(batch.latency_s for batch in batches)
    return {
        "pairs_in_order": len(request.entanglement_sequence),
        "batches": [list(batch.pair_ids) for batch in batches],
        "hold_s": held_s,
        "route": list(request.target_nodes),
        "tree": " | ".join(" ".join(batch.pair_ids) for batch in batches),
        "rate_hz": pairs / total_s,
        "latency_s": total_s / pairs,
        "age_s": None,
        "fidelity": worst,
        "purification": None,
    }


def _show(summary: dict[str, Any]) -> None:
    from bellwire.cli import show

    links = show.table(
        "Links (all lanes free, as the lab file says)",
        ["link", "between", "km", "lanes", "period us", "success per attempt", "pairs/s", "fidelity"],
        [
            [
                name,
                " ".join(link["nodes"]),
                link["length_km"],
                link["lanes"],
                link["attempt_period_us"],
                link["success_probability"],
                link["rate_hz"],
                show.fidelity(link["fidelity"]),
            ]
            for name, link in summary["links"].items()
        ],
    )
    only_pairs = all(len(one["members"]) < 3 or "batches" in one for one in summary["requests"].values())
    noun = "pair" if only_pairs else "state"
    requests = show.table(
        "Requests (each alone on the network, planned as the lab file says)",
        ["request", "mode", "route", f"{noun}s/s", f"ms per {noun}", "age ms", "fidelity"],
        [
            [
                name,
                show.what_of(
                    request["members"],
                    request["mode"],
                    request.get("edges", ()),
                    request.get("pairs_in_order", 0),
                )
                + (f", rounds {request['purification']}" if request["purification"] else ""),
                "-".join(request["route"]) if len(request["members"]) < 3 else request["tree"],
                request["rate_hz"],
                request["latency_s"] * 1e3,
                None if request["age_s"] is None else request["age_s"] * 1e3,
                show.fidelity(request["fidelity"]),
            ]
            for name, request in summary["requests"].items()
        ],
    )
    told = _beside if summary["plan_together"] is None else _with_others
    alone = {name: request for name, request in summary["requests"].items() if "together" in request}
    beside = [line for name, request in alone.items() if (line := told(name, request))]
    nodes, instruments, emulated = (summary[key] for key in ("nodes", "instruments", "emulated_instruments"))
    show.write(
        f"{summary['lab']}: good. {nodes} machines, {instruments} instruments of which {emulated} emulated, "
        f"configuration {summary['digest'][:12]}",
        links,
        requests,
        *beside,
        *(line for name, request in summary["requests"].items() if (line := _watched(name, request))),
    )


def _watched(name: str, request: dict[str, Any]) -> str | None:
    """What happens to a request that falls short of its terms."""
    rule = request["corrections"]
    if rule is None:
        return None
    noun = "pairs" if len(request["members"]) < 3 else "states"
    wanted = [f"{rule['rate_hz']:g} {noun}/s"] if rule["rate_hz"] else []
    wanted += [f"fidelity {rule['fidelity']:g}"] if rule["fidelity"] else []
    count = "" if rule["pairs"] is None else f"{rule['pairs']} {noun} or "
    return (
        f"{name} is held to {' and '.join(wanted)}: judged after {count}"
        f"{rule['least_s']:.3g} s, {rule['cooldown_s']:.3g} s between {', '.join(rule['ladder'])}"
    )


def _with_others(name: str, request: dict[str, Any]) -> str:
    """What a request gets where all are planned at once."""
    together = request["together"]
    if "refused" in together:
        return f"{name} planned with the others: {together['refused']}"
    return f"{name} planned with the others: {together['rate_hz']:.4g} pairs/s, over {together['tree']}"


def _beside(name: str, request: dict[str, Any]) -> str | None:
    """What a request gets beside those before it in the file, where that is worth a line."""
    together = request["together"]
    if "refused" in together:
        return f"{name} beside the requests before it: {together['refused']}"
    reserved = [f"{lanes} of {link}" for link, lanes in together["lanes"].items() if lanes]
    way = "" if together["tree"] == request["tree"] else f", over {together['tree']}"
    if not reserved and not way:
        return None
    return f"{name} beside the requests before it: reserves lanes {', '.join(reserved) or 'of no link'}{way}"
