"""Where things are: lab files by path or by name, and the folder in which labs keep their state.

Owns these two rules. Refuses to read the files.
"""

from pathlib import Path
from typing import Annotated

import typer

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest


def shipped_labs() -> Path:
    """The folder of shipped labs: inside the package when it was installed, beside it in a working copy."""
    package = Path(__file__).parents[1]
    inside = package / "lab_configs"
    return inside if inside.is_dir() else package.parent / "lab_configs"


STATE = Path("bellwire_state")
"""Default folder for keys, incarnation counters, durable records and runs, below the working directory."""

LabArgument = Annotated[
    str, typer.Argument(metavar="LAB", help="Lab file (YAML), or the name of one in lab_configs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
StateOption = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Folder for keys, records and runs.")
]


def find_lab(text: str) -> Path:
    """The lab file that a person means: a path, or the bare name of a shipped lab.

    Raises:
        ConfigError: there is no such file.
    """
    path = Path(text)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(shipped_labs().glob("*.yaml"))}
    if text in shipped:
        return shipped[text]
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise ConfigError("there is no such lab file", where=text)
    raise ConfigError(f'there is no lab file or shipped lab "{text}"{nearest(text, shipped)}')


def near(path: Path) -> str:
    """A path as short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
