"""`bellwire tags`: files of time tags.

Owns the list of its commands. Refuses bodies, which are in the files beside it, and heavy imports.
"""

import typer

from bellwire.cli import tags_clock, tags_count, tags_files, tags_pairs

app = typer.Typer(
    name="tags",
    help="Files of time tags: formats, counts, coincidences and clocks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(tags_files.convert)
app.command()(tags_files.info)
app.command()(tags_count.count)
app.command()(tags_pairs.coincidences)
app.command()(tags_pairs.correlate)
app.command()(tags_clock.clock)
