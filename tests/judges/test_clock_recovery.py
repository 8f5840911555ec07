"""fpfind, a program of another project (GPL: a process of its own), finds the same clock in the same tags.

Both get the two streams and nothing else. fpfind refers to the common start of the records and gives what
takes its target back, (target - dt) / (1 + df), to 1 ns; ours is as good as the jitter.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from tests.drivers.clocks.streams import Pairs, Times, draw, recover
from tests.judges.conftest import PYTHON

pytestmark = pytest.mark.judge

FPFIND = PYTHON.with_name("fpfind")
DEADLINE_S = 120


def write_a1(path: Path, times: Times) -> None:
    """Words of 64 bits: time in 1/256 ns above ten bits that hold the pattern of detectors."""
    ticks = np.rint(times * 0.256).astype(np.uint64)
    ((ticks << np.uint64(10)) | np.uint64(1)).astype("<u8").tofile(path)


async def fpfind(folder: Path, pairs: Pairs, *options: str) -> tuple[float, float]:
    """(df, dt in ns) as it prints them. Our stream is its reference, our reference its target."""
    write_a1(folder / "stream.a1", pairs.stream)
    write_a1(folder / "reference.a1", pairs.reference)
    process = await asyncio.create_subprocess_exec(
        *(str(FPFIND), "-pp", "-t", str(folder / "stream.a1"), "-T", str(folder / "reference.a1"), *options),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, complaints = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode == 0, complaints.decode()[-2000:]
    rate, offset_ns = printed.decode().split()
    return float(rate), float(offset_ns)


@pytest.mark.parametrize("seed", [1, 2])
async def test_fpfind_finds_the_offset_and_the_rate_that_we_find(tmp_path: Path, seed: int) -> None:
    """2.345678 ms and 1e-8, 20 s of 20 000 tags/s with 2000 pairs/s: the setting in which fpfind succeeds.

    It looks for 1 ns, we say 100 ps here, and the rate over 20 s is then good to some 1e-10 for it.
    """
    pairs = draw(seed, first_hz=2e4, second_hz=2e4, seconds=20.0, rate=1e-8, offset_ps=2_345_678_000)
    found = recover(pairs, rate_uncertainty_e15=10**8)
    rate, offset_ns = await fpfind(tmp_path, pairs, "-q", "24")
    start_ps = int(pairs.stream[0])
    assert abs(found.clock.at(start_ps)[0] / 1000 - offset_ns) < 3.0
    assert abs(found.clock.rate_e15 / 1e15 - rate) < 1e-9
    assert abs(pairs.beside_ps(found.clock, found.clock.at_ps)) < 4 * found.clock.sigma_ps


async def test_it_needs_to_be_told_to_scan_where_we_do_so_ourselves(tmp_path: Path) -> None:
    """2 ppm: fpfind scans rates when asked to; then it agrees to what its own first stretch (2^22 bins of
    16 ns, 67 ms) leaves open: a nanosecond over it is 1.5e-8.
    """
    pairs = draw(5, first_hz=2e4, second_hz=2e4, seconds=20.0, rate=2e-6, offset_ps=2_345_678_000)
    found = recover(pairs)
    options = ("-q", "22", "-P", "--precomp-step", "2e-7", "--precomp-stop", "3e-6")
    rate, offset_ns = await fpfind(tmp_path, pairs, *options)
    assert abs(found.clock.rate_e15 / 1e15 - rate) < 1.5e-8
    assert abs(found.clock.at(int(pairs.stream[0]))[0] / 1000 - offset_ns) < 3.0
    assert abs(found.clock.rate_e15 - 2_000_000_000) < 4 * found.clock.sigma_rate_e15
