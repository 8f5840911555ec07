"""Lab files as people name them: by path, or by the bare name of a lab that is shipped.

Owns that rule and the usual folder of a lab's state. Refuses to read the files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

STATE: Final = Path("bellwire_state")
"""Keys, records and runs, below the working directory: where the commands keep them, too."""


def shipped_labs() -> Path:
    """The folder of shipped labs: inside the package when it was installed, beside it in a working copy."""
    package = Path(__file__).parents[1]
    inside = package / "lab_configs"
    return inside if inside.is_dir() else package.parent / "lab_configs"


def find_lab(lab: str | Path) -> Path:
    """The lab file that is meant. Raises ConfigError when there is none."""
    path = Path(lab)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(shipped_labs().glob("*.yaml"))}
    if str(lab) in shipped:
        return shipped[str(lab)]
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise ConfigError("there is no such lab file", where=str(lab))
    raise ConfigError(f'there is no lab file or shipped lab "{lab}"{nearest(str(lab), shipped)}')
