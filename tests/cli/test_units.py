"""Units and the Containerfile: what systemd says of them, and that they fit the program. No engine builds the
image here: its file is read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bellwire.cli.exits import INTERRUPTED, WRONG_INPUT
from bellwire.cli.main import app
from bellwire.cli.units import agent_unit, lab_unit
from bellwire.runtime.supervisor import EXIT_CONFIG

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = {"bellwire-node@.service": agent_unit(), "bellwire-lab.service": lab_unit()}
ANALYZE = shutil.which("systemd-analyze")


def settings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("name", UNITS)
def test_the_files_are_what_the_program_prints(name: str) -> None:
    assert (DEPLOY / "systemd" / name).read_text(encoding="utf-8") == UNITS[name]


@pytest.mark.parametrize("name", UNITS)
def test_exit_codes_in_units_are_those_of_the_program(name: str) -> None:
    found = settings(UNITS[name])
    assert found["RestartPreventExitStatus"] == str(WRONG_INPUT) == str(EXIT_CONFIG)
    assert found["SuccessExitStatus"] == str(INTERRUPTED)
    assert found["Restart"] == "on-failure"
    assert int(found["StartLimitBurst"]) * int(found["RestartSec"]) < int(found["StartLimitIntervalSec"])
    assert found["StateDirectoryMode"] == "0700"


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not on this computer")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_in_a_unit(tmp_path: Path, name: str) -> None:
    """With this Python in the place of the program, which need not be installed under /opt."""
    text = UNITS[name].replace("/opt/bellwire/bin/bellwire", sys.executable)
    path = tmp_path / name.replace("@", "@alice")
    path.write_text(text, encoding="utf-8")
    assert verdict(path) == ""
    path.write_text(text.replace("ProtectSystem=strict", "ProtectSystm=strict"), encoding="utf-8")
    assert "ProtectSystm" in verdict(path), "a planted mistake is noticed"


def verdict(path: Path) -> str:
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return "".join(line for line in done.stderr.splitlines(keepends=True) if path.name in line)


def test_a_unit_is_filled_in_for_a_node_and_a_wrong_name_is_refused() -> None:
    result = CliRunner().invoke(app, ["units", "two_node_link", "alice", "--program", "/srv/bellwire"])
    assert result.exit_code == 0
    line = settings(result.stdout)["ExecStart"]
    assert re.fullmatch(
        r"/srv/bellwire node /\S+/two_node_link\.yaml alice --state /var/lib/bellwire", line
    ), line
    assert CliRunner().invoke(app, ["units", "two_node_link", "alise"]).exit_code == WRONG_INPUT
    assert CliRunner().invoke(app, ["units"]).stdout == agent_unit()


@pytest.mark.parametrize("name", UNITS)
def test_the_command_of_a_unit_is_one_that_the_program_knows(name: str) -> None:
    words = settings(UNITS[name])["ExecStart"].split()[1:]
    shown = CliRunner().invoke(app, [words[0], "--help"])
    assert shown.exit_code == 0
    for option in (word for word in words if word.startswith("--")):
        assert option in shown.stdout


def test_the_image_has_two_stages_wheels_only_no_root_and_a_health_check() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    lines = re.sub(r"\\\n", " ", text)
    orders = [line.split(None, 1) for line in lines.splitlines() if line and not line.startswith("#")]
    names = [order[0] for order in orders]
    assert names.count("FROM") == 2
    last = orders[len(names) - 1 - names[::-1].index("FROM") :]
    final = {order[0]: order[1] for order in last}
    assert final["USER"].split(":")[0] not in ("root", "0")
    assert [order[0] for order in last].index("USER") < [order[0] for order in last].index("CMD")
    assert "bellwire status" in final["HEALTHCHECK"]
    assert "--only-binary :all:" in lines
    installs = [order[1] for order in last if order[0] == "RUN" and "pip install" in order[1]]
    assert len(installs) == 1
    assert "--no-index" in installs[0]
    assert "ADD" not in names
    for source in re.findall(r"^COPY (?!--)(.+) \S+$", lines, re.MULTILINE):
        for one in source.split():
            assert (DEPLOY.parent / one).exists(), one
