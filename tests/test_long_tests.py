"""The list of tests that `make test` leaves to `make long` names what is there, and leaves what must stay."""

import ast
import importlib
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parent.parent
LISTED = [
    line
    for line in (ROOT / "tests" / "long_tests.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def names_in(path: str) -> set[str]:
    """Functions and methods of a file of tests, as pytest names them."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
        elif (
            isinstance(node, ast.ImportFrom) and node.module is not None
        ):  # tests that drivers of others share
            shared = vars(importlib.import_module(node.module))
            found |= {name.name for name in node.names} | {
                name for name in shared if name.startswith("test_")
            }
        elif isinstance(node, ast.Assign):  # the test case of a rule-based machine
            found |= {f"{name.id}::runTest" for name in node.targets if isinstance(name, ast.Name)}
    return found


@pytest.mark.parametrize("path", sorted({line.partition("::")[0] for line in LISTED}))
def test_what_is_listed_as_long_is_there(path: str) -> None:
    listed = {line.partition("::")[2] for line in LISTED if line.partition("::")[0] == path}
    assert listed <= names_in(path)


def test_the_list_is_in_order_and_leaves_what_every_change_must_pass() -> None:
    assert sorted(set(LISTED)) == LISTED
    kept = runpy.run_path(str(ROOT / "scripts" / "long_tests.py"))["KEPT"]
    assert not set(kept) & set(LISTED)
    for name in kept:
        path, _, function = name.partition("::")
        assert function in names_in(path)


def test_functions_are_chosen_by_the_time_of_all_their_cases(tmp_path: Path) -> None:
    functions = runpy.run_path(str(ROOT / "scripts" / "long_tests.py"))
    report = tmp_path / "test.xml"
    cases = [("test_a[1]", 1.0), ("test_a[2]", 1.0), ("test_b", 0.2), ("test_c", 9.0)]
    report.write_text(
        "<testsuites><testsuite>"
        + "".join(
            ElementTree.tostring(
                ElementTree.Element(
                    "testcase", classname="tests.test_long_tests", name=name, time=str(took_s)
                ),
                encoding="unicode",
            )
            for name, took_s in cases
        )
        + "</testsuite></testsuites>",
        encoding="utf-8",
    )
    chosen = functions["long_functions"]([report])
    assert chosen == ["tests/test_long_tests.py::test_a", "tests/test_long_tests.py::test_c"]
