"""The suite that bellwire ships for real instruments, on the emulated ones."""

from bellwire.testing.driver_suite import *  # noqa: F403
