"""What a live run leaves behind to look at: its log lines together, and the life of one of its pairs."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bellwire import __version__
from bellwire.cli.main import app
from bellwire.cli.trace import read_recording
from bellwire.core.events import Received
from bellwire.runtime.history import history_of
from bellwire.runtime.log_reading import Choice, RunLogs
from bellwire.runtime.pair_life import deliveries, pair_life
from bellwire.runtime.time_shares import time_shares
from bellwire.runtime.trace import read_framed
from tests.hosts.conftest import FREE_REQUEST, FreeRun
from tests.hosts.live import asked, lab_up, live_lab
from tests.runtime.otlp_receiver import receiving


def test_every_line_of_every_agent_says_when_who_and_which_software(free_run: FreeRun) -> None:
    lines = list(RunLogs(free_run.run_dir).new_lines(Choice()))
    agents = [line for line in lines if line["event"] != "output"]
    assert len(agents) == len(lines) > 100, [line["text"] for line in lines if line["event"] == "output"][:3]
    assert {line["node"] for line in agents} == set(free_run.lab.addresses)
    assert {line["lab"] for line in agents} == {free_run.lab.name}
    assert {line["version"] for line in agents} == {__version__}
    assert {line["incarnation"] for line in agents} == {1}
    times = [line["at_ns"] for line in agents]
    assert times == sorted(times)
    delivered = [line for line in agents if line["event"] == "pair_delivered"]
    assert {line["node"] for line in delivered} == {"alice", "bob"}, "one request, correlated across agents"
    assert {line["request"] for line in delivered} == {FREE_REQUEST}
    heads = [{line["pair"] for line in delivered if line["node"] == node} for node in ("alice", "bob")]
    assert len(heads[0] & heads[1]) >= 0.9 * len(heads[0]), "and one pair by its id"


def test_no_key_of_the_lab_stands_in_any_line(free_run: FreeRun) -> None:
    keys = [
        word
        for path in (free_run.run_dir.parents[1] / "keys").rglob("*")
        if path.is_file()
        for word in path.read_text(encoding="utf-8").split()
        if len(word) >= 40
    ]
    assert len(keys) >= 2 * len(free_run.lab.addresses)
    text = "".join(path.read_text(encoding="utf-8") for path in (free_run.run_dir / "logs").iterdir())
    assert not [key for key in keys if key.strip('"') in text]


def test_logs_of_one_request_and_node_are_found_on_the_command_line(free_run: FreeRun) -> None:
    arguments = ["logs", str(free_run.lab.path), "--state", str(free_run.run_dir.parents[1]), "--node", "bob"]
    chosen = [*arguments, "--request", FREE_REQUEST[:5], "--last", "10"]
    shown = CliRunner().invoke(app, chosen).stdout.splitlines()
    assert len(shown) == 10
    assert all(" bob " in line for line in shown)
    document = json.loads(CliRunner().invoke(app, [*chosen, "--json"]).stdout)
    assert len(document["lines"]) == 10
    refused = CliRunner().invoke(app, [*arguments, "--level", "loud"])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
    assert CliRunner().invoke(app, [*arguments, "--json", "--follow"]).exit_code == 2


def test_a_pair_of_a_live_run_is_followed_with_its_messages_and_their_delays(free_run: FreeRun) -> None:
    recording = read_recording(free_run.run_dir)
    assert recording.differing == {}, "the run is replayed by the software that made it"
    history = history_of(recording.steps)
    shares = time_shares(history, FREE_REQUEST)
    assert shares.status == "completed"
    assert sum(shares.waited_ns.values()) == shares.ended_ns - shares.submitted_ns
    complete = 0
    for report in deliveries(history, FREE_REQUEST):
        life = pair_life(history, FREE_REQUEST, int(str(report.report.fields["number"])))
        kinds = {one.kind for one in life.passages}
        complete += kinds >= {"HeraldReport", "Swapped", "Offer", "OfferAnswer", "Commit", "Settled"}
        assert all(one.received_ns > one.sent_ns for one in life.passages), (
            "one clock, and no message is early"
        )
        assert life.nodes == ("alice", "west", "relay", "east", "bob")
    assert complete >= 0.9 * shares.delivered


def test_a_record_that_cannot_be_replayed_still_tells_facts_and_reports(
    free_run: FreeRun, tmp_path: Path
) -> None:
    """The relay's record is changed as other software would have written it: one message is left out."""
    run_dir = tmp_path / "run"
    shutil.copytree(free_run.run_dir, run_dir)
    (steps,) = (run_dir / "agents" / "relay").glob("steps-*.bin")
    entries = list(read_framed(steps))
    received = [number for number, one in enumerate(entries) if b"HeraldReport" in one]
    del entries[received[3]]
    steps.write_bytes(b"".join(len(one).to_bytes(4, "little") + one for one in entries))
    recording = read_recording(run_dir)
    assert set(recording.differing) == {"relay"}
    history = history_of(recording.steps)
    numbers = [int(str(one.report.fields["number"])) for one in deliveries(history, FREE_REQUEST)]
    assert len(numbers) == time_shares(history, FREE_REQUEST).delivered
    life = pair_life(history, FREE_REQUEST, numbers[-1])
    assert {one.kind for one in life.moments} >= {"birth", "swap", "delivered"}, (
        "facts have a file of their own"
    )
    assert any(isinstance(step.event, Received) for step in recording.steps if step.node == "relay")


@pytest.mark.slow
async def test_a_live_lab_sends_a_trace_of_each_request_to_its_collector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        lab = live_lab(tmp_path)
        async with lab_up(lab, tmp_path / "state") as live:
            await live.supervisor.submit(asked(lab, "ten", count=10))
            assert await live.ended("ten") == "completed"
            delivered = live.delivered("alice", "ten")
        pairs, links = receiver.named("pair"), receiver.named("link")
        (request,) = receiver.named("request")
        assert len(pairs) == delivered >= 10
        assert {span.trace_id for span in receiver.spans} == {request.trace_id}
        assert len(links) == 2 * len(pairs), "the source has heard of both links of each pair"
        assert len(receiver.named("swap")) == len(receiver.named("delivery")) == len(pairs)
        assert {one["bellwire.node"] for one in receiver.resources} == {"alice"}
