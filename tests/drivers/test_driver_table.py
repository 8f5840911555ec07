"""One meta-test over all drivers: what each must offer."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from bellwire.drivers import DESCRIPTIONS, DRIVERS
from bellwire.drivers.instrument import Instrument


@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_a_driver_is_complete(name: str) -> None:
    driver = DRIVERS[name]
    assert issubclass(driver, Instrument)
    assert not inspect.isabstract(driver)
    assert driver.model
    assert driver.__doc__
    assert len(DESCRIPTIONS[name]) <= 110
    for method in ("connect", "configure", "safe_state", "supervise", "close"):
        assert inspect.iscoroutinefunction(getattr(driver, method))
    keywords = inspect.signature(driver).parameters
    assert {"serial_number", "backoff", "on_state"} <= keywords.keys()


def test_the_table_and_the_descriptions_name_the_same_drivers() -> None:
    assert DRIVERS.keys() == DESCRIPTIONS.keys()


def test_listing_the_drivers_does_not_import_pyvisa() -> None:
    code = "import sys, bellwire.drivers; sys.exit('pyvisa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
