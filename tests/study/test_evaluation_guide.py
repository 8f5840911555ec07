"""What docs/evaluation.md says is what the commands know.

Owns the test of the guide to evaluations and sweeps.
"""

import re
from pathlib import Path

from typer.testing import CliRunner

from bellwire.cli.main import app
from bellwire.study.evaluation_claims import JAM_INTERVALS
from bellwire.study.evaluation_jobs import REPORTING_SEED_FIRST
from bellwire.study.evaluation_policies import POLICIES
from bellwire.study.experiments import EXPERIMENTS

TEXT = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_the_guide_names_every_experiment_and_every_policy_with_its_mode() -> None:
    assert [name for name in EXPERIMENTS if f"| `{name}` |" not in TEXT] == []
    assert [name for name in POLICIES if f"`{name}`" not in TEXT] == []
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", TEXT, re.MULTILINE))
    assert told == {name: POLICIES[name].mode for name in told}
    assert {"fixed_tree", "strongest_tree", "connectionless_weak", "centralised"} <= set(told)


def test_the_guide_gives_the_numbers_of_the_code() -> None:
    assert f"begin at {REPORTING_SEED_FIRST:,}" in TEXT
    assert f"nothing for {JAM_INTERVALS:g} mean intervals" in TEXT


def test_every_option_that_the_guide_names_is_one_of_its_commands() -> None:
    named = set(re.findall(r"--[a-z][a-z-]*", re.sub(r"^ +dask .*$", "", TEXT, flags=re.MULTILINE)))
    known = "".join(CliRunner().invoke(app, [command, "--help"]).output for command in ("evaluate", "sweep"))
    assert {name for name in named if name not in known} == set()
