"""`bellwire app`: programs that use delivered entanglement.

Owns the list of its commands. Refuses bodies, which are in the files beside it, and heavy imports.
"""

import typer

from bellwire.cli import app_bbm92, app_chsh, app_ghz, app_teleport

app = typer.Typer(
    name="app",
    help="Programs that use delivered entanglement, on a lab that is up or (--virtual) in virtual time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(app_bbm92.bbm92)
app.command()(app_chsh.chsh)
app.command()(app_ghz.ghz)
app.command()(app_teleport.teleport)
