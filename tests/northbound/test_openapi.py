"""The description of the API: the committed one is the server's, and it names every refusal."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from bellwire.northbound.problems import PROBLEMS
from tests.northbound.serving import Served

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTION = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
FRAMEWORK = {"method-not-allowed"}
"""Answered where there is no operation, so no operation can name it."""


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "openapi_docs.py"), run_name="checked")


def test_the_committed_description_is_that_of_the_routes(script: dict[str, Any]) -> None:
    assert script["main"](["--check"]) == 0, "run python scripts/openapi_docs.py"


def test_a_description_that_was_edited_counts_as_stale(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "openapi.json"
    monkeypatch.setitem(script["main"].__globals__, "PAGE", page)
    assert script["main"]([]) == 0
    assert script["main"](["--check"]) == 0
    page.write_text(page.read_text(encoding="utf-8").replace('"maximum": 64', '"maximum": 65', 1))
    assert script["main"](["--check"]) == 1


def test_a_server_tells_the_committed_description_to_everybody(server: Served) -> None:
    with server.call() as anybody:
        assert anybody.get("/v1/openapi.json").json() == DESCRIPTION
    assert DESCRIPTION["openapi"].startswith("3.1")


def test_every_problem_is_named_by_an_operation_and_explained_by_the_server(server: Served) -> None:
    said = json.dumps(DESCRIPTION["paths"])
    assert [name for name in PROBLEMS if f"`{name}`" not in said and name not in FRAMEWORK] == []
    with server.call() as anybody:
        for name, kind in PROBLEMS.items():
            page = anybody.get(f"/v1/problems/{name}")
            assert page.status_code == 200
            assert kind.title in page.text
            assert kind.advice in page.text


def test_all_operations_but_three_want_a_token() -> None:
    without = {
        operation["operationId"]
        for methods in DESCRIPTION["paths"].values()
        for operation in methods.values()
        if "security" not in operation
    }
    assert without == {"is_alive", "explain_problem"}
