"""Lab files with a console: an address of its own, and a name that nobody else has."""

from pathlib import Path

import pytest

from bellwire.labs import LabProblems, lab_from_document, lab_schema, load_lab

TEXT = """
lab: with_console
nodes:
  alice: {role: end, address: "tcp://127.0.0.1:47001"}
  bob: {role: end, address: "tcp://127.0.0.1:47002"}
links:
  alice-bob: {nodes: [alice, bob], attempt: {period_us: 100, success_probability: 0.1}}
console: {address: "tcp://127.0.0.1:47003"}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_console_is_no_node_and_has_an_address(tmp_path: Path) -> None:
    lab = load_lab(written(tmp_path, TEXT))
    assert lab.console == "tcp://127.0.0.1:47003"
    assert set(lab.addresses) == set(lab.network.nodes) == {"alice", "bob"}
    assert lab_from_document(lab.document).console == lab.console
    without = load_lab(written(tmp_path, TEXT.rpartition("console:")[0]))
    assert without.console is None
    assert without.network == lab.network


@pytest.mark.parametrize(
    ("before", "after", "line", "where", "problem"),
    [
        (":47003", ":47002", 8, "console.address", "127.0.0.1 port 47002 is already taken by nodes.bob"),
        (":47003", ":99999", 8, "console.address", "port 99999 is outside 1..65535"),
        ("tcp://127.0.0.1:47003", "47003", 8, "console.address", ""),
        ('47003"}', '47003", port: 1}', 8, "console.port", ""),
        ("bob", "console", 5, "nodes.console", '"console" is the name of the console'),
        ("links:", "stations: {console: {}}\nlinks:", 6, "stations.console", "is the name of the console"),
    ],
    ids=["taken", "out of range", "no address", "no such key", "a node", "a station"],
)
def test_what_is_wrong_with_a_console_is_said_with_its_line(
    before: str, after: str, line: int, where: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(LabProblems) as wrong:
        load_lab(written(tmp_path, TEXT.replace(before, after)))
    assert any(
        f"lab.yaml:{line} ({where}): " in told and problem in told for told in str(wrong.value).splitlines()
    )


def test_without_a_console_the_name_is_free(tmp_path: Path) -> None:
    text = TEXT.rpartition("console:")[0].replace("bob", "console")
    assert "console" in load_lab(written(tmp_path, text)).network.nodes


def test_the_schema_knows_the_console() -> None:
    schema = lab_schema()
    assert "console" in schema["properties"]
    assert schema["$defs"]["Console"]["required"] == ["address"]
