"""`bellwire schedule` and `bellwire plugins`: what the guides show, documents, wrong input, real packages."""

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bellwire.cli.main import app
from bellwire.labs.plugins import GROUPS
from tests.cli.test_planning_guide import fenced

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "scheduling.md").read_text(encoding="utf-8")
PLUGINS = (DOCS / "plugins.md").read_text(encoding="utf-8")
TOWN = fenced(TEXT, "yaml")[0]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the lab of the guide."""
    (tmp_path / "town.yaml").write_text(TOWN, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_the_command_prints_what_the_guide_shows() -> None:
    (shown,) = fenced(TEXT, "console")
    command, *expected = shown.splitlines()
    result = run(*shlex.split(command.removeprefix("$ bellwire ")))
    assert result.output.splitlines() == expected
    assert result.exit_code == 1


@pytest.mark.usefixtures("folder")
def test_the_document_says_the_same_in_rows_slots_and_requests() -> None:
    result = run("schedule", "town.yaml", "--json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    rows = document["rows"]
    keys = {"resource", "link", "kind", "request", "from_ns", "to_ns", "lease", "fence"}
    assert all(set(row) == keys for row in rows)
    assert {row["kind"] for row in rows} == {"attempts", "calibration", "guard"}
    for row in rows:
        assert 0 <= row["from_ns"] < row["to_ns"] <= document["cycle_ns"]
        assert (row["request"] is None) == (row["kind"] == "calibration")
    for name, link in document["links"].items():
        table = link["table"]
        spent_ns = sum(one["attempts"] * link["period_ns"] + one["gap_ns"] for one in table["rows"])
        assert spent_ns == document["cycle_ns"]
        lanes = [row for row in rows if row["resource"] == f"lanes:{name}"]
        for number, slot in enumerate(link["slots"]):
            at_ns = number * document["slot_ns"]
            held = [row for row in lanes if row["from_ns"] <= at_ns < row["to_ns"]]
            kinds = [(row["kind"], row["request"]) for row in held]
            assert kinds == ([] if slot["kind"] == "idle" else [(slot["kind"], slot["request"])])
    by_name = {one["request"]: one for one in document["requests"]}
    assert by_name["video"]["promised_hz"] is None
    assert "video" not in {row["request"] for row in rows}
    assert by_name["keys"]["promised_hz"] >= by_name["keys"]["wanted_hz"] == 40.0


def test_a_lab_without_a_schedule_is_refused_with_where_to_read(tmp_path: Path) -> None:
    result = run("schedule", "two_node_link")
    assert result.exit_code == 2
    assert "no section `schedule`" in result.output


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("slot_ms: 50", "slot_ms: 0.12", "slots of 0.12 ms are too short for link"),
        ("slot_ms: 50", "slot_ms: 0.199999", "no whole number of attempts"),
        ("ann-hub: [0], ben-hub: [1]", "ann-hub: [20]", "slot 20 of 20; slots are counted from 0"),
        ("ben-hub: [1], hub", "ben-hu: [1], hub", 'unknown link "ben-hu" (did you mean "ben-hub"?)'),
        ("clock_sigma_us: 5", "owner: hubb", 'unknown node "hubb" (did you mean "hub"?)'),
        ("clock_sigma_us: 5", "order: bst", 'unknown order "bst" (did you mean "best"?)'),
        ("clock_sigma_us: 5", "regions: {north: ann}", 'no node is in region "north"'),
        ("clock_sigma_us: 5", "clock_sigmas_us: {hbu: 5}", 'unknown node "hbu" (did you mean "hub"?)'),
        (
            "lanes: 4}\nschedule",
            "lanes: 4, scheduler: tdma, calendar: [keys]}\nschedule",
            "leave out its own",
        ),
    ],
)
def test_what_a_section_must_not_say_is_one_line(folder: Path, old: str, new: str, says: str) -> None:
    assert old in TOWN
    (folder / "town.yaml").write_text(TOWN.replace(old, new, 1), encoding="utf-8")
    result = run("schedule", "town.yaml")
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_regions_decide_for_themselves_and_the_owner_about_what_crosses(folder: Path) -> None:
    text = TOWN.replace("ben: {role: end}", "ben: {role: end, region: east}")
    text = text.replace("hub: {role: repeater}", "hub: {role: repeater, region: east}")
    text = text.replace("clock_sigma_us: 5", "owner: cat\n  regions: {east: ben}").replace(
        "ann, to: ben, duration_s: 20", "hub, to: ben, duration_s: 20, rate_min_hz: 5"
    )
    text = text.replace("hub: {role: repeater, region: east}", "hub: {role: end, relays: true, region: east}")
    (folder / "town.yaml").write_text(text, encoding="utf-8")
    document = json.loads(run("schedule", "town.yaml", "--json").output)
    assert {name: link["owner"] for name, link in document["links"].items()} == {
        "ann-hub": "cat",
        "ben-hub": "ben",
        "hub-cat": "cat",
    }
    owners = {one["request"]: one["owner"] for one in document["requests"]}
    assert owners == {"keys": "cat", "clock": "cat", "video": "cat", "test": "ben"}


# ---- plug-ins


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the guide, as an installer leaves it."""
    folder = tmp_path / "site"
    record = folder / "acme_orders-1.0.dist-info"
    record.mkdir(parents=True)
    (folder / "acme_orders.py").write_text(fenced(PLUGINS, "python")[0], encoding="utf-8")
    (record / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-orders\nVersion: 1.0\n", encoding="utf-8"
    )
    declared = re.findall(
        r'\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(.*)"', fenced(PLUGINS, "toml")[0]
    )
    ((group, name, place),) = declared
    (record / "entry_points.txt").write_text(f"[{group}]\n{name} = {place}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "acme_orders", raising=False)
    return record


@pytest.mark.usefixtures("package")
def test_the_package_of_the_guide_is_listed_and_orders_a_schedule(folder: Path) -> None:
    document = json.loads(run("plugins", "--json").output)
    assert [one for one in document["plugins"] if one["package"] == "acme-orders"] == [
        {
            "group": "bellwire.calendars",
            "name": "last_come",
            "place": "acme_orders:last_come",
            "package": "acme-orders",
            "version": "1.0",
            "problem": None,
        }
    ]
    text = TOWN.replace("clock_sigma_us: 5", "order: last_come")
    (folder / "town.yaml").write_text(text, encoding="utf-8")
    requests = json.loads(run("schedule", "town.yaml", "--json").output)["requests"]
    admitted = {one["request"]: one["admitted"] for one in requests}
    assert admitted["video"]
    assert not admitted["keys"]


def test_a_package_that_does_not_load_or_stands_nowhere_is_named(package: Path) -> None:
    (package / "entry_points.txt").write_text(
        "[bellwire.calendars]\nnone = acme_orders:none\n[bellwire.calendar]\nx = acme_orders:last_come\n",
        encoding="utf-8",
    )
    result = run("plugins", "--json")
    assert result.exit_code == 1
    problems = {one["name"]: one["problem"] for one in json.loads(result.output)["plugins"]}
    assert problems["none"].startswith("AttributeError")
    assert problems["x"] == 'no such group "bellwire.calendar" (did you mean "bellwire.calendars"?)'


def test_the_guide_lists_every_group_and_every_group_is_read_somewhere() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "bellwire").rglob("*.py"))
    for group in GROUPS:
        assert f"| `{group.name}` | {group.adds} | {group.entry} | {group.used_by} |" in PLUGINS
        assert re.search(rf'^(ENTRY_POINTS|GROUP)\b.*= "{group.name}"', source, re.MULTILINE), group.name
    read = set(re.findall(r'^(?:ENTRY_POINTS|GROUP)\b.*= "(bellwire\.\w+)"', source, re.MULTILINE))
    assert read == {group.name for group in GROUPS}


def test_check_says_after_what_time_a_scheduled_request_is_judged_and_no_number_of_pairs() -> None:
    told = run("check", "scheduled_hub").output
    assert "ann-cat is held to 3 pairs/s: judged after 10 s, 20 s between" in told
    document = json.loads(run("check", "scheduled_hub", "--json").output)
    assert document["requests"]["ann-cat"]["corrections"]["pairs"] is None
