"""What log lines carry and never carry, how many an event may write, how files are turned over and read."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
import zmq

from bellwire.northbound.tokens import TokenBook
from bellwire.runtime.log_events import (
    LINES_AT_ONCE,
    REMOVED,
    Limited,
    Stamped,
    line_processors,
    without_secrets,
)
from bellwire.runtime.log_reading import Choice, RunLogs

SECOND_NS = 1_000_000_000


def test_a_line_carries_its_time_twice_and_where_it_comes_from() -> None:
    stamped = Stamped("lab", "1.2", now_ns=lambda: 1_700_000_000 * SECOND_NS + 42_000)
    line = stamped(None, "info", {"event": "pair_delivered", "at_ns": 7, "head_end": "a-b/1.2.3:0"})
    assert line["timestamp"] == "2023-11-14T22:13:20.000042Z"
    assert line["at_ns"] == 1_700_000_000 * SECOND_NS + 42_000
    assert (line["lab"], line["version"], line["pair"], line["_at_ns"]) == ("lab", "1.2", "a-b/1.2.3:0", 7)


def test_an_event_that_writes_too_much_is_cut_and_the_next_line_says_by_how_much() -> None:
    now_ns = [0]
    limited = Limited(per_s=10, at_once=5, now_ns=lambda: now_ns[0])

    def written(name: str, times: int, method: str = "info") -> list[dict[str, Any]]:
        lines = []
        for _ in range(times):
            try:
                lines.append(dict(limited(None, method, {"event": name})))
            except structlog.DropEvent:
                continue
        return lines

    assert len(written("storm", 100)) == 5
    assert len(written("other", 5)) == 5, "each event has a limit of its own"
    errors = written("storm", 3, "error")
    assert [line.get("lines_dropped") for line in errors] == [95, None, None], "errors are always written"
    now_ns[0] = SECOND_NS // 10
    assert len(written("storm", 2)) == 1
    assert limited.dropped == 96


def test_the_count_of_dropped_lines_is_told_once() -> None:
    now_ns = [0]
    limited = Limited(per_s=1, at_once=1, now_ns=lambda: now_ns[0])
    limited(None, "info", {"event": "a"})
    for _ in range(3):
        with pytest.raises(structlog.DropEvent):
            limited(None, "info", {"event": "a"})
    now_ns[0] = 10 * SECOND_NS
    assert limited(None, "info", {"event": "a"})["lines_dropped"] == 3
    now_ns[0] = 20 * SECOND_NS
    assert "lines_dropped" not in limited(None, "info", {"event": "a"})


def test_names_without_number_share_one_limit() -> None:
    limited = Limited(per_s=1, at_once=3, now_ns=lambda: 0)
    kept = 0
    for number in range(5_000):
        try:
            limited(None, "info", {"event": f"name-{number}"})
            kept += 1
        except structlog.DropEvent:
            continue
    assert kept == 1_000 + 3


def test_keys_and_tokens_never_stand_in_a_line(tmp_path: Path) -> None:
    """Real ones: a token of the API, and 200 pairs of CURVE keys; 1 in 20,000 keys may look like a name."""
    token = TokenBook(tmp_path).make("me", "viewer", 0, SECOND_NS)[1]
    keys = [key.decode() for _ in range(100) for key in zmq.curve_keypair()]
    line: dict[str, Any] = {
        "event": "call", "detail": f"Authorization: Bearer {token}", "told": {"nested": [token, *keys]},
        "secret_key": "anything", "text": f"key {keys[0]} was refused",
        "pair": "amsterdam-utrecht/1048577.123456.12:0",
        "path": "/var/lib/bellwire/state/keys/alice.public",
    }  # fmt: skip
    text = json.dumps(without_secrets(None, "info", line))
    assert token not in text
    assert sum(key in text for key in keys) <= 1
    assert line["secret_key"] == REMOVED
    assert line["pair"] == "amsterdam-utrecht/1048577.123456.12:0"
    assert line["path"] == "/var/lib/bellwire/state/keys/alice.public"


def test_a_line_of_an_agent_passes_through_all_of_it(tmp_path: Path) -> None:
    token = TokenBook(tmp_path).make("me", "viewer", 0, SECOND_NS)[1]
    written = io.StringIO()
    log = structlog.wrap_logger(structlog.PrintLogger(written), processors=line_processors("lab", "1.2"))
    for _ in range(LINES_AT_ONCE + 200):
        log.info("call", said=token, request="job-1", node="a")
    lines = [json.loads(one) for one in written.getvalue().splitlines()]
    assert LINES_AT_ONCE <= len(lines) < LINES_AT_ONCE + 200
    assert token not in written.getvalue()
    assert {"timestamp", "at_ns", "level", "lab", "version", "request", "node", "event"} <= set(lines[0])


WRITER = """
import sys
from pathlib import Path
from bellwire.runtime.log_lines import RotatingLines
lines = RotatingLines(Path(sys.argv[1]), bytes_max=2_000, kept=3)
for number in range(200):
    lines.msg('{"event": "e", "at_ns": %d, "node": "a", "number": %d}' % (number, number))
