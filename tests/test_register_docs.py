"""The pages and headers of the register maps say what the maps say."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from bellwire.drivers.regmap import load_map

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "register_docs.py"), run_name="checked")


def test_no_generated_page_or_header_is_stale(script: dict[str, Any]) -> None:
    assert script["stale"]() == [], "run python scripts/register_docs.py"


def test_a_page_that_was_edited_or_is_missing_counts_as_stale(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(script["pages"].__globals__, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    assert script["main"]([]) == 0
    assert script["main"](["--check"]) == 0
    edited, missing, *_ = sorted((tmp_path / "docs").iterdir())
    edited.write_text(edited.read_text() + "\n")
    missing.unlink()
    assert sorted(script["stale"]()) == [edited, missing]
    assert script["main"](["--check"]) == 1


@pytest.mark.parametrize("name", ["herald_fpga", "memory_controller"])
def test_the_header_gives_a_compiler_the_addresses_and_masks_of_the_map(
    script: dict[str, Any], name: str
) -> None:
    register_map = load_map(name)
    found = script["macros"]((ROOT / "docs" / f"registers_{name}.h").read_text())
    prefix = name.upper()
    assert found[f"{prefix}_HASH"] == register_map.hash
    for register in register_map:
        assert found[f"{prefix}_{register.name}"] == register.address
        assert found.get(f"{prefix}_{register.name}_COUNT", 1) == register.count
        for field_name, bits in register.fields.items():
            field = f"{prefix}_{register.name}__{field_name.upper()}"
            assert bits.extract(found[f"{field}_MASK"]) == (1 << bits.width) - 1
            assert found[f"{field}_SHIFT"] == bits.low
