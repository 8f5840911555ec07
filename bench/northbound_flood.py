"""A thousand submissions a second against one server: what it takes, what it refuses, how long both take.

Owns the flood: `bellwire up` and `bellwire serve` as processes, and connections on which submissions fall due
at fixed times; times of answers count from when a call was due, so that a slow server is seen as slow.
Refuses to submit twice: every body becomes another request, so nothing is answered from memory.

Usage: python bench/northbound_flood.py [--per-s 1000] [--seconds 10]
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.northbound.serving import lab_up, served, token  # noqa: E402  the folder above is on the path now

CONNECTIONS = 64
ANSWER_S = 30.0


class Flood:
    """Sends submissions at fixed times and counts the answers."""

    def __init__(self, url: str, token: str, per_s: int, seconds: float) -> None:
        at = urlsplit(url)
        self._host, self._port, self._token = at.hostname, at.port, token
        self._calls = int(per_s * seconds)
        self._per_s = per_s
        self.statuses: Counter[str] = Counter()
        self.took_s: dict[str, list[float]] = {}
        self.without_retry_after = 0

    async def run(self) -> float:
        """Send all; returns the seconds from the first to the last answer."""
        begun_s = time.monotonic()
        workers = [self._connection(begun_s, first) for first in range(CONNECTIONS)]
        await asyncio.gather(*workers)
        return time.monotonic() - begun_s

    async def _connection(self, begun_s: float, first: int) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        for number in range(first, self._calls, CONNECTIONS):
            due_s = begun_s + number / self._per_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            body = json.dumps({"target_nodes": ["alice", "bob"], "count": 1}).encode()
            writer.write(
                b"POST /v1/requests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                % (self._token.encode(), len(body), body)
            )
            try:
                status, headers = await asyncio.wait_for(self._answer(reader), ANSWER_S)
            except (TimeoutError, OSError, asyncio.IncompleteReadError) as problem:
                self.statuses[type(problem).__name__] += 1
                writer.close()
                reader, writer = await asyncio.open_connection(self._host, self._port)
                continue
            self.statuses[status] += 1
            self.took_s.setdefault(status, []).append(time.monotonic() - due_s)
            if status == "429" and "retry-after" not in headers:
                self.without_retry_after += 1
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        await reader.readexactly(int(headers.get("content-length", "0")))
        return head[0].split()[1], headers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-s", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flood") as place, lab_up(Path(place)) as lab:
        mine = token(lab.state, "flood", "operator")
        with served(lab) as server:
            flood = Flood(server.url, mine, wanted.per_s, wanted.seconds)
            took_s = asyncio.run(flood.run())
            with server.call(mine) as after:
                alive = after.get("/v1/alive").status_code == 204
    calls = sum(flood.statuses.values())
    rows = [
        {
            "answer": status,
            "calls": count,
            "median ms": _ms(flood.took_s.get(status), 0.5),
            "p99 ms": _ms(flood.took_s.get(status), 0.99),
        }
        for status, count in sorted(flood.statuses.items())
    ]
    polite = set(flood.statuses) <= {"202", "429", "503"} and flood.without_retry_after == 0 and alive
    table = {
        "title": "Submissions beyond the limit of a token",
        "command": "python bench/northbound_flood.py",
        "note": f"{calls} submissions due at {wanted.per_s} per second, answered at {calls / took_s:.0f} per "
        "second; the limit of a token is 50 per second. Afterwards the server "
        f"{'answers as before' if alive else 'does not answer'}.",
        "rows": rows,
    }
    print(json.dumps(table, indent=1))
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / "northbound_flood.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return 0 if polite else 1


def _ms(times_s: list[float] | None, share: float) -> float | None:
    if not times_s:
        return None
    if len(times_s) == 1:
        return round(times_s[0] * 1e3, 1)
    return round(statistics.quantiles(times_s, n=100, method="inclusive")[round(share * 100) - 1] * 1e3, 1)


if __name__ == "__main__":
    sys.exit(main())
