"""The engine of time tags: million tags a second on one core, against numpy, pycorrelate and tttrlib.

What is timed: CPU time of one process (median of ROUNDS) for random tags of 1 Mcps in each channel, of which
5 % have a partner 100 ps away. `streamed` includes all that a stream needs: checks, splitting by channel,
carry-over and validity. Every count is compared with numpy's before a figure is written, and a target that
is missed makes the command fail. pycorrelate and tttrlib run in processes of their own, in the environment
of `make judges`; where that is missing the file says so. Memory is measured in a process that may not have
more address space than MEMORY_LIMIT, while 10 GB of tags pass through it.

Usage: python bench/time_tags.py  ->  bench/results/time_tags.json
"""

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _measure import peak_memory_mb, surroundings, write_result
from numpy.typing import NDArray

from bellwire.drivers.tags.coincidences import StreamedCoincidences
from bellwire.drivers.tags.gates import Gates
from bellwire.drivers.tags.histograms import Bins, StreamedCorrelation
from bellwire.drivers.tags.pairs import count_pairs
from bellwire.drivers.tags.pattern_tables import polarisation_table, time_bin_table
from bellwire.drivers.tags.patterns import StreamedPatterns
from bellwire.drivers.time_tags import TagBlock

ROOT = Path(__file__).resolve().parent.parent
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEER_SCRIPT = ROOT / "bench" / "peers" / "tag_correlations.py"

TAGS = 8_000_000
RATE_HZ = 1e6
ROUNDS = 5
PAIRS_TARGET, PATTERNS_TARGET = 90, 60
"""Million tags a second."""

MEMORY_LIMIT = 2 << 30
MEMORY_TAGS = 1_000_000_000
BLOCK_TAGS = 1_000_000

Times = NDArray[np.int64]
Row = dict[str, Any]


def two_channels(chance: np.random.Generator) -> tuple[Times, Times]:
    """Half of the tags in each."""
    count = TAGS // 2
    first, second = (np.cumsum(chance.exponential(1e12 / RATE_HZ, count)).astype(np.int64) for _ in range(2))
    partners = first[chance.random(count) < 0.05]
    partners += chance.normal(0, 100, len(partners)).astype(np.int64)
    second = np.concatenate([second[: count - len(partners)], partners])
    second.sort()
    return first, np.maximum(second, 0)


def one_block(*channels: Times) -> TagBlock:
    """Channels 1, 2, ... as a tagger hands them over."""
    times = np.concatenate(channels)
    numbers = np.repeat(np.arange(1, len(channels) + 1, dtype=np.int16), [len(one) for one in channels])
    order = np.argsort(times, kind="stable")
    return TagBlock(0, 0, int(times.max()) + 1, times[order], numbers[order])


def cpu_s(work: Callable[[], Any]) -> tuple[float, Any]:
    """Median CPU seconds after one run to compile, and what the work gave."""
    found, seconds = work(), []
    for _ in range(ROUNDS):
        began_ns = time.process_time_ns()
        found = work()
        seconds.append((time.process_time_ns() - began_ns) / 1e9)
    return statistics.median(seconds), found


