"""Agents in network namespaces of their own, whose cables are pulled and throttled: nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 40.0


def namespaces_allowed() -> bool:
    """Whether this user may make network namespaces here, with bridges and cables."""
    try:
        tried = ["unshare", "-n", "-m", "sh", "-c", "ip link add one type veth peer name two && tc -V"]
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not namespaces_allowed(), reason="network namespaces need rights that are not here")
@pytest.mark.parametrize("seed", [1, 2])
def test_pulled_and_throttled_cables_cost_no_request_and_no_pair(seed: int, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.hosts.namespaces_run", str(tmp_path)]
    other = subprocess.run(
        ["unshare", "-n", "-m", *program, "--seconds", str(SECONDS), "--seed", str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert other.returncode == 0, other.stderr[-2000:]
    told = json.loads(other.stdout.splitlines()[-1])
    assert told["faults"] == []
    assert told["cables"]["pulled"] >= 3
    assert told["cables"].get("throttled", 0) >= 1
    assert told["pairs settled"] > 0
    assert told["requests acknowledged"] > 0
