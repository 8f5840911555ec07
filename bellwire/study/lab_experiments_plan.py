"""From what was typed to an experiment: keys and values read, every combination checked, the route found.

Owns the checks, so that nothing starts that would fail half-way for a reason that was known before. Refuses
to ask a running lab anything.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from bellwire.core.errors import ConfigError, LocalMisuse
from bellwire.core.plans import EntanglementRequest
from bellwire.core.registry import nearest
from bellwire.core.units import ns_from_s
from bellwire.labs import Lab, build_lab, load_lab
from bellwire.labs.crosscheck import cross_check
from bellwire.labs.document import KeyPath, LabDocument, read_document
from bellwire.labs.models import LabFile
from bellwire.labs.problems import LabProblems, ProblemList, add_schema_errors
from bellwire.labs.tunings import tuned
from bellwire.planner.plans import compute_plan, predict
from bellwire.study.lab_experiments import END_TO_END, Combination, LabExperiment, Mode, Target
from bellwire.study.lab_experiments_devices import PREFIX, parse_device_scan
from bellwire.study.sweeps_keys import Variation, parse_variation, with_value

POINTS_MAX: Final = 10_000
REPETITIONS_MAX: Final = 10_000
PAIRS_MAX: Final = 65_535
"""As many as one CREATE may ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was typed. None: not said."""

    settings: Sequence[str]  # KEY=A,B
    mode: Mode = "virtual"
    swaps: Sequence[bool] = (True,)
    repetitions: int = 5
    pairs: int | None = None
    duration_s: float | None = None
    request: str | None = None
    seed: int | None = None
    settle_s: float = 0.2
    random_order: bool = False


def plan_experiment(path: Path, asked: Asked) -> LabExperiment:
    """The experiment; all that can be known to be wrong is refused here.

    Raises:
        ConfigError: a lab, key, value, number or combination that is not right.
    """
    live = asked.mode != "virtual"
    lab = load_lab(path, live=live)
    _check_numbers(asked)
    request = _request(lab, asked)
    if live:
        _check_place(lab, asked.mode)
    typed = [(text, text.strip().startswith(PREFIX)) for text in asked.settings]
    scans = tuple(parse_variation(text, lab.document) for text, device in typed if not device)
    device_scans = tuple(parse_device_scan(text, lab) for text, device in typed if device)
    if device_scans and not live:
        raise ConfigError(
            f"{device_scans[0].key} is an instrument's setting, and in virtual time there are none: "
            "add --mode emulated or --mode live"
        )
    if scans and asked.mode == "live":
        raise ConfigError(
            f"{scans[0].key} is a key of the lab file, which a lab that is up has read before: scan it with "
            "--mode emulated, or scan instrument settings (device:OWNER-NAME.PARAMETER=A,B)"
        )
    _check_overlap([one.path for one in scans], [one.key for one in device_scans])
    settings = tuple(itertools.product(*(one.values for one in device_scans)))
    count = len(settings)
    for one in scans:
        count *= len(one.values)
    if count > POINTS_MAX:
        raise ConfigError(f"{count} points are more than {POINTS_MAX}: scan fewer values")
    combinations = _combinations(path, lab, scans, request.request_id, asked)
    return LabExperiment(
        mode=asked.mode,
        path=path,
        lab=lab,
        scans=scans,
        device_scans=device_scans,
        combinations=combinations,
        settings=settings,
        swaps=tuple(asked.swaps),
        repetitions=asked.repetitions,
        pairs=asked.pairs,
        duration_s=asked.duration_s,
        seed=lab.seed if asked.seed is None else asked.seed,
        settle_s=asked.settle_s,
        random_order=asked.random_order,
    )


def _check_numbers(asked: Asked) -> None:
    if not 1 <= asked.repetitions <= REPETITIONS_MAX:
        raise ConfigError(f"{asked.repetitions} repetitions are outside 1..{REPETITIONS_MAX}")
    if asked.pairs is not None and asked.duration_s is not None:
        raise ConfigError("--pairs and --duration both say when a repetition ends: give one of them")
    if asked.pairs is not None and not 1 <= asked.pairs <= PAIRS_MAX:
        raise ConfigError(f"{asked.pairs} pairs are outside 1..{PAIRS_MAX}")
    if asked.duration_s is not None and not 0.0 < asked.duration_s < float("inf"):
        raise ConfigError(f"a duration of {asked.duration_s:g} s: give a number of seconds above 0")
    if not 0.0 <= asked.settle_s < float("inf"):
        raise ConfigError(f"{asked.settle_s:g} s to settle: give 0 or more")
    if asked.seed is not None and asked.seed < 0:
        raise ConfigError(f"seed {asked.seed}: give 0 or more")


def _request(lab: Lab, asked: Asked) -> EntanglementRequest:
    if not lab.requests:
        raise ConfigError(
            "this lab has no requests: an experiment measures what one of them gets", where=lab.path
        )
    if asked.request is None:
        request = lab.requests[0]
    else:
        found = lab.request(asked.request)
        if found is None:
            known = [one.request_id for one in lab.requests]
            raise ConfigError(f'no request "{asked.request}" in the lab{nearest(asked.request, known)}')
        request = found
    if request.entanglement_type != "bipartite":
        raise ConfigError(
            f"request {request.request_id} is for states of {len(request.target_nodes)} nodes, and an "
            "experiment counts pairs: name another one with --request"
        )
    return request


def _check_place(lab: Lab, mode: Mode) -> None:
    silent = [name for name in lab.network.nodes if name not in lab.addresses]
    if silent:
        raise ConfigError(
            f"{', '.join(silent)}: no address, so this lab runs with --mode virtual only", where=lab.path
        )
    real = [one.address for one in lab.instruments if not one.emulated]
    real += [one.address for one in lab.equipment if not one.emulated]
    if mode == "emulated" and real:
        raise ConfigError(
            f"{len(real)} instruments are real ({real[0]}): bring the lab up with `bellwire up` and use "
            "--mode live",
            where=lab.path,
        )


def _check_overlap(paths: Sequence[KeyPath], devices: Sequence[str]) -> None:
    for one, other in itertools.combinations(paths, 2):
        if one == other[: len(one)] or other == one[: len(other)]:
            raise ConfigError(f"--set {'.'.join(map(str, one))} is given twice, or holds another one")
    for key in devices:
        if devices.count(key) > 1:
            raise ConfigError(f"--set {key} is given twice")


# ---- combinations


def _combinations(
    path: Path, lab: Lab, scans: Sequence[Variation], request_id: str, asked: Asked
) -> tuple[Combination, ...]:
    document = read_document(path)
    found: list[Combination] = []
    for values in itertools.product(*(one.values for one in scans)):
        said = ", ".join(f"{one.key}={value}" for one, value in zip(scans, values, strict=True))
        try:
            changed = _with_values(document.values, scans, values)
            made = _checked(changed, document, live=lab.live) if scans else lab
        except LabProblems as problems:
            raise ConfigError(f"with {said}: {problems.lines[0]}") from None
        request = made.request(request_id)
        if request is None:
            raise ConfigError(f'with {said}: the lab has no request "{request_id}" any more')
        request = with_terms(request, asked.pairs, asked.duration_s)
        try:
            targets = tuple(targets_of(made, request, asked.swaps))
        except ConfigError as problem:
            raise ConfigError(f"with {said}: {problem}" if said else str(problem)) from None
        combination = Combination(
            values=values,
            document=_with_absolute_tunings(changed, path.parent),
            lab=made,
            request=request,
            targets=targets,
        )
        found.append(combination)
    return tuple(found)


def _with_values(
    values: Mapping[str, Any], scans: Sequence[Variation], chosen: Sequence[Any]
) -> dict[str, Any]:
    changed = dict(values)
    for scan, value in zip(scans, chosen, strict=True):
        try:
            changed = with_value(changed, scan.path, value)
        except (TypeError, IndexError):  # a position in a list that the file leaves to its default
            raise ConfigError(
                f"{scan.key} stands in a list that the lab file does not write out: write it there"
            ) from None
    return changed


def _checked(values: dict[str, Any], document: LabDocument, *, live: bool) -> Lab:
    problems = ProblemList(document)
    try:
        file = LabFile.model_validate(values)
    except ValidationError as invalid:
        add_schema_errors(problems, invalid.errors(include_url=False), LabFile)
        problems.raise_if_any()
        raise  # not reached: an invalid file has at least one problem
    file = tuned(file, document.path.parent, problems)
    cross_check(file, problems)
    problems.raise_if_any()
    try:
        return build_lab(file, path=str(document.path), live=live)
    except LocalMisuse as impossible:
        problems.add((), str(impossible))
        problems.raise_if_any()
        raise


def _with_absolute_tunings(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A lab file that is written elsewhere finds the tunings that lie beside the first one."""
    changed = values
    for number, request in enumerate(values.get("requests") or ()):
        tuning = request.get("tuning")
        if tuning is not None:
            changed = with_value(changed, ("requests", number, "tuning"), str((folder / tuning).absolute()))
    return changed


