"""The command `bellwire experiment` in a small group of its own, for its tests."""

import typer
from typer.testing import CliRunner, Result

from bellwire.cli import experiment as command_file
from bellwire.cli.exits import Commands

app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)


@app.callback()
def _options() -> None:
    """A group, as `bellwire` is one: errors become lines and exit codes there."""


app.command()(command_file.experiment)


def bellwire(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["experiment", *(str(argument) for argument in arguments)])
