"""A whole `bellwire` whose bus speaks the next schema, as a process of its own: an update half done."""

import sys
from collections.abc import Callable
from pathlib import Path

OTHER = """
import runpy, sys
import bellwire, bellwire.core.messages as messages
bellwire.__version__ = "99.0.0"
messages.SCHEMA_VERSION += 1
sys.argv[0] = "bellwire"
runpy.run_module("bellwire", run_name="__main__")
"""


def command_line_with(other: str, lab: Path) -> Callable[[str, Path, Path], list[str]]:
    """Command lines for a supervisor: `other` is of the next schema, everybody else of ours."""

    def command_line(name: str, state_dir: Path, run_dir: Path) -> list[str]:
        kind = ["emulate", str(lab)] if name == "emulator" else ["node", str(lab), name]
        where = ["--state", str(state_dir), "--run", str(run_dir), "--with-parent"]
        program = [sys.executable, "-c", OTHER] if name == other else [sys.executable, "-m", "bellwire"]
        return [*program, *kind, *where]

    return command_line
