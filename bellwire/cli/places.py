"""Arguments and options that many commands have: a lab, the folder of its state, JSON.

Owns these, and how a path is said to people. Where labs are is said in bellwire.api.lab_files.
"""

from pathlib import Path
from typing import Annotated

import typer

from bellwire.api.lab_files import STATE as STATE
from bellwire.api.lab_files import find_lab as find_lab

LabArgument = Annotated[
    str, typer.Argument(metavar="LAB", help="Lab file (YAML), or the name of one in lab_configs.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
StateOption = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Folder for keys, records and runs.")
]


def near(path: Path) -> str:
    """A path as short as it can be said from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
