"""From what a person types for a network to a topology.

Owns the choice between labs, network files and random networks. Refuses formats (planner/sources, labs).
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bellwire.cli.places import STATE, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.planner.topology import Topology

LAB_SUFFIXES: Final = (".yaml", ".yml")


def topology_named(text: str, span_max_km: float | None = None, state: Path = STATE) -> "Topology":
    """The topology of a lab (name or YAML file), a network file, or a random network such as waxman:nodes=50.

    span_max_km: longer edges of plain graphs get repeaters; None: they stay as they are. state: folder whose
    calibrations in force take the place of a lab's figures.

    Raises:
        ConfigError: there is no such network, or something in it is wrong.
    """
    from bellwire.planner.sources.reading import READERS, WAXMAN, parse_waxman, read_topology

    if span_max_km is not None and not 0.0 < span_max_km < float("inf"):
        raise ConfigError(f"--max-span {span_max_km:g} km must be finite and above 0")
    path = Path(text)
    if text.partition(":")[0].strip() == WAXMAN and not path.is_file():
        _refuse_span(text, span_max_km)
        return replace(parse_waxman(text), name=text)
    if path.suffix.lower() in READERS or (path.is_file() and path.suffix.lower() not in LAB_SUFFIXES):
        read = read_topology(path, span_max_km)
        return read if read.name else replace(read, name=path.stem)
    _refuse_span(text, span_max_km)
    return _lab(find_lab(text), state)


def _lab(path: Path, state: Path) -> "Topology":
    from bellwire.cli.calibrated_runs import with_stored_calibrations
    from bellwire.labs import load_lab
    from bellwire.planner.sources.settings import topology_of

    lab = with_stored_calibrations(load_lab(path), state)
    return replace(topology_of(lab.network), name=lab.name)


def _refuse_span(text: str, span_max_km: float | None) -> None:
    if span_max_km is not None:
        raise ConfigError(
            f"--max-span is for graph files without repeaters; {text} has its links as they are"
        )
