"""How a command ends: one line on stderr and an exit code, never a traceback for something that we foresaw.

Owns the exit codes. Refuses to hide bugs: LocalMisuse and unforeseen exceptions keep their traceback.
"""

import os
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from bellwire.core.errors import BellwireError, LocalMisuse

# the command did its work, and the answer is bad news (a request failed, a replay differs)
UNSUCCESSFUL: Final = 1
WRONG_INPUT: Final = 2  # a file, an argument or an instrument is not what it should be
INTERRUPTED: Final = 130  # Ctrl-C, as shells expect it


class Commands(TyperGroup):
    """The group of all commands; turns the errors that bellwire raises on purpose into lines and codes."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except LocalMisuse:
            raise  # our own bug: whoever meets it needs the traceback
        except BellwireError as error:
            typer.echo(one_line(str(error)), err=True)
            raise typer.Exit(WRONG_INPUT) from None
        except BrokenPipeError:
            # The reader of our output has gone (`| head`); Python would complain again while closing stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(UNSUCCESSFUL) from None
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def one_line(text: str) -> str:
    """An error message on one line, whatever the message brought along."""
    return " ".join(text.split())
