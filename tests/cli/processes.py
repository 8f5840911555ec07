"""Commands as processes of their own."""

import subprocess
import sys

PROGRAM = [sys.executable, "-m", "bellwire"]


def bellwire(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False)
