"""The looks of `bellwire doctor` at what surrounds a lab: software, ports, calibrations, the clock.

Owns these looks. Refuses to connect to instruments (`bellwire check --connect`).
"""

import re
import socket
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING

from bellwire.cli.doctor_words import Finding

if TYPE_CHECKING:
    from bellwire.labs import Lab

PYTHON = ((3, 11), (3, 14))
"""From, and below, as the package says."""
ERROR_MAX_NS = 100_000_000


def look_at_software() -> Iterator[Finding]:
    """Python, and the libraries that bellwire needs."""
    here = sys.version_info[:2]
    if not PYTHON[0] <= here < PYTHON[1]:
        yield Finding(
            "error",
            f"Python {here[0]}.{here[1]} is not one that bellwire runs on",
            "sys.version",
            "uv python install 3.12",
        )
    try:
        needed = requires("bellwire") or []
    except PackageNotFoundError:
        needed = []
    yield from look_at_libraries(needed)


def look_at_libraries(needed: list[str]) -> Iterator[Finding]:
    """`needed`: as a package names its requirements; those of extras are skipped."""
    for text in needed:
        found = re.match(r"[A-Za-z0-9._-]+", text)
        if found is None or "extra ==" in text:
            continue
        name, lowest = found.group(), re.search(r">=\s*([0-9.]+)", text)
        try:
            present = version(name)
        except PackageNotFoundError:
            yield Finding(
                "error", f"{name} is not installed", "the packages of this Python", f"pip install '{text}'"
            )
            continue
        if lowest is not None and _numbers(present) < _numbers(lowest.group(1)):
            yield Finding(
                "warning",
                f"{name} {present} is older than {lowest.group(1)}, which bellwire was tested with",
                "the packages of this Python",
                f"pip install '{text}'",
            )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def look_at_ports(lab: "Lab", answering: set[str]) -> Iterator[Finding]:
    """Ports of agents that do not run here, and that somebody else has."""
    for name, address in lab.addresses.items():
        place = re.fullmatch(r"tcp://(.+):(\d+)", lab.listens.get(name, address))
        if name in answering or place is None:
            continue
        host, port = place.group(1).strip("[]"), int(place.group(2))
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind(("" if host == "*" else host, port))
        except OSError as problem:
            if problem.errno != 98:  # EADDRINUSE; an address of another computer is that one's affair
                continue
            yield Finding(
                "error",
                f"port {port} of {host}, where {name} listens, is taken by another process",
                "trying to bind it while no agent of that name answers here",
                f"ss -ltnp 'sport = :{port}' names it; end it, or move {name} in the lab file",
            )


def look_at_calibrations(lab: str, loaded: "Lab", state: Path) -> Iterator[Finding]:
    """Required calibrations that are not in force, and others that have run out."""
    from bellwire.calibration.records import Outcome
    from bellwire.calibration.standing import age_in_words, expires_ns, measured, standing
    from bellwire.calibration.store import store_in
    from bellwire.core.errors import ConfigError, DeviceFault
    from bellwire.labs.calibrated import required_calibrations

    store, now_ns = store_in(state), time.time_ns()
    for link in loaded.network.links:
        required = required_calibrations(loaded, link)
        try:
            records = store.decisive(link)
        except (DeviceFault, ConfigError) as problem:
            remedy = f"bellwire restore {lab} BACKUP --force --state {state}"
            yield Finding("error", f"calibrations cannot be read: {problem}", "the store", remedy)
            return
        remedy = f"bellwire calibrate {lab} {link} --state {state}"
        for reason in () if not required else standing(link, records, required, now_ns).reasons:
            yield Finding("error", f"{link} may not be used: {reason}", "the calibration store", remedy)
        for procedure in sorted({one.procedure for one in records} - set(required)):
            last = measured(one for one in records if one.procedure == procedure)
            if last is not None and last.outcome is Outcome.PASSED and not last.in_date(now_ns):
                ago = age_in_words(now_ns - expires_ns(last))
                yield Finding(
                    "warning",
                    f"{procedure} of {link} is out of date since {ago}: planners use the lab file's figures",
                    "the calibration store",
                    remedy,
                )


def look_at_clock(lab: "Lab") -> Iterator[Finding]:
    """Whether anybody keeps the clock, and how far it may be off. Alone on one computer nobody needs that."""
    from bellwire.runtime.bus_words import is_loopback
    from bellwire.runtime.system_clock import system_clock

    clock = system_clock()
    alone = all(is_loopback(address) for address in lab.addresses.values())
    if clock is None or (clock.synchronised and clock.error_max_ns <= ERROR_MAX_NS):
        return
    error_ms = clock.error_max_ns / 1e6
    what = (
        f"the clock of this computer is kept by nobody (the kernel allows for {error_ms:.0f} ms)"
        if not clock.synchronised
        else f"the clock of this computer may be off by {error_ms:.0f} ms"
    )
    yield Finding(
        "note" if alone else "error",
        f"{what}; {'all agents here share it' if alone else 'runs begin on whole seconds of it'}",
        "adjtimex",
        "sudo timedatectl set-ntp true; then: chronyc tracking",
    )
