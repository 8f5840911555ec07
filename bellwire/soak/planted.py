"""`python -m bellwire.soak.planted NUMBER HISTORIES`: one bug of the list, and what notices it, as JSON.

Owns the planting in this process: the module is compiled from the changed source when it is first imported.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Final

import typer

from bellwire.soak.mutants import MUTANTS, Mutant

PROFILES_TRIED: Final = ("all", "crashes", "messages", "devices", "partitions", "clocks")


class _ChangedSource(importlib.machinery.SourceFileLoader):
    """Loads a module with one line changed."""

    def __init__(self, fullname: str, path: str, mutant: Mutant) -> None:
        super().__init__(fullname, path)
        self._mutant = mutant

    def get_code(self, fullname: str) -> CodeType | None:
        """The changed source, compiled."""
        source = self.get_data(self.path).decode("utf-8")
        if self._mutant.right not in source:
            raise LookupError(f"the line of {self._mutant.name!r} is gone from {fullname}: write it anew")
        changed = source.replace(self._mutant.right, self._mutant.wrong)
        code: CodeType = compile(changed, self.path, "exec")
        return code


class _Planter(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Of the one module; all others are found as ever."""
        if fullname != self._mutant.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        return importlib.util.spec_from_loader(fullname, _ChangedSource(fullname, spec.origin, self._mutant))


def main() -> None:
    """Play until a rule breaks."""
    mutant, histories = MUTANTS[int(sys.argv[1])], int(sys.argv[2])
    if mutant.module in sys.modules:
        raise LookupError(f"{mutant.module} was imported before anything could be planted")
    sys.meta_path.insert(0, _Planter(mutant))
    from bellwire.soak.histories import Case, play

    for number in range(histories):
        profile = PROFILES_TRIED[number % len(PROFILES_TRIED)]
        told = play(Case(seed=number, profile=profile))
        if told.rule is not None:
            found = {"rule": told.rule, "histories": number + 1, "seed": number, "profile": profile}
            typer.echo(json.dumps(found))
            return
    typer.echo(json.dumps({"rule": None, "histories": histories, "seed": None, "profile": None}))


if __name__ == "__main__":
    main()
