"""Help with sections: a command with many options lists them by what they are for.

Owns the layout. Refuses words: a section is the `rich_help_panel` of an option, read here without rich, which
would double the time that `--help` takes.
"""

from typing import Any

from typer.core import TyperCommand


class SectionedCommand(TyperCommand):
    """A command whose help has one section for each panel, in the order of the first option of each."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections; options without a panel come last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None)
                kind = "Arguments" if parameter.param_type_name == "argument" else "Others"
                sections.setdefault(panel or kind, []).append(record)
        others = sections.pop("Others", None)
        for title, records in [*sections.items(), *([("Others", others)] if others else [])]:
            with formatter.section(title):
                formatter.write_dl(records)
