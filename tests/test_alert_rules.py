"""The example alerts speak of metrics and commands that exist, and each says what to do."""

import re
from pathlib import Path
from typing import Any

import typer.main
import yaml

from bellwire.cli.main import app
from bellwire.runtime.metric_names import METRICS

RULES = Path(__file__).parents[1] / "deploy" / "prometheus" / "bellwire.rules.yml"


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_asks_for_metrics_that_are_told_and_says_what_to_do() -> None:
    assert len(rules()) >= 10
    for rule in rules():
        asked = set(re.findall(r"bellwire_\w+", rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= set(METRICS), rule["alert"]
        labels = {label for name in asked for label in (*METRICS[name].labels, "version", "python")}
        told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert told <= labels, rule["alert"]
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["remedy"]


def test_every_command_and_option_of_a_remedy_exists() -> None:
    top: Any = typer.main.get_command(app)
    found = 0
    for rule in rules():
        for command, text in re.findall(r"bellwire ([a-z]+)([^.;,()]*)", rule["annotations"]["remedy"]):
            asked: Any = top.commands[command]
            if hasattr(asked, "commands"):
                asked = asked.commands[text.split()[0]]
            options = {option for one in asked.params for option in one.opts}
            assert set(re.findall(r"--[a-z-]+", text)) <= options, rule["alert"]
            found += 1
    assert found >= 10
