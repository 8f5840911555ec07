"""Write docs/drivers.md from the registry of drivers, so that the list cannot promise what does not exist.

Owns that file, whole.

Usage: python scripts/driver_docs.py [--check]    --check writes nothing, exits 1 when the file is stale
"""

import sys
from pathlib import Path

from bellwire.drivers import cards
from bellwire.drivers.card import DriverCard
from bellwire.drivers.catalogue import CATALOGUE
from bellwire.drivers.parameters import Parameter

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "drivers.md"
HEAD = """\
# Drivers

Written by `python scripts/driver_docs.py` from the registry; do not edit. `bellwire drivers` shows the same
on the command line. A driver that has driven no hardware says so: it was proven against its emulator, and
that by the programs of others that docs/judges.toml names. How to use them in a lab file:
[instruments.md](instruments.md); how to write one: [write_a_driver.md](write_a_driver.md).

| driver | instrument | roles | transport | seen on |
|---|---|---|---|---|
"""


def row(card: DriverCard) -> str:
    """The line of one driver in the table."""
    seen = ", ".join(card.seen_on) or "emulated only"
    return (
        f"| [{card.name}](#{card.name}) | {card.maker} {card.product} | {', '.join(card.roles)} "
        f"| {card.transport} | {seen} |\n"
    )


def limits(parameter: Parameter) -> str:
    """What may be set."""
    if parameter.write is None:
        return "read only"
    if parameter.choices:
        return " / ".join(parameter.choices)
    if parameter.kind == "switch":
        return "on / off"
    if parameter.low is None or parameter.high is None:
        return "any"
    return f"{parameter.low:g} to {parameter.high:g}"


def section(card: DriverCard) -> str:
    """Everything about one driver."""
    text = f"\n## {card.name}\n\n{card.maker} {card.product}. Address as in `{card.address}`.\n"
    if card.extra:
        text += f"Needs the package {card.extra}.\n"
    for title, points in (("Notes", card.notes), ("Not verified by any public source", card.unverified)):
        if points:
            text += f"\n{title}:\n" + "".join(f"- {point}\n" for point in points)
    parameters = card.load().parameters
    if parameters:
        text += "\n| parameter | unit | set | meaning |\n|---|---|---|---|\n"
        for one in parameters:
            text += f"| {one.name} | {one.unit} | {limits(one)} | {one.meaning} |\n"
    return text


def page() -> str:
    """The whole file."""
    ours = {card.name for card in CATALOGUE}
    known = [card for name, card in sorted(cards().items()) if name in ours]
    return HEAD + "".join(map(row, known)) + "".join(map(section, known))


def main() -> int:
    wanted = page()
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
            return 0
        print(f"{PAGE.relative_to(ROOT)} is stale: run python scripts/driver_docs.py")
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
