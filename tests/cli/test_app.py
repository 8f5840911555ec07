"""`bellwire app`: what it prints, how it ends, and what it refuses before anybody is asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bellwire.cli.main import app
from bellwire.northbound.key_store import KeyStore


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["app", *arguments])
    return result.exit_code, result.stdout, result.stderr


def report(*arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(*arguments, "--virtual", "--json")
    return code, json.loads(out)


def test_a_violated_inequality_ends_well_and_says_by_how_much() -> None:
    code, told = report("chsh", "two_node_link", "--count", "600", "--seed", "3", "--sigmas", "3")
    assert code == 0
    assert told["passed"] is True
    assert told["members"] == ["alice", "bob"]
    assert told["used"] == told["delivered"] == 600
    assert told["sigmas_above_2"] == pytest.approx((told["S"] - 2.0) / told["S_error"])
    # Five standard errors: false alarm 6e-7.
    assert abs(told["S"] - told["S_expected"]) < 5.0 * told["S_error"]
    assert sum(one["pairs"] for one in told["correlations"]) == 600


def test_too_few_pairs_for_the_claim_end_badly_with_the_reason() -> None:
    code, told = report("chsh", "two_node_link", "--count", "60", "--seed", "3")
    assert code == 1
    assert told["passed"] is False
    assert "5 are needed" in told["trouble"]


def test_a_request_that_runs_out_of_time_is_no_success() -> None:
    code, told = report("chsh", "two_node_link", "--count", "100", "--within-s", "0.5", "--sigmas", "0")
    assert code == 1
    assert told["used"] < 100
    assert "ended as" in told["trouble"]


def test_a_run_that_is_too_short_makes_no_key_and_stores_none(tmp_path: Path) -> None:
    code, told = report("bbm92", "two_node_link", "--count", "200", "--store", str(tmp_path))
    assert code == 1
    assert told["verdict"] == "too short"
    assert told["secret_bits"] == told["stored_bits"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_long_run_puts_key_into_the_store_and_its_error_rates_are_those_of_the_world(
    tmp_path: Path,
) -> None:
    """20 000 pairs; two rates, five standard errors: false alarm 1e-6."""
    code, told = report(
        "bbm92", "two_node_link", "--count", "20000", "--store", str(tmp_path), "--within-s", "3000"
    )
    assert code == 0
    for basis in ("x", "z"):
        deviation = told[f"error_rate_{basis}"] - told[f"error_rate_{basis}_expected"]
        assert abs(deviation) < 5.0 * told[f"error_rate_{basis}_error"]
    assert told["stored_bits"] == 8 * (told["secret_bits"] // 8) > 0
    keys = KeyStore(tmp_path)
    assert 8 * keys.stored_octets("alice", "bob") == told["stored_bits"]
    keys.close()


def test_teleported_states_are_shown_one_by_one() -> None:
    code, told = report("teleport", "teleport_link", "--count", "180", "--seed", "2", "--sigmas", "3")
    assert code == 0
    assert [one["state"] for one in told["states"]] == ["0", "1", "+", "-", "+i", "-i"]
    assert all(one["looks"] == [10, 10, 10] for one in told["states"])
    # Five standard errors: false alarm 6e-7.
    assert abs(told["fidelity"] - told["fidelity_expected"]) < 5.0 * told["fidelity_error"]


def test_ghz_states_are_said_in_words_too() -> None:
    code, out, err = run("ghz", "ghz_star", "--virtual", "--count", "80", "--sigmas", "2")
    assert (code, err) == (0, "")
    assert "alice - carol - bob: 80 of 80 deliveries used" in out
    assert "the World expects" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("teleport", "two_node_link", "--virtual"), "own_slots"),
        (("ghz", "two_node_link", "--virtual"), "--members"),
        (("ghz", "ghz_star", "--virtual", "--members", "alice,bob"), "3 to 6"),
        (("chsh", "two_node_link", "--seed", "1"), "--seed goes with --virtual"),
        (("chsh", "two_node_link", "--virtual", "--from", "alice"), "both --from and --to"),
        (("chsh", "two_node_link", "--virtual", "--from", "alice", "--to", "zoe"), "zoe"),
        (("chsh", "no_such_lab", "--virtual"), "no_such_lab"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anybody_is_asked(
    arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert said in err
    assert out == ""


def test_a_lab_that_is_not_up_is_said_to_be_down(tmp_path: Path) -> None:
    code, _, err = run("chsh", "two_node_link", "--state", str(tmp_path))
    assert code == 2
    assert "is the lab up?" in err
