"""Where a plan goes: text or JSON on stdout, pictures into files.

Owns the writing. Refuses the words and the pictures (planner/reports). A file appears whole or not at all.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.planner.reports.any_plan import Plan
    from bellwire.planner.reports.consumption_order import ConsumptionOrder
    from bellwire.planner.reports.super_links import SuperLinkChoice
    from bellwire.planner.requests import Options
    from bellwire.planner.topology import Topology

STDOUT: Final = Path("-")


@dataclass(frozen=True, slots=True)
class Output:
    """What a person wants to see of a plan. A file `-` is stdout, which then holds nothing else."""

    as_json: bool
    svg: Path | None
    dot: Path | None

    def __post_init__(self) -> None:
        if sum((self.as_json, self.svg == STDOUT, self.dot == STDOUT)) > 1:
            raise ConfigError("stdout can hold only one of --json, --svg - and --dot -")
        if self.svg is not None and self.svg == self.dot != STDOUT:
            raise ConfigError(f"--svg and --dot would both write {self.svg}")
        for path in (self.svg, self.dot):
            if path is not None and path != STDOUT:
                _check_place(path)

    def show(self, plan: "Plan", topology: "Topology", options: "Options") -> None:
        """Write everything that is wanted of a plan; files first, so that stdout speaks of what is there."""
        from bellwire.planner.reports import any_plan
        from bellwire.planner.reports.plain_values import as_json

        pictures = {
            path: draw(plan, topology)
            for path, draw in ((self.svg, any_plan.svg_of), (self.dot, any_plan.dot_of))
            if path is not None
        }
        for path, picture in pictures.items():
            if path != STDOUT:
                _replace(path, picture)
        if STDOUT in pictures:
            typer.echo(pictures[STDOUT], nl=False)
        elif self.as_json:
            typer.echo(as_json(any_plan.document_of(plan, topology, options)))
        else:
            typer.echo(any_plan.text_of(plan, topology), nl=False)
            for path in pictures:
                typer.echo(f"\nwritten: {path}")

    def show_order(self, order: "ConsumptionOrder") -> None:
        """Write the batches of an order of consumption."""
        from bellwire.planner.reports.consumption_order import order_document, order_text
        from bellwire.planner.reports.plain_values import as_json

        if self.as_json:
            typer.echo(as_json(order_document(order)))
        else:
            typer.echo(order_text(order), nl=False)

    def show_super_links(self, choice: "SuperLinkChoice") -> None:
        """Write the pairs of nodes to keep entangled, and what each demand gains by them."""
        from bellwire.planner.reports.plain_values import as_json
        from bellwire.planner.reports.super_links import choice_document, choice_text

        if self.as_json:
            typer.echo(as_json(choice_document(choice)))
        else:
            typer.echo(choice_text(choice), nl=False)

    def refuse_pictures(self, what: str) -> None:
        """Raises ConfigError when a picture is wanted of something that has none."""
        if self.svg is not None or self.dot is not None:
            raise ConfigError(f"there is no picture of {what}: leave --svg and --dot out")


def _check_place(path: Path) -> None:
    """Said before the planning, not after it."""
    if path.is_dir():
        raise ConfigError("is a folder; name a file", where=str(path))
    if not path.parent.is_dir():
        raise ConfigError("cannot be written: there is no such folder", where=str(path))
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ConfigError("cannot be written: no permission", where=str(path))


def _replace(path: Path, text: str) -> None:
    """Write a file beside its place and move it there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot be written: {error.strerror}", where=str(path)) from None
    finally:
        beside.unlink(missing_ok=True)
