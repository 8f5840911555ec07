"""Made-up answers of agents, in every state, for tests of what is shown of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bellwire.labs import Lab, load_lab
from bellwire.northbound.store import KeptNotification, KeptRequest
from bellwire.page.heard import Look
from bellwire.page.view import LabModel, LabView

LABS = Path(__file__).parents[2] / "lab_configs"
SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS
NODES = ("alice", "relay", "bob", "west", "east")


def three_nodes() -> Lab:
    return load_lab(LABS / "three_node_repeater.yaml", live=True)


def status(node: str, *, heralds: int = 0, reason: str = "no answer", **condition: str) -> dict[str, Any]:
    """`condition`: instrument role -> condition; all others are ready."""
    links = {"alice": ("alice-relay",), "relay": ("alice-relay", "relay-bob"), "bob": ("relay-bob",)}
    roles = ("herald", "timing") if node in ("west", "east") else ("memory",)
    return {
        "ready": not condition,
        "instruments": {
            f"{node}-{role}": {"condition": condition.get(role, "ready"), "reason": reason} for role in roles
        },
        "peers": {peer: "up" for peer in NODES if peer != node},
        "links": {name: {"heralds": heralds} for name in links.get(node, ())},
        "congested": [],
    }


def standing(link: str, **changes: Any) -> dict[str, Any]:
    figures = {
        "point": 0,
        "fidelity": 0.95,
        "fidelity_low": 0.93,
        "fidelity_high": 0.97,
        "measured": 0,
        "tested": 0,
        "at_ns": NOW_NS,
    }
    return {
        link: {"point": 0, "duty": 1.0, "wanted_by": ["q"], "figures": [figures | changes], "counters": {}}
    }


def links(**changes: Any) -> dict[str, dict[str, Any]]:
    return {
        "alice": {"now_ns": NOW_NS, "links": standing("alice-relay", **changes)},
        "relay": {"now_ns": NOW_NS, "links": standing("relay-bob", **changes)},
        "bob": {"now_ns": NOW_NS, "links": {}},
    }


def row(ends: tuple[str, str], nodes: tuple[str, str] = ("alice", "bob"), **changes: Any) -> dict[str, Any]:
    found = {
        "ends": list(ends),
        "end_nodes": list(nodes),
        "request": "q",
        "age_ns": 30_000_000,
        "fidelity": 0.9,
    }
    return found | {"hops": 2} | changes


def look(
    at_ns: int = NOW_NS,
    *,
    answers: Mapping[str, Any] | None = None,
    silent: Sequence[str] = (),
    ledgers: Mapping[str, Any] | None = None,
    devices: Mapping[str, Any] | None = None,
    schedules: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    heralds: int = 0,
) -> Look:
    found = {node: status(node, heralds=heralds) for node in NODES} | dict(answers or {})
    return Look(
        at_ns=at_ns,
        monotonic_ns=at_ns - NOW_NS,
        status={node: None if node in silent else one for node, one in found.items()},
        links={node: one for node, one in (told or links()).items() if node not in silent},
        ledgers=ledgers or {},
        devices=devices or {},
        schedules=schedules or {},
    )


def request(name: str = "q", state: str = "in_progress", number: int = 1, **changes: Any) -> KeptRequest:
    """As the store has it."""
    fields = {
        "request": {"request_id": name, "target_nodes": ["alice", "bob"], "count": 50},
        "state": state,
        "delivered": 10,
        "reason": None,
        "plan_failure": None,
    }
    by = changes.pop("by", "experiment")
    return KeptRequest(number, name, "alice", by, fields | changes, NOW_NS)


def report(
    number: int, name: str, request_id: str = "q", at_ns: int = NOW_NS, **fields: Any
) -> KeptNotification:
    return KeptNotification(number, at_ns, "alice", "report", request_id, {"name": name, "fields": fields})


def ended(number: int, status: str, why: str | None = None, request_id: str = "q") -> KeptNotification:
    body = {"status": status, "generated_count": 3, "error_message": why}
    return KeptNotification(number, NOW_NS, "alice", "request_status", request_id, body)


def seen(
    *looks: Look, requests: Sequence[KeptRequest] = (), told: Sequence[KeptNotification] = ()
) -> LabView:
    """What is shown after these looks, all with the same requests; news come with the first."""
    model = LabModel(three_nodes())
    view = model.take(looks[0], requests, told)
    for one in looks[1:]:
        view = model.take(one, requests, ())
    return view