class Table:
    """Rows of one task after another; all programs of a task must give the same count."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.missed: list[str] = []
        self._count: int | None = None

    def task(self, count: int) -> None:
        """What the programs of the rows to come must find."""
        self._count = count

    def add(
        self, what: str, program: str, tags: int, seconds: float, count: int, target: int | None = None
    ) -> None:
        """One row. Raises SystemExit when the count is another."""
        if count != self._count:
            raise SystemExit(f"{what}: {program} counts {count}, numpy {self._count}")
        speed = tags / seconds / 1e6
        row: Row = {"what": what, "program": program, "mtags_per_s": round(speed, 1), "count": count}
        if target is not None:
            row["target"] = target
            if speed < target:
                self.missed.append(f"{what}: {speed:.0f} of {target} Mtags/s")
        self.rows.append(row)
        print(row, flush=True)


def within(first: Times, second: Times, lo_ps: int, hi_ps: int) -> int:
    """Pairs by binary search."""
    low = np.searchsorted(second, first + lo_ps, side="left")
    return int((np.searchsorted(second, first + hi_ps, side="right") - low).sum())


def measure_pairs(table: Table, peers: "Peers", first: Times, second: Times) -> None:
    """Two channels, sparse and dense windows: in memory and streamed."""
    tags = len(first) + len(second)
    block = one_block(first, second)
    for light, half_ps in (("sparse, within 500 ps", 500), ("dense, within 1 us", 1_000_000)):
        what = f"pairs of 2 channels, {light}"
        seconds, count = cpu_s(partial(within, first, second, -half_ps, half_ps))
        table.task(count)
        table.add(what, "numpy searchsorted", tags, seconds, count)
        seconds, count = cpu_s(partial(count_pairs, first, second, -half_ps, half_ps))
        table.add(what, "bellwire, arrays", tags, seconds, count, PAIRS_TARGET)
        seconds, count = cpu_s(partial(streamed_pairs, block, half_ps))
        # The ends of the stream are unknown, so that pairs of the first and last half window do not count.
        edges = streamed_edges(first, second, half_ps, block.stop_ps)
        table.add(what, "bellwire, streamed", tags, seconds, count + edges, PAIRS_TARGET)
        peers.add(table, what, "pycorrelate", first, second, (-half_ps, 2 * half_ps + 1, 1))


def streamed_pairs(block: TagBlock, half_ps: int) -> int:
    """All pairs of channels 1 and 2 in a stream."""
    counter = StreamedCoincidences([(1, 2)], 2 * half_ps)
    counter.take(block)
    return counter.result().combinations[1, 2]


def streamed_edges(first: Times, second: Times, half_ps: int, stop_ps: int) -> int:
    """Pairs of starts within half a window of the ends."""
    outer = first[(first < half_ps) | (first >= stop_ps - half_ps)]
    return within(outer, second, -half_ps, half_ps)


def measure_histograms(table: Table, peers: "Peers", first: Times, second: Times) -> None:
    """All pairs by delay in bins of 1 ps, which tttrlib offers too; streamed as above."""
    tags, bins = len(first) + len(second), 1000
    what = f"all pairs by delay, {bins} bins of 1 ps"
    table.task(within(first, second, 0, bins - 1))
    block = one_block(first, second)
    edges = within(first[first >= block.stop_ps - bins + 1], second, 0, bins - 1)

    def streamed() -> int:
        counter = StreamedCorrelation(1, 2, Bins(0, 1, bins))
        counter.take(block)
        return int(counter.result().counts.sum()) + edges

    table.add(what, "bellwire, streamed", tags, *cpu_s(streamed))
    peers.add(table, what, "tttrlib", first, second, (0, 1, bins))


def numpy_heralds(block: TagBlock, gates: Gates) -> int:
    """Attempts in which exactly two of the places clicked, each once; without the last attempt."""
    attempt = block.time_ps // gates.period_ps
    phase = block.time_ps - attempt * gates.period_ps
    place = np.full(len(phase), -1)
    for gate, (start, stop) in enumerate(gates.windows_ps):
        inside = (phase >= start) & (phase < stop)
        place[inside] = block.channel[inside] * len(gates.windows_ps) + gate
    clicked = (place >= 0) & (attempt < block.stop_ps // gates.period_ps)
    attempt, place = attempt[clicked], place[clicked]
    first = np.flatnonzero(np.r_[True, attempt[1:] != attempt[:-1]])
    two = first[np.diff(np.r_[first, len(attempt)]) == 2]
    return int((place[two] != place[two + 1]).sum())


def measure_patterns(table: Table, chance: np.random.Generator) -> None:
    """Four channels of 1 Mcps each and a table; sparse: most tags lie in no gate."""
    channels = [np.cumsum(chance.exponential(1e12 / RATE_HZ, TAGS // 4)).astype(np.int64) for _ in range(4)]
    whole = min(int(one[-1]) for one in channels)
    block = one_block(*(one[one < whole] for one in channels))
    polarisation = polarisation_table(1, 2, 3, 4)
    heralds = ("psi_plus", "psi_minus", "forbidden")
    for light, gates in (
        ("dense, every tag in a gate", Gates(1_000_000, [(0, 1_000_000)])),
        ("dense, one in five", Gates(1_000_000, [(100_000, 300_000)])),
        ("sparse, one in 500", Gates(50_000_000, [(1_000_000, 1_100_000)])),
        ("sparse, 100 MHz", Gates(10_000, [(2_000, 3_000)])),
    ):
        what = f"patterns of 4 channels, {light}"
        seconds, count = cpu_s(partial(numpy_heralds, block, gates))
        table.task(count)
        table.add(what, "numpy", len(block.time_ps), seconds, count)

        def streamed(chosen: Gates = gates) -> int:
            counter = StreamedPatterns(polarisation, chosen)
            counter.take(block)
            return sum(counter.result().outcomes[name] for name in heralds)

        table.add(what, "bellwire, streamed", len(block.time_ps), *cpu_s(streamed), PATTERNS_TARGET)


class Peers:
    """Programs of others, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.skipped: list[Row] = []
        self.versions: dict[str, str] = {}

    def add(
        self, table: Table, what: str, program: str, first: Times, second: Times, bins: tuple[int, int, int]
    ) -> None:
        """Measure one, or write down why not."""
        files = self._folder / "first.npy", self._folder / "second.npy"
        if not files[0].exists():
            np.save(files[0], first)
            np.save(files[1], second)
        if not PEER_PYTHON.exists():
            return self._skip(what, program, f"{PEER_PYTHON.relative_to(ROOT)} is missing: run make judges")
        words = [
            str(word) for word in (PEER_PYTHON, "-W", "ignore", PEER_SCRIPT, program, *files, *bins, ROUNDS)
        ]
        run = subprocess.run(words, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
        if run.returncode != 0:
            return self._skip(what, program, run.stderr.strip().splitlines()[-1])
        found = json.loads(run.stdout)
        self.versions[program] = found["version"]
        tags = len(first) + len(second)
        return table.add(what, f"{program} {found['version']}", tags, found["cpu_s"], found["pairs"])

    def _skip(self, what: str, program: str, reason: str) -> None:
        self.skipped.append({"what": what, "program": program, "reason": reason})
        print(self.skipped[-1], flush=True)


def stream_much() -> None:
    """Stream MEMORY_TAGS under MEMORY_LIMIT, with a delay of several blocks; prints one JSON line."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    chance = np.random.default_rng(4)
    times = np.cumsum(chance.exponential(1e12 / RATE_HZ / 4, BLOCK_TAGS)).astype(np.int64)
    channels = chance.integers(1, 5, BLOCK_TAGS).astype(np.int16)
    span_ps = int(times[-1]) + 1
    counters = (
        StreamedCoincidences([(1, 2), (1, 2, 3)], 1000, {2: 10**12}),
        StreamedPatterns(
            time_bin_table(3, 4), Gates(1_000_000, [(0, 200_000), (500_000, 700_000)]), {4: 10**9}
        ),
        StreamedCorrelation(1, 4, Bins(-10_000, 100, 200)),
    )
    blocks, peaks = MEMORY_TAGS // BLOCK_TAGS, []
    for number in range(blocks):
        start_ps = number * span_ps
        block = TagBlock(0, start_ps, start_ps + span_ps, times + start_ps, channels)
        for counter in counters:
            counter.take(block)
        if number + 1 in (blocks // 50, blocks):
            peaks.append(peak_memory_mb())
    live_ps = counters[0].result().live_ps
    assert live_ps == blocks * span_ps - 10**12 - 2 * 500, live_ps
    print(
        json.dumps(
            {
                "tags": blocks * BLOCK_TAGS,
                "stream_mb": round(blocks * BLOCK_TAGS * 10 / 2**20),
                "address_space_limit_mb": MEMORY_LIMIT >> 20,
                "resident_mb_after_2_percent": round(peaks[0], 1),
                "resident_mb_at_the_end": round(peaks[1], 1),
                "counters": "pairs and triples with a delay of 1 s, patterns, correlation",
                "mtags_per_s": round(blocks * BLOCK_TAGS / time.process_time() / 1e6, 1),
            }
        )
    )


def main() -> int:
    """Measure and write the table; 1 when a target was missed."""
    chance = np.random.default_rng(2)
    table = Table()
    # First, while this process is small: the peak of a child begins with what its parent held.
    run = subprocess.run(
        [sys.executable, __file__, "memory"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if run.returncode != 0:
        raise SystemExit(f"memory: {run.stderr}")
    memory = json.loads(run.stdout)
    print(memory)
    growth_mb = memory["resident_mb_at_the_end"] - memory["resident_mb_after_2_percent"]
    if growth_mb > 0.02 * memory["resident_mb_at_the_end"]:
        table.missed.append(f"memory: it grew by {growth_mb:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(Path(folder))
        first, second = two_channels(chance)
        measure_pairs(table, peers, first, second)
        measure_histograms(table, peers, first, second)
        measure_patterns(table, chance)
    write_result(
        "time_tags",
        "Counting time tags on one core, 1 Mcps per channel",
        "python bench/time_tags.py",
        table.rows,
        f"Million tags a second of CPU time, median of {ROUNDS}, {TAGS:,} tags, {surroundings()}."
        f" {memory['tags']:,} tags ({memory['stream_mb']} MB) streamed within"
        f" {memory['resident_mb_at_the_end']:.0f} MB resident, {growth_mb:.1f} MB more than after 2 %.",
        memory=[memory],
        skipped=peers.skipped,
    )
    for complaint in table.missed:
        print(f"MISSED {complaint}")
    return 1 if table.missed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["memory"]:
        stream_much()
    else:
        sys.exit(main())