print("a traceback, say", file=sys.stderr)
"""


def test_a_full_file_makes_room_and_no_more_than_the_bound_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir()
    with log.open("ab") as stream:
        subprocess.run([sys.executable, "-c", WRITER, str(log)], stdout=stream, stderr=stream, check=True)
    files = sorted(log.parent.iterdir())
    assert [one.name for one in files] == ["a.log", "a.log.1", "a.log.2"]
    assert all(one.stat().st_size < 2_200 for one in files)
    lines = list(RunLogs(tmp_path).new_lines(Choice()))
    numbers = [line["number"] for line in lines if "number" in line]
    assert numbers == list(range(numbers[0], 200)), "the newest lines are kept, in order"
    assert (lines[-1]["event"], lines[-1]["text"], lines[-1]["level"]) == (
        "output",
        "a traceback, say",
        "error",
    )


def write(path: Path, *lines: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def line(node: str, at_ns: int, **fields: Any) -> dict[str, Any]:
    return {"event": "e", "node": node, "at_ns": at_ns, "level": "info", **fields}


def test_lines_of_all_nodes_come_by_time_and_new_ones_once(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path)
    write(tmp_path / "logs" / "a.log", line("a", 1), line("a", 5))
    write(tmp_path / "logs" / "b.log", line("b", 3))
    assert [(one["node"], one["at_ns"]) for one in logs.new_lines(Choice())] == [("a", 1), ("b", 3), ("a", 5)]
    assert list(logs.new_lines(Choice())) == []
    write(tmp_path / "logs" / "b.log", line("b", 7))
    with (tmp_path / "logs" / "a.log").open("a", encoding="utf-8") as file:
        file.write('{"event": "half')
    assert [one["at_ns"] for one in logs.new_lines(Choice())] == [7], "half a line waits for its end"


def test_no_line_is_lost_or_told_twice_when_a_file_is_turned_over_between_two_looks(tmp_path: Path) -> None:
    logs, path = RunLogs(tmp_path), tmp_path / "logs" / "a.log"
    write(path, line("a", 1), line("a", 2))
    assert len(list(logs.new_lines(Choice()))) == 2
    write(path, line("a", 3))
    path.rename(path.with_name("a.log.1"))
    write(path, line("a", 4))
    assert [one["at_ns"] for one in logs.new_lines(Choice())] == [3, 4]
    path.with_name("a.log.1").rename(path.with_name("a.log.2"))
    path.rename(path.with_name("a.log.1"))
    write(path, line("a", 5))
    assert [one["at_ns"] for one in logs.new_lines(Choice())] == [5]


def test_lines_are_chosen_by_request_node_and_level(tmp_path: Path) -> None:
    write(
        tmp_path / "logs" / "a.log",
        line("a", 1, request="job-1"),
        line("a", 2, request="job-2", level="warning"),
        line("a", 3),
        line("b", 4),
    )

    def chosen(**choice: str) -> list[int]:
        return [one["at_ns"] for one in RunLogs(tmp_path).new_lines(Choice(**choice))]

    assert chosen(request="job") == [1, 2]
    assert chosen(request="job-1") == [1]
    assert chosen(node="b") == [4]
    assert chosen(level="warning") == [2]
