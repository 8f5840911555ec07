"""Reading lab files: text to a checked lab, or one line a problem.

Owns the order of checks (YAML, schema, cross references, physics) and the JSON Schema for editors. Refuses
conversion (lab.py) and wording (problems.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.labs.calibrated import as_frozen
from bellwire.labs.crosscheck import cross_check
from bellwire.labs.document import dotted, read_document
from bellwire.labs.lab import Lab, build_lab, file_of_document
from bellwire.labs.models import LabFile
from bellwire.labs.problems import ProblemList, add_schema_errors
from bellwire.labs.stores import with_demand
from bellwire.labs.tunings import tuned


def load_lab(path: str | Path, live: bool = False) -> Lab:
    """The lab of a YAML file. `live`: for a host on the wall clock (emulated or real instruments).

    Raises:
        ConfigError: one line `file:line (path.to.key): problem`; as LabProblems it carries a line for every
        problem.
    """
    document = read_document(Path(path))
    problems = ProblemList(document)
    try:
        file = LabFile.model_validate(document.values)
    except ValidationError as invalid:
        add_schema_errors(problems, invalid.errors(include_url=False), LabFile)
        problems.raise_if_any()
        raise  # not reached: an invalid file has at least one problem
    file = tuned(file, Path(path).parent, problems)
    file = with_demand(file, Path(path).parent, problems)
    cross_check(file, problems)
    problems.raise_if_any()
    try:
        return build_lab(file, path=str(path), live=live)
    except LocalMisuse as impossible:
        # Values that are fine one by one but not together, for example no photon and no dark count at all.
        problems.add((), str(impossible))
        problems.raise_if_any()
        raise


def lab_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of lab files, for completion in editors."""
    schema: dict[str, Any] = LabFile.model_json_schema(by_alias=True)
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, **schema, "title": "bellwire lab file"}


def lab_from_document(document: Mapping[str, Any], *, path: str | None = None, live: bool = False) -> Lab:
    """The lab of a canonical configuration, as `Lab.document` gave it and a run directory keeps it, with the
    calibrations of that time.

    Raises:
        ConfigError: it is not one, or of another version of bellwire.
    """
    try:
        file = file_of_document(document)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        problem = f"{dotted(first['loc'])}: {first['msg']}"
    except (KeyError, TypeError) as broken:
        problem = f"{type(broken).__name__}: {broken}"
    else:
        return as_frozen(build_lab(file, path=path, live=live), document, where=path)
    raise ConfigError(f"not a configuration of this version ({problem})", where=path)
