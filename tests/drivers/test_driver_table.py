"""What every driver must offer, and that listing them costs nothing."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from bellwire.core.errors import ConfigError
from bellwire.drivers import cards, load_driver
from bellwire.drivers.instrument import Instrument
from bellwire.drivers.roles import ROLES

NAMES = sorted(card.name for card in cards().values() if card.is_installed())


@pytest.mark.parametrize("name", NAMES)
def test_a_driver_is_complete(name: str) -> None:
    driver = load_driver(name, where="test")
    assert issubclass(driver, Instrument)
    assert not inspect.isabstract(driver)
    assert driver.model
    assert driver.__doc__
    for method in ("connect", "configure", "safe_state", "supervise", "close"):
        assert inspect.iscoroutinefunction(getattr(driver, method))
    keywords = inspect.signature(driver).parameters
    assert {"serial_number", "backoff", "on_state"} <= keywords.keys()


@pytest.mark.parametrize("name", NAMES)
def test_a_driver_has_the_methods_of_its_roles(name: str) -> None:
    card = cards()[name]
    assert card.roles
    for role in card.roles:
        missing = [
            member
            for member in dir(ROLES[role])
            if not member.startswith("_") and not hasattr(card.load(), member)
        ]
        assert not missing, f"{name} plays {role} without {missing}"


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_of_a_driver_has_its_methods(name: str) -> None:
    driver = load_driver(name, where="test")
    names = [parameter.name for parameter in driver.parameters]
    assert len(names) == len(set(names))
    for parameter in driver.parameters:
        assert parameter.read or parameter.write
        for method in (parameter.read, parameter.write):
            assert method is None or inspect.iscoroutinefunction(getattr(driver, method))
        assert parameter.kind not in {"switch", "choice", "text"} or not parameter.unit
        if parameter.write and parameter.kind in {"number", "integer"}:
            assert parameter.low is not None
            assert parameter.high is not None


def test_an_unknown_driver_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="thorlabs_tc200"):
        load_driver("thorlabs_tc20", where="lab.yaml")


def test_listing_the_drivers_imports_neither_pyvisa_nor_zmq_nor_numpy() -> None:
    code = (
        "import sys, bellwire.drivers as d; d.cards(); "
        "sys.exit(any(name in sys.modules for name in ('pyvisa', 'zmq', 'numpy', 'serial')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_of_drivers_is_what_the_registry_says() -> None:
    script = Path(__file__).parents[2] / "scripts" / "driver_docs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
