"""`bellwire demand`: observed demand from the records of agents, in the form that a lab file takes."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from typer.testing import CliRunner

from bellwire.cli.main import app
from bellwire.core.plans import EntanglementRequest
from bellwire.labs import load_lab
from bellwire.transport.request_records import RequestRecord, to_record

LAB = """\
lab: line
nodes:
  a: {role: end}
  m: {role: repeater}
  b: {role: end}
links:
  a-m: {nodes: [a, m], lanes: 3, length_km: 10, attempt: &work {period_us: 50, success_probability: 0.01}}
  m-b: {nodes: [m, b], lanes: 3, length_km: 10, attempt: *work}
predistribution: {mode: continuous, demand_file: demand.json}
"""


def test_what_was_asked_for_becomes_the_demand_of_the_lab(tmp_path: Path) -> None:
    (tmp_path / "line.yaml").write_text(
        LAB.replace("mode: continuous, demand_file: demand.json", "mode: none")
    )
    state = tmp_path / "state"
    (state / "agents").mkdir(parents=True)
    with closing(sqlite3.connect(state / "agents" / "a.sqlite")) as database, database:
        database.execute("CREATE TABLE records (kind TEXT, key TEXT, body BLOB, written INTEGER)")
        for number in range(6):
            request = EntanglementRequest(request_id=f"r{number}", target_nodes=("a", "b"), count=1)
            record = to_record(
                RequestRecord(
                    request=request,
                    submitted_ns=number * 1_000_000_000,
                    started_ns=None,
                    outcome=None,
                    delivered=0,
                    reason="",
                )
            )
            row = (record.kind, record.key, record.body, number)
            database.execute("INSERT INTO records VALUES (?, ?, ?, ?)", row)
    out = tmp_path / "demand.json"
    asked = ["demand", str(tmp_path / "line.yaml"), "--state", str(state), "--window", "2", "--out", str(out)]
    result = CliRunner().invoke(app, [*asked, "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["requests"] == 6
    assert told["demand"] == [{"from": "a", "to": "b", "weight": 2.0}]
    (tmp_path / "line.yaml").write_text(LAB)
    stores = load_lab(tmp_path / "line.yaml").network.stores
    assert stores is not None
    assert [link.route for link in stores.super_links] == [("a", "m", "b")]
    assert stores.super_links[0].target == 2
    assert stores.continuous


def test_a_lab_without_history_says_so(tmp_path: Path) -> None:
    (tmp_path / "line.yaml").write_text(
        LAB.replace("mode: continuous, demand_file: demand.json", "mode: none")
    )
    result = CliRunner().invoke(app, ["demand", str(tmp_path / "line.yaml"), "--state", str(tmp_path)])
    assert result.exit_code != 0
    assert "no request for pairs is recorded" in result.output + result.stderr
