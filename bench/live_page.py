"""The live page at ten nodes and 1,000 pairs per second: how far it falls behind, and what it costs.

Owns the run: a generated lab (bench/_generated_lab.py), a server beside it, and browsers that look, as
sockets that read every update as a browser does. Behind: a browser has just got counts of delivered pairs;
how long ago had the lab delivered that many? Reports come once a second and looks are a second apart, so
that about a second is as good as it can be; what must not happen is that it grows.

Usage: python bench/live_page.py [--seconds 60] [--rate-hz 1000] [--browsers 1 20]
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import socketio

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench._generated_lab import LIFE_S  # noqa: E402  the folder above is on the path now

SETTLING_S = 8.0
"""From the start of the lab until anything is counted: browsers sign on, ledgers fill."""
GROWTH_MAX_S = 0.5
BEHIND_MAX_S = 5.0
MEMORY_GROWTH_MAX_MB = 40.0


class Browser:
    """Reads every update of the page, and finds the counts of delivered pairs in them."""

    def __init__(self, url: str, rate_hz: float, begun_ns: int) -> None:
        self.behind: list[tuple[float, float]] = []  # unix s, seconds behind
        self.updates = 0
        self.bytes = 0
        self._url, self._rate_hz, self._begun_s = url, rate_hz, begun_ns / 1e9
        self._socket = socketio.AsyncClient(reconnection=False)

    async def open(self) -> None:
        """Ask for the page and attach to it."""
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:
            page = (await http.get("/")).text
        found = re.search(r"'client_id': '([0-9a-f-]+)', 'next_message_id': (\d+)", page)
        assert found is not None, "the page names no client"
        client_id = found[1]
        self._socket.on("update", self._on_update)
        names = {"client_id": client_id, "next_message_id": found[2], "implicit_handshake": "true"}
        more = {"tab_id": client_id, "document_id": client_id}
        words = "&".join(f"{name}={value}" for name, value in (names | more).items())
        await self._socket.connect(
            f"{self._url}?{words}",
            socketio_path="/_nicegui_ws/socket.io",
            transports=["websocket"],
            headers={"Origin": self._url},
        )

    async def close(self) -> None:
        await self._socket.disconnect()

    def _on_update(self, update: dict[str, Any]) -> None:
        now_s = time.time()
        self.updates += 1
        self.bytes += len(json.dumps(update))
        for element in update.values():
            props = element.get("props", {}) if isinstance(element, dict) else {}
            if isinstance(props, dict) and props.get("caption") == "Requests" and props["rows"]:
                counts = [row["cells"]["pairs"]["text"] for row in props["rows"]]
                delivered = sum(int(count.replace(",", "")) for count in counts)
                at_s = self._begun_s + delivered / self._rate_hz + LIFE_S
                self.behind.append((now_s, now_s - at_s))


async def measured(rate_hz: float, seconds: float, count: int) -> dict[str, Any]:
    """One run."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="bw-page-")))
        begun_ns = time.time_ns()
        lab = _process(closing, "_generated_lab.py", str(folder), str(rate_hz), str(begun_ns))
        server = _process(closing, "_page_server.py", str(folder))
        lab_stdout, server_stdout = lab.stdout, server.stdout
        assert lab_stdout is not None
        assert server_stdout is not None
        assert lab_stdout.readline().strip() == "told of"
        url = server_stdout.readline().strip()
        browsers = [Browser(url, rate_hz, begun_ns) for _ in range(count)]
        for browser in browsers:
            await browser.open()
        await asyncio.sleep(SETTLING_S)
        seen = psutil.Process(server.pid)
        for browser in browsers:
            browser.behind.clear()
            browser.updates = browser.bytes = 0
        began_s, cpu_before = time.monotonic(), _cpu_s(seen)
        memory: list[float] = []
        while time.monotonic() - began_s < seconds:
            await asyncio.sleep(min(5.0, seconds))
            memory.append(seen.memory_info().rss / 1e6)
        took_s, cpu_s = time.monotonic() - began_s, _cpu_s(seen) - cpu_before
        for browser in browsers:
            await browser.close()
    behind = sorted(one for browser in browsers for one in browser.behind)
    values = [late_s for _, late_s in behind]
    third = max(1, len(values) // 3)
    return {
        "browsers": count,
        "nodes": 10,
        "pairs per second": rate_hz,
        "duration (s)": took_s,
        "updates per second and browser": statistics.fmean(one.updates for one in browsers) / took_s,
        "kB per second and browser": statistics.fmean(one.bytes for one in browsers) / took_s / 1e3,
        "behind p50 (s)": statistics.median(values),
        "behind p95 (s)": statistics.quantiles(values, n=20)[-1],
        "behind at most (s)": max(values),
        "growth from first to last third (s)": statistics.median(values[-third:])
        - statistics.median(values[:third]),
        "CPU of the server (share of one core)": cpu_s / took_s,
        "memory at first (MB)": memory[0],
        "memory at last (MB)": memory[-1],
    }


def _process(closing: ExitStack, script: str, *arguments: str) -> "subprocess.Popen[str]":
    program = [sys.executable, "-u", str(ROOT / "bench" / script), *arguments]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def end() -> None:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()

    closing.callback(end)
    return process


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate-hz", type=float, default=1000.0)
    parser.add_argument("--browsers", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results" / "live_page.json")
    options = parser.parse_args()
    rows = [asyncio.run(measured(options.rate_hz, options.seconds, count)) for count in options.browsers]
    title = "The live page: ten nodes and 1,000 pairs per second, told of by a generated run"
    table = {"title": title, "command": "python bench/live_page.py", "rows": rows}
    options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(table, indent=1))
    late = [
        row
        for row in rows
        if row["growth from first to last third (s)"] > GROWTH_MAX_S
        or row["behind p95 (s)"] > BEHIND_MAX_S
        or row["memory at last (MB)"] - row["memory at first (MB)"] > MEMORY_GROWTH_MAX_MB
    ]
    if late:
        raise SystemExit(f"{len(late)} of {len(rows)} runs fell behind or grew")


if __name__ == "__main__":
    main()
