"""Every module and test that the documentation names exists.

Owns the check of docs/taxonomy.md and docs/concepts.md against the tree.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TAXONOMY = (ROOT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| `([\w.]+)` \| `([^`]+)` \|$", TAXONOMY, re.M)
FUNCTIONS = (
    "Discovery",
    "Failure detection",
    "Routing",
    "Quantum resource coordination",
    "Hardware abstraction layer",
    "Resource inventory",
    "Scheduling",
    "Configuration",
    "Calibration",
    "Security",
    "Recovery",
)


def module_exists(name: str) -> bool:
    place = ROOT.joinpath(*name.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_every_function_of_the_review_has_a_row() -> None:
    told = {function.partition(":")[0] for function, _, _ in ROWS}
    assert [one for one in FUNCTIONS if one not in told] == []
    lines = [line for line in TAXONOMY.splitlines() if line.startswith("| ") and "`" in line]
    assert len(ROWS) == len(lines), "a row has function, `module`, `test`, and no more"


@pytest.mark.parametrize(("function", "module", "test"), ROWS, ids=[row[0] for row in ROWS])
def test_a_function_lives_where_the_table_says_and_has_its_test(
    function: str, module: str, test: str
) -> None:
    assert module_exists(module), f"{function}: no module {module}"
    place, _, name = test.partition("::")
    file = ROOT / place
    assert file.exists(), f"{function}: no {place}"
    found = [file] if file.is_file() else sorted(file.rglob("test_*.py"))
    texts = [one.read_text(encoding="utf-8") for one in found]
    wanted = rf"^(async )?def {name}\(" if name else r"^\s*(async )?def test_\w+\("
    assert any(re.search(wanted, text, re.M) for text in texts), f"{function}: no test {test}"


@pytest.mark.parametrize("page", ["concepts.md", "taxonomy.md", "operator_guide.md", "tutorial.md"])
def test_every_module_that_a_page_names_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`(bellwire(?:\.\w+)+)`", text))
    assert [name for name in sorted(named) if not module_exists(name)] == []


def test_every_protocol_of_the_paper_that_concepts_names_is_a_class_of_its_room() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| `bellwire\.(\w+)`[^|]* \| ((?:`\w+`(?:, )?)+) \|$", text, re.M)
    assert len(rows) == 6
    for room, named in rows:
        texts = "\n".join(
            file.read_text(encoding="utf-8") for file in (ROOT / "bellwire" / room).rglob("*.py")
        )
        for name in re.findall(r"`(\w+)`", named):
            assert re.search(rf"^class {name}\b", texts, re.M), f"{room}: {name}"
