"""Plants one fault in the source of a module and puts the faulty classes where the good ones are used."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bellwire.core.errors import LocalMisuse, PeerViolation


def plant(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType, *changes: tuple[str, str]) -> None:
    """Replace text (each `old` occurs exactly once) and swap all classes and functions all over bellwire."""
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    for old, new in changes:
        assert source.count(old) == 1, f"{old!r} occurs {source.count(old)} times in {module.__name__}"
        source = source.replace(old, new)
    faulty = types.ModuleType(f"{module.__name__}_with_fault")
    monkeypatch.setitem(sys.modules, faulty.__name__, faulty)
    exec(compile(source, module.__file__, "exec"), faulty.__dict__)
    originals = {
        name: thing
        for name, thing in vars(module).items()
        if isinstance(thing, (type, types.FunctionType)) and thing.__module__ == module.__name__
    }
    for user in [m for n, m in sys.modules.items() if n.startswith("bellwire") and m is not faulty]:
        for name, thing in originals.items():
            if vars(user).get(name) is thing:
                monkeypatch.setattr(user, name, getattr(faulty, name))


def noticed_by(cases: Sequence[Callable[[], None]]) -> str | None:
    """Name of the first directed case that fails with what is planted now; None when no case does."""
    for case in cases:
        try:
            case()
        except (AssertionError, IndexError, KeyError, ValueError, LocalMisuse, PeerViolation):
            return case.__name__
    return None


def assert_harmless_changes_pass(
    monkeypatch: pytest.MonkeyPatch, module: types.ModuleType, cases: Sequence[Callable[[], None]]
) -> None:
    """The directed cases fail because of faults, and not because something was planted at all."""
    plant(monkeypatch, module)
    assert noticed_by(cases) is None