def with_terms(
    request: EntanglementRequest, pairs: int | None, duration_s: float | None
) -> EntanglementRequest:
    """The request with another end; with neither it ends as the lab file says."""
    if pairs is not None:
        return msgspec.structs.replace(request, count=pairs, duration_ns=None)
    if duration_s is not None:
        return msgspec.structs.replace(
            request, count=None, duration_ns=ns_from_s(duration_s), deadline_ns=None
        )
    return request


def targets_of(lab: Lab, request: EntanglementRequest, swaps: Sequence[bool]) -> list[Target]:
    """What is measured of a request.

    Raises:
        ConfigError: it has no plan, so there is no route, and nothing would be delivered.
    """
    plan = compute_plan(lab.network, request, 1)
    if isinstance(plan, str):
        raise ConfigError(f"request {request.request_id} has no plan: {plan}")
    found: list[Target] = []
    if True in swaps:
        found.append(
            Target(
                name=END_TO_END, swap=True, predicted_rate_hz=plan.rate_hz, predicted_fidelity=plan.fidelity
            )
        )
    if False not in swaps:
        return found
    seen: set[str] = set()
    for route in plan.nodes[request.target_nodes[0]].routes:
        for source, partner in pairwise(route):
            for part in plan.nodes[source].links:
                if part.partner != partner or part.link in seen:
                    continue
                seen.add(part.link)
                alone = EntanglementRequest(
                    request_id=request.request_id,
                    target_nodes=(source, partner),
                    count=1,
                    route=(source, partner),
                    fidelity_threshold=part.fidelity_min,
                )
                promised = predict(lab.network, alone)
                known = None if isinstance(promised, str) else promised
                found.append(
                    Target(
                        name=part.link,
                        swap=False,
                        link=part.link,
                        source=source,
                        partner=partner,
                        fidelity_min=part.fidelity_min,
                        predicted_rate_hz=None if known is None else known.rate_hz,
                        predicted_fidelity=None if known is None else known.fidelity,
                    )
                )
    return found
