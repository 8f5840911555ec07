"""What is wrong with a lab file, one line a problem.

Owns the sentences: file, line, path, what is there, what is allowed, and the nearest known key. Refuses to
validate: it words what pydantic and crosscheck.py found.
"""

import types
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest
from bellwire.labs.document import KeyPath, LabDocument, dotted


class LabProblems(ConfigError):
    """A lab file with problems. The message is the first of `lines`; `check` prints them all."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self.lines = lines
        more = len(lines) - 1
        super().__init__(lines[0] if more == 0 else f"{lines[0]} [and {more} more: bellwire check lists all]")


class ProblemList:
    """Collects problems of one file in the order of its lines."""

    def __init__(self, document: LabDocument) -> None:
        self._document = document
        self._found: list[tuple[int, str]] = []

    def add(self, path: KeyPath, problem: str) -> None:
        """A problem at a path (keys and list positions)."""
        self._found.append((self._document.line_near(path), f"{self._document.where(path)}: {problem}"))

    def __len__(self) -> int:
        return len(self._found)

    def raise_if_any(self) -> None:
        """Raises LabProblems when anything was added."""
        if self._found:
            raise LabProblems(tuple(text for _, text in sorted(self._found, key=lambda found: found[0])))


def add_schema_errors(problems: ProblemList, errors: list[ErrorDetails], schema: type[BaseModel]) -> None:
    """Word what pydantic found."""
    for error in errors:
        path = _without_union_branches(error["loc"], schema)
        problems.add(path, _sentence(error, path, schema))


def _sentence(error: ErrorDetails, path: KeyPath, schema: type[BaseModel]) -> str:
    kind, given = error["type"], error["input"]
    limits: dict[str, Any] = error.get("ctx", {})
    if kind == "extra_forbidden":
        owner = _model_at(path[:-1], schema)
        known = _keys(owner) if owner is not None else []
        return f'unknown key "{path[-1]}"{nearest(str(path[-1]), known)}'
    if kind == "missing" and isinstance(path[-1], int):
        return f"the list is too short: entry {path[-1] + 1} is missing"
    if kind == "missing":
        return f'the key "{path[-1]}" is missing in {dotted(path[:-1]) or "the file"}'
    if kind == "value_error":
        return str(limits["error"])
    text = isinstance(given, str)
    hint = "; write the bare number, the unit is part of the key" if text and given[:1].isdigit() else ""
    expected = {
        "float_type": f"must be a number{hint}",
        "int_type": f"must be a whole number{hint}",
        "bool_type": "must be true or false",
        "string_type": "must be text (quote it)",
        "tuple_type": "must be a list [ ... ]",
        "dict_type": "must be a mapping of names to sections",
        "model_type": "must be a mapping of keys to values",
        "model_attributes_type": "must be a mapping of keys to values",
        "finite_number": "must be a finite number",
        "literal_error": f"must be {limits.get('expected')}",
        "greater_than": f"must be above {limits.get('gt')}",
        "greater_than_equal": f"must be at least {limits.get('ge')}",
        "less_than": f"must be below {limits.get('lt')}",
        "less_than_equal": f"must be at most {limits.get('le')}",
        "too_short": f"must have at least {limits.get('min_length')} entries",
        "too_long": f"must have at most {limits.get('max_length')} entries",
        "string_pattern_mismatch": f"must look like {_pattern_in_words(path)}",
    }.get(kind, error["msg"][:1].lower() + error["msg"][1:])
    return f"{expected}, is {_shown(given)}"


def _pattern_in_words(path: KeyPath) -> str:
    if path[-1] == "address":
        return "tcp://127.0.0.1:PORT or ipc://PATH"
    return "a name of letters, digits and _ . - /"


def _shown(given: object) -> str:
    if isinstance(given, str):
        return f'"{given}"' if len(given) <= 40 else f'"{given[:37]}..."'
    if isinstance(given, dict):
        return "a mapping"
    if isinstance(given, tuple):
        return f"a list of {len(given)}"
    return "empty" if given is None else str(given).lower() if isinstance(given, bool) else str(given)


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _without_union_branches(location: tuple[int | str, ...], schema: type[BaseModel]) -> KeyPath:
    # pydantic names the branch of a union ("str", "int") as a last step; the file has no such key.
    if location and location[-1] == "[key]":  # the key itself is wrong, not what stands there
        return location[:-1]
    if location and location[-1] in ("str", "int") and _model_at(location[:-1], schema) is None:
        return location[:-1]
    return location


def _model_at(path: KeyPath, schema: type[BaseModel]) -> type[BaseModel] | None:
    """The section that stands at a path, or None where a plain value stands."""
    here: Any = schema
    for step in path:
        here = _plain(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            field = next((f for n, f in here.model_fields.items() if (f.alias or n) == step), None)
            if field is None:
                return None
            here = field.annotation
        elif get_origin(here) is dict:
            here = get_args(here)[1]
        elif get_origin(here) is tuple:
            here = get_args(here)[0]
        else:
            return None
    here = _plain(here)
    return here if isinstance(here, type) and issubclass(here, BaseModel) else None


def _plain(annotation: Any) -> Any:
    """The annotation without `Annotated` and without `| None`."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        options = [option for option in get_args(annotation) if option is not type(None)]
        return _plain(options[0]) if len(options) == 1 else annotation
    return annotation
