"""Live and virtual are the same, at length: replay of a run with a crash, the scripted World, statistics.

Usage: python bench/same_protocols.py    writes bench/results/same_protocols.json; exits 1 on a difference
"""

import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bellwire.core.units import ns_from_s  # noqa: E402
from bellwire.runtime.node_process import machine_factory  # noqa: E402
from bellwire.runtime.replay import replay_run  # noqa: E402
from tests.hosts.comparisons import (  # noqa: E402
    Sample,
    both_histories,
    differences,
    disagreement,
    live_sample,
    run_scripted,
    virtual_sample,
    with_latencies,
)
from tests.hosts.interrupted import interrupt  # noqa: E402
from tests.hosts.latencies import latencies  # noqa: E402
from tests.hosts.live import asked, lab_up, live_lab  # noqa: E402
from tests.hosts.recorded import RecordedRun  # noqa: E402

REPLAYED_PAIRS = 400
SCRIPTED_PAIRS = 60
LIVE_S = 40.0
VIRTUAL_S = 300.0

Row = dict[str, Any]


def replay_row(folder: Path, wrong: list[str]) -> Row:
    """A run whose relay is killed, fed to fresh machines."""
    done = asyncio.run(interrupt(folder, pairs=REPLAYED_PAIRS, before_kill=150))
    run = RecordedRun(done.run_dir)
    swaps = run.swaps()
    report = replay_run(done.run_dir, done.lab.network, machine_factory(done.lab))
    if not report["same"] or report["steps"] < 10_000:
        wrong.append(f"replay: {report}")
    return {
        "comparison": "replay after a crash of the relay",
        "pairs": len(run.delivered("alice", done.request)),
        "swaps (failed)": f"{len(swaps)} ({sum(swap.result != 'ok' for swap in swaps)})",
        "compared": f"{report['steps']} steps, {len(report['ledgers'])} ledgers",
        "result": "same bytes" if report["same"] else "DIFFERENT",
    }


def scripted_row(folder: Path, wrong: list[str]) -> Row:
    """Heralds by the calendar in both hosts."""
    live, virtual = both_histories(*asyncio.run(run_scripted(folder, SCRIPTED_PAIRS)))
    found = differences(live, virtual)
    wrong += found
    if len(live.pairs) < 2 * SCRIPTED_PAIRS or live.swaps("failed") < SCRIPTED_PAIRS // 6:
        wrong.append(f"scripted: only {len(live.pairs)} link pairs, {live.swaps('failed')} failures")
    ok, failed = live.swaps("ok"), live.swaps("failed")
    return {
        "comparison": "scripted heralds, live and virtual",
        "pairs": len(live.deliveries["alice"]),
        "swaps (failed)": f"{ok + failed} ({failed})",
        "compared": f"causal histories of {len(live.pairs)} link pairs",
        "result": f"{len(found)} differences" if found else "same",
    }


async def _run_free(folder: Path) -> tuple[Any, Path]:
    lab = live_lab(folder)
    async with lab_up(lab, folder / "state") as live:
        await live.supervisor.submit(asked(lab, "free", duration_ns=ns_from_s(LIVE_S)))
        await live.ended("free", within_s=LIVE_S + 60)
    return lab, live.supervisor.run_dir


def statistics_rows(folder: Path, wrong: list[str]) -> list[Row]:
    """The free World, virtual time with the live run's latencies."""
    lab, run_dir = asyncio.run(_run_free(folder))
    run = RecordedRun(run_dir)
    live, measured = live_sample(run, "free"), latencies(lab, run)
    virtual = virtual_sample(with_latencies(lab, measured), VIRTUAL_S)
    bare = virtual_sample(lab, VIRTUAL_S)
    found = disagreement(live, virtual)
    wrong += [f"statistics: {line}" for line in found]
    fewer = virtual_sample(with_latencies(lab, measured, lanes=4), VIRTUAL_S)
    if not disagreement(live, fewer):
        wrong.append("statistics: half the lanes were not noticed")
    message_ms = sum(measured.messages) / len(measured.messages) / 1e6
    herald_ms = sum(measured.heralds) / len(measured.heralds) / 1e6
    bell_ms = sum(measured.bell) / len(measured.bell) / 1e6
    latency = (
        f"mean latency of {len(measured.messages)} messages {message_ms:.2f} ms, of heralds "
        f"{herald_ms:.2f} ms, of Bell measurements {bell_ms:.2f} ms"
    )
    return [
        _figures("free World, live", live, latency, ""),
        _figures(
            "free World, virtual with these latencies", virtual, "", "; ".join(found) or "agrees with live"
        ),
        _figures("free World, virtual without latencies", bare, "", "for comparison"),
        _figures("planted: half the lanes", fewer, "", "noticed" if disagreement(live, fewer) else "MISSED"),
    ]


def _figures(name: str, one: Sample, compared: str, result: str) -> Row:
    rate_error_hz = one.interval_error_s * one.rate_hz**2
    return {
        "comparison": name,
        "pairs": one.pairs,
        "compared": compared,
        "rate (1/s)": f"{one.rate_hz:.2f} ± {rate_error_hz:.2f}",
        "fidelity": f"{one.fidelity:.4f} ± {one.fidelity_error:.4f}",
        "result": result,
    }


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wrong: list[str] = []
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bellwire-") as folder:
        rows.append(replay_row(Path(folder) / "replay", wrong))
        rows.append(scripted_row(Path(folder) / "scripted", wrong))
        rows += statistics_rows(Path(folder) / "free", wrong)
    result = {
        "title": "Live and virtual are the same",
        "command": "python bench/same_protocols.py",
        "rows": rows,
        "note": "Three of ten Bell measurements fail in the first two rows. Rates and fidelities are "
        "compared with 4 standard errors of block means plus what a constant delay misses "
        "of varying latencies (8 % of the interval, 0.012 of the fidelity).",
    }
    print(json.dumps(result, indent=1, ensure_ascii=False))
    for problem in wrong:
        print(f"DOES NOT HOLD: {problem}", file=sys.stderr)
    if not wrong:
        (ROOT / "bench" / "results").mkdir(exist_ok=True)
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        (ROOT / "bench" / "results" / "same_protocols.json").write_text(text, encoding="utf-8")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
