"""Tuning files: what a search found for one route, as a lab's request can name it (`tuning:`).

Owns the file. Refuses the search (study/tuning.py): a node needs the generation mode and the tree, nothing
else; the other values say where they come from.
"""

from pathlib import Path

import msgspec
import yaml

from bellwire.core.errors import ConfigError
from bellwire.core.ids import NodeId
from bellwire.core.record import Word
from bellwire.labs.models import LabFile
from bellwire.labs.problems import ProblemList


class Tuning(Word, frozen=True, kw_only=True):
    """The choice for one route. Rates are those of the model of a route; errors are standard errors."""

    route: tuple[NodeId, ...]
    mode: str  # generation mode with all weights
    tree: str  # the strongest fixed tree, which is also the default tree of the mode
    rate_hz: float  # predicted
    rate_error_hz: float
    tree_rate_hz: float  # of the strongest fixed tree at full speed
    tree_rate_error_hz: float
    matched_rate_hz: float  # of the rate-matched tree: least latency by eq. 1, links throttled
    matched_rate_error_hz: float
    bound_hz: float  # no policy can do more, with unlimited memory
    deliveries: int  # simulated in the search
    seed: int

    @property
    def gain(self) -> float:
        """Over the strongest fixed tree, as a ratio."""
        return self.rate_hz / self.tree_rate_hz


def write_tuning(tuning: Tuning, path: Path) -> None:
    """Write it as YAML.

    Raises:
        ConfigError: it cannot be written there.
    """
    try:
        path.write_text(yaml.safe_dump(msgspec.to_builtins(tuning), sort_keys=False, width=100), "utf-8")
    except OSError as problem:
        raise ConfigError(f"cannot be written: {problem.strerror}", where=str(path)) from None


def read_tuning(path: Path) -> Tuning:
    """Read a tuning file.

    Raises:
        ConfigError: it is not there, or is none.
    """
    try:
        return msgspec.convert(yaml.safe_load(path.read_text("utf-8")), Tuning, strict=False)
    except OSError as problem:
        raise ConfigError(f"cannot be read: {problem.strerror}", where=str(path)) from None
    except (yaml.YAMLError, msgspec.ValidationError) as problem:
        raise ConfigError(
            f"is no tuning file ({problem}): make one with `bellwire tune`", where=str(path)
        ) from None


def tuned(file: LabFile, folder: Path, problems: ProblemList) -> LabFile:
    """The lab file with what its tuning files say in the place of their names, so that it needs them no
    more."""
    requests = list(file.requests)
    for index, request in enumerate(requests):
        if request.tuning is None:
            continue
        try:
            tuning = read_tuning(folder / request.tuning)
        except ConfigError as problem:
            problems.add(("requests", index, "tuning"), str(problem))
            continue
        if (tuning.route[0], tuning.route[-1]) != (request.source, request.target):
            ends = f"{tuning.route[0]} to {tuning.route[-1]}"
            problems.add(
                ("requests", index, "tuning"), f"is for {ends}, not {request.source} to {request.target}"
            )
            continue
        said = {"mode": tuning.mode, "tree": tuning.tree, "route": tuning.route, "tuning": None}
        requests[index] = request.model_copy(update=said)
    return file.model_copy(update={"requests": tuple(requests)})
