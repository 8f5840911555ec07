"""docs/northbound.md: its Python runs as it stands, and its tables name what there is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from bellwire.northbound.problems import PROBLEMS
from tests.northbound.conftest import Tokens
from tests.northbound.serving import PATIENCE_S, Served

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "northbound.md").read_text(encoding="utf-8")


def test_the_python_of_the_page_runs_and_prints_what_it_promises(server: Served, tokens: Tokens) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert script.count("http://127.0.0.1:8470") == 1
    ran = subprocess.run(
        [sys.executable, "-c", script.replace("http://127.0.0.1:8470", server.url)],
        env=os.environ | {"BELLWIRE_TOKEN": tokens.operator},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0] == "ready ['alice-bob']"
    assert "completed 10 None" in lines
    assert lines[-3].startswith("10 pairs, mean fidelity 0.")
    assert re.match(r"refused: .*carol", lines[-1])


def test_the_page_names_every_problem_and_every_path() -> None:
    rows = re.findall(r"^\| `([a-z]+(?:-[a-z]+)*)` \| (\d{3}) \|", PAGE, re.M)
    assert rows == [(kind.name, str(kind.status)) for kind in PROBLEMS.values()]
    described = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    for path in described["paths"]:
        last = path.replace("{request_id}", "ID").replace("{token_id}", "ID").replace("{name}", "NAME")
        words = re.sub(r"/?\{\w+\}", "", last).split("/")
        assert words[-1] in PAGE, path
