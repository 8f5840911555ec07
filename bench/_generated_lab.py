"""A lab of ten nodes that is only told of: agents' control sockets whose answers grow by the clock.

Owns the numbers: pair number i is born at i / rate seconds, belongs to request i mod `REQUESTS`, lies in
every ledger for `LIFE_S`, and is delivered when it leaves. Refuses protocol: nothing here makes a pair.
What a page has to carry is the same as if it were so: every answer goes over a real control socket, as
JSON.

Usage (by bench/live_page.py): python bench/_generated_lab.py STATE RATE_HZ BEGUN_NS
"""

import asyncio
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bellwire.labs import Lab, load_lab  # noqa: E402  the folder above is on the path now
from bellwire.runtime.control import Command, ControlServer, socket_path  # noqa: E402

LIFE_S: Final = 0.25
REQUESTS: Final = 8
WAYS: Final = (
    ("stony_brook", "brookhaven", 3),
    ("stony_brook", "yale", 3),
    ("brookhaven", "columbia", 6),
    ("columbia", "yale", 6),
)
INCARNATION: Final = 7


def generated_lab() -> Lab:
    """The ten nodes and nine stations of scy_qnet, with addresses that nobody listens at."""
    lab = load_lab(ROOT / "lab_configs" / "scy_qnet.yaml")
    return replace(lab, addresses=dict.fromkeys(lab.network.nodes, "tcp://127.0.0.1:1"))


class Generated:
    """All numbers of the run at any moment."""

    def __init__(self, lab: Lab, rate_hz: float, begun_ns: int) -> None:
        self.lab, self.rate_hz, self.begun_ns = lab, rate_hz, begun_ns
        self.peers = dict.fromkeys(lab.addresses, "up")

    def delivered(self, request: int | None = None) -> int:
        """Pairs delivered by now: of one request or (None) of all."""
        count = self.born_before(time.time_ns() - round(LIFE_S * 1e9))
        return count if request is None else (count + REQUESTS - 1 - request) // REQUESTS

    def born_before(self, at_ns: int) -> int:
        """How many pairs were born until then."""
        return max(0, int((at_ns - self.begun_ns) / 1e9 * self.rate_hz))

    def commands(self, node: str) -> Mapping[str, Command]:
        """What one agent answers."""
        mine = [number for number in range(REQUESTS) if WAYS[number % len(WAYS)][0] == node]

        async def status(_: dict[str, Any]) -> Any:
            heralds = 3 * self.born_before(time.time_ns()) // len(self.lab.network.links)
            return {
                "ready": True,
                "incarnation": INCARNATION,
                "peers": self.peers,
                "instruments": {f"{node}-memory": {"condition": "ready", "reason": ""}},
                "slots": [],
                "links": {
                    name: {"heralds": heralds}
                    for name, link in self.lab.network.links.items()
                    if node in link.nodes
                },
                "health": {},
                "congested": [],
            }

        async def links(_: dict[str, Any]) -> Any:
            now_ns = time.time_ns()
            figures = {
                "point": 0,
                "fidelity": 0.95,
                "fidelity_low": 0.94,
                "fidelity_high": 0.96,
                "tested": 1000,
                "measured": 1000,
                "at_ns": now_ns,
            }
            wanted = [f"stream-{number}" for number in range(REQUESTS)]
            told = {"point": 0, "duty": 1.0, "wanted_by": wanted, "figures": [figures], "counters": {}}
            return {
                "now_ns": now_ns,
                "links": {
                    name: told for name, link in self.lab.network.links.items() if link.nodes[0] == node
                },
            }

        async def ledger_now(fields: dict[str, Any]) -> Any:
            now_ns = time.time_ns()
            first, last = self.born_before(now_ns - round(LIFE_S * 1e9)), self.born_before(now_ns)
            rows = [self._row(number, now_ns) for number in range(first, min(last, first + fields["limit"]))]
            return {"now_ns": now_ns, "count": last - first, "rows": rows}

        async def request(fields: dict[str, Any]) -> Any:
            return {"standing": self._standing(int(fields["request"].split("-")[1])), "refusal": None}

        async def requests(_: dict[str, Any]) -> Any:
            return {"requests": [self._standing(number) for number in mine], "next": None}

        async def news(fields: dict[str, Any]) -> Any:
            second = (time.time_ns() - self.begun_ns) // 1_000_000_000
            known = fields["incarnation"] == INCARNATION
            after = int(fields["after"]) if known else 0
            missed = range(after // max(1, len(mine)), second) if mine else range(0)
            reports = [self._progress(number) for at in missed for number in mine][-100:]
            last = second * len(mine)
            return {
                "incarnation": INCARNATION,
                "last": last,
                "missed": 0,
                "reports": reports if last > after else [],
                "more": False,
            }

        async def device_list(_: dict[str, Any]) -> Any:
            return []

        return {
            "status": status,
            "links": links,
            "ledger_now": ledger_now,
            "request": request,
            "requests": requests,
            "news": news,
            "device_list": device_list,
        }

    def _row(self, number: int, now_ns: int) -> dict[str, Any]:
        first, last, hops = WAYS[number % len(WAYS)]
        age_ns = now_ns - self.begun_ns - round(number / self.rate_hz * 1e9)
        return {
            "ends": [f"a/{number}.0:0", f"b/{number}.0:1"],
            "end_nodes": [first, last],
            "request": f"stream-{number % REQUESTS}",
            "created_ns": now_ns - age_ns,
            "age_ns": age_ns,
            "fidelity": 0.9 - 1e-10 * age_ns,
            "frame": number % 4,
            "hops": hops,
            "usage": "",
        }

    def _standing(self, number: int) -> dict[str, Any]:
        first, last, _ = WAYS[number % len(WAYS)]
        return {
            "request": {
                "request_id": f"stream-{number}",
                "target_nodes": [first, last],
                "until_cancelled": True,
            },
            "state": "in_progress",
            "delivered": self.delivered(number),
            "reason": None,
            "plan_failure": None,
            "admission": "accepted",
            "offer": None,
            "submitted_ns": self.begun_ns,
            "started_ns": self.begun_ns,
        }

    def _progress(self, number: int) -> dict[str, Any]:
        fields = {"delivered": self.delivered(number), "rate_hz": self.rate_hz / REQUESTS, "fidelity": 0.88}
        return {
            "at_ns": time.time_ns(),
            "name": "request_progress",
            "request": f"stream-{number}",
            "fields": fields,
        }


async def run(state: Path, rate_hz: float, begun_ns: int) -> None:
    """Answer until killed."""
    lab = generated_lab()
    generated = Generated(lab, rate_hz, begun_ns)
    servers = [ControlServer(socket_path(state, name), generated.commands(name)) for name in lab.addresses]
    for server in servers:
        await server.start()
    print("told of", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
