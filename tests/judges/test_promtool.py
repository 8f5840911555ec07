"""promtool of the Prometheus project judges the metrics of a lab that delivers, and the example alerts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bellwire.client import Client
from bellwire.client.words import RequestTerms
from tests.northbound.serving import lab_up, served, token, until

pytestmark = pytest.mark.judge

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "bellwire.rules.yml"
DEADLINE_S = 60


def promtool(*arguments: str, page: bytes | None = None) -> tuple[int, str]:
    done = subprocess.run(
        ["promtool", *arguments],
        input=page,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout.decode()


def test_the_metrics_of_a_running_lab_are_free_of_complaints(tmp_path: Path) -> None:
    with lab_up(tmp_path) as lab, served(lab) as server:
        operator = token(lab.state, "judge", "operator")
        with Client(server.url, operator) as client:
            asked = client.submit(RequestTerms(target_nodes=["alice", "bob"], count=3))

            def completed() -> Iterator[bool]:
                while True:
                    yield client.request(asked.request_id).status == "completed"

            until(completed(), "three pairs are delivered")
        with server.call(operator) as plain:
            page = plain.get("/metrics").content
    assert b"bellwire_pair_age_seconds_bucket" in page
    assert promtool("check", "metrics", page=page) == (0, "")


def test_the_judge_complains_of_what_is_wrong() -> None:
    code, said = promtool("check", "metrics", page=b"# TYPE heralds counter\nheralds 1\n")
    assert code != 0
    assert "_total" in said


def test_the_example_alerts_are_valid_rules() -> None:
    code, said = promtool("check", "rules", str(RULES))
    assert code == 0, said
    assert "SUCCESS" in said
