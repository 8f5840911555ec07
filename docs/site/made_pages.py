"""Pages of the site that are made from something else: figures, commands, docstrings.

Owns their text. Refuses numbers of its own: figures are those of bench/results, as README shows them.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any, Final

MODULES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "api": (
        "`bellwire.api`",
        "For scripts and notebooks: the same steps as the commands, with the same leases and records.",
        ("bellwire.api",),
    ),
    "client": (
        "`bellwire.client`",
        "The typed client of the northbound API, with and without an event loop.",
        ("bellwire.client",),
    ),
    "testing": (
        "`bellwire.testing`",
        "Emulated instruments for other people's tests, and the suite that every driver passes.",
        ("bellwire.testing", "bellwire.testing.plugin", "bellwire.testing.emulator_thread"),
    ),
    "core": (
        "Words of the core",
        "What all rooms say to each other: ids, plans, events, effects, facts, errors. Nothing here acts.",
        (
            "bellwire.core.ids",
            "bellwire.core.bell",
            "bellwire.core.bases",
            "bellwire.core.plans",
            "bellwire.core.events",
            "bellwire.core.effects",
            "bellwire.core.facts",
            "bellwire.core.settings",
            "bellwire.core.request_kinds",
            "bellwire.core.errors",
        ),
    ),
    "roles": (
        "Roles of instruments",
        "What link and calibration code asks of an instrument, whoever made it.",
        ("bellwire.drivers.roles",),
    ),
}


def pages(root: Path) -> dict[str, str]:
    """Path in the site -> Markdown."""
    made = {"benchmarks/index.md": benchmarks(root), "reference/commands.md": commands()}
    for place, (title, sentence, modules) in MODULES.items():
        blocks = "\n\n".join(f"::: {module}" for module in modules)
        made[f"reference/{place}.md"] = f"# {title}\n\n{sentence}\n\n{blocks}\n"
    return made


def benchmarks(root: Path) -> str:
    """Every result of bench/results by the code that fills README's section of figures."""
    table_of = runpy.run_path(str(root / "scripts" / "render_figures.py"))["table_of"]
    tables = [table_of(path) for path in sorted((root / "bench" / "results").glob("*.json"))]
    return "\n\n".join(
        [
            "# Benchmarks",
            "Every table is made from a file in `bench/results`, and names the command that measures it. "
            "Pages beside this one say more about some of them.",
            *(_headed(table) for table in tables),
        ]
    )


def _headed(table: str) -> str:
    """The title of a table as a heading, so that it can be found and linked to."""
    first, _, rest = table.partition("\n")
    title, command = first.removeprefix("**").split("** (", 1)
    return f"## {title}\n\n{command.removesuffix(')')}\n{rest}"


def commands() -> str:
    """Every command with its arguments and options, from the command line itself."""
    from typer.main import get_command

    from bellwire.cli.main import app

    lines = [
        "# Commands",
        "Written from the command line itself; `bellwire COMMAND --help` says the same. "
        "Exit codes: 0 done, 1 not, 2 the lab file or an argument is wrong. With `--json` a command prints "
        "one document.",
    ]
    root = get_command(app)
    for name, command in _listed(root):
        within = _listed(command)
        lines += _told(f"bellwire {name}", command, "##", bool(within))
        for part, one in within:
            lines += _told(f"bellwire {name} {part}", one, "###", False)
    return "\n\n".join(lines) + "\n"


def _listed(command: Any) -> list[tuple[str, Any]]:
    found = getattr(command, "commands", {})
    return sorted((name, one) for name, one in found.items() if not one.hidden)


def _told(name: str, command: Any, level: str, is_group: bool) -> list[str]:
    lines = [f"{level} {name}", _plain(command.help or "")]
    if is_group:
        return lines
    rows = [
        f"| {_names(one)} | {_plain(getattr(one, 'help', None) or '')} |"
        for one in command.params
        if not getattr(one, "hidden", False) and one.name != "help"
    ]
    if rows:
        lines.append("\n".join(["| argument, option | meaning |", "|---|---|", *rows]))
    return lines


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.make_metavar() if not parameter.metavar else parameter.metavar
        return f"`{name}`"
    return ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))


def _plain(text: str) -> str:
    """Help as one line of Markdown, in which no sign means anything else."""
    escaped = " ".join(text.replace("\b", " ").replace("\f", " ").split())
    for sign in ("<", "|", "*", "["):
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped
