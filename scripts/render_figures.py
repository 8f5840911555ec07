"""Fill the section "Figures" of README.md from bench/results/*.json, so that no number is typed by hand.

Owns the text between the two markers, and nothing else in the file. Refuses a result without the command that
made it: a number that the reader cannot make again does not belong in a README.

A result is one JSON object: `title`, `command`, `rows` (a list of objects: column -> value), and optionally
`note`, a sentence shown under the table.

Usage: python scripts/render_figures.py [--check]    --check writes nothing, exits 1 if README is not current
"""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- figures: begin (written by scripts/render_figures.py, do not edit) -->"
END = "<!-- figures: end -->"
NOTHING_YET = "No figure has been measured on this tree yet."


def cell(value: object) -> str:
    """One table cell: floats to four digits, absent values as a dash."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def table_of(path: Path) -> str:
    """The section of one result; exits with the file's name if it is not of the documented form."""
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        title, command, rows = result["title"], result["command"], result["rows"]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        body = [[cell(row.get(column)) for column in columns] for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        sys.exit(f"{path.name}: not a result ({problem!r}); needs title, command and rows of column -> value")
    lines = [f"**{title}** (`{command}`)", ""]
    if columns:
        lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        lines += ["| " + " | ".join(cells) + " |" for cells in body]
    if result.get("note"):
        lines += ["", str(result["note"])]
    return "\n".join(lines)


def rendered(readme: str, results: list[Path]) -> str:
    """README with its figures replaced; exits if the two markers are not there, once each and in order."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end or BEGIN in tail or END in tail:
        sys.exit("README.md must hold the two figure markers, once each")
    section = "\n\n".join(table_of(path) for path in results) or NOTHING_YET
    return f"{head}{BEGIN}\n\n{section}\n\n{END}{tail}"


def main() -> int:
    readme = ROOT / "README.md"
    before = readme.read_text(encoding="utf-8")
    after = rendered(before, sorted((ROOT / "bench" / "results").glob("*.json")))
    if "--check" in sys.argv[1:]:
        if before != after:
            print("README.md does not show bench/results as they are; run `make figures`")
        return int(before != after)
    readme.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
