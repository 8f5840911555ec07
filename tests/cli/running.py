"""Made-up labs in every state: reports, status answers and truth, for tests of what is shown of them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bellwire.cli.lab_status import LabStatus
from bellwire.cli.picture import LabPicture
from bellwire.labs import Lab, load_lab

LABS = Path(__file__).parents[2] / "lab_configs"
SECOND_NS = 1_000_000_000
PERIOD_NS = 100_000_000
"""Between two deliveries."""


def three_nodes() -> Lab:
    return load_lab(LABS / "three_node_repeater.yaml", live=True)


def delivered(number: int, frame: int = 0, fidelity: float = 0.9) -> dict[str, Any]:
    """The report of the head of pair `number`; one pair every 100 ms after a second."""
    at_ns = SECOND_NS + number * PERIOD_NS
    fields = {
        "number": number,
        "head_end": f"alice-relay/7.{number}.0:0",
        "tail_end": f"relay-bob/9.{number}.0:1",
        "frame": frame,
        "fidelity": fidelity,
        "at_ns": at_ns,
        "age_ns": 16_000_000,
        "latency_ns": PERIOD_NS,
    }
    return {"node": "alice", "name": "pair_delivered", "request": "demo", "at_ns": at_ns, "fields": fields}


def status_report(status: str, count: int, error: str | None = None) -> dict[str, Any]:
    fields = {"status": status, "generated_count": count, "error_message": error}
    at_ns = SECOND_NS + 1000 * PERIOD_NS
    return {"node": "alice", "name": "request_status", "request": "demo", "at_ns": at_ns, "fields": fields}


def truth(number: int, frame: int, operation: str = "release", fidelity: float = 0.8) -> str:
    """A line of the World's truth about pair `number`."""
    ends = [["relay-bob", 9, number, 0, 1], ["alice-relay", 7, number, 0, 0]]
    known = {"far": ["alice", 0], "frame": frame, "fidelity": fidelity, "ends": ends}
    return json.dumps({"node": "bob", "operation": operation, "tag": number, "truth": known}) + "\n"


def answer(
    node: str, *, heralds: int = 0, links: tuple[str, ...] = (), **condition: str
) -> Mapping[str, Any]:
    """A status answer; `condition`: instrument role -> condition, all others are ready."""
    roles = ("herald", "timing") if node in ("west", "east") else ("memory",)
    counts = {"heralds": heralds, "unusable": 1, "unknown": 2}
    return {
        "instruments": {
            f"{node}-{role}": {"condition": condition.get(role, "ready"), "reason": "no answer"}
            for role in roles
        },
        "peers": {peer: "up" for peer in ("alice", "relay", "bob", "west", "east") if peer != node},
        "links": dict.fromkeys(links, counts),
        "swaps": {"tried": 5, "succeeded": 3, "failed": 1, "unknown": 1} if node == "relay" else {},
    }


def answers(heralds: int = 0, **trouble: str) -> dict[str, Mapping[str, Any] | None]:
    """Answers of all; `trouble`: condition of the herald analyser of `west`."""
    return {
        "alice": answer("alice", heralds=heralds, links=("alice-relay",)),
        "relay": answer("relay", heralds=heralds, links=("alice-relay", "relay-bob")),
        "bob": answer("bob", heralds=heralds, links=("relay-bob",)),
        "west": answer("west", **trouble),
        "east": answer("east"),
    }


def at_work(pairs: int = 30) -> tuple[LabPicture, LabStatus]:
    """A lab that is up and has delivered some pairs."""
    lab = three_nodes()
    picture, status = LabPicture(lab, lab.requests), LabStatus(lab)
    picture.submitted(SECOND_NS)
    picture.take([status_report("in_progress", 0), *(delivered(number) for number in range(1, pairs + 1))])
    status.look(0, answers(heralds=10), started=True)
    status.look(2 * SECOND_NS, answers(heralds=50), started=True)
    return picture, status
