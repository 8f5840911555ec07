"""One lab that is up, and one server beside it, for all tests that do not disturb either."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from bellwire.client import Client
from tests.northbound.serving import RunningLab, Served, lab_up, served, token


@dataclass(frozen=True, slots=True)
class Tokens:
    """One of each role, and a second operator."""

    viewer: str
    operator: str
    other: str
    admin: str


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    with lab_up(tmp_path_factory.mktemp("northbound")) as running:
        yield running


@pytest.fixture(scope="session")
def tokens(lab: RunningLab) -> Tokens:
    return Tokens(
        viewer=token(lab.state, "watcher", "viewer"),
        operator=token(lab.state, "experiment", "operator"),
        other=token(lab.state, "another", "operator"),
        admin=token(lab.state, "keeper", "admin"),
    )


@pytest.fixture(scope="session")
def server(lab: RunningLab, tokens: Tokens) -> Iterator[Served]:
    with served(lab, "--failures-per-s", "1000", "--submissions-per-s", "1000") as running:
        yield running


@pytest.fixture(scope="session")
def alone(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose agents do not run, open on loopback, with the usual limits but for submissions."""
    state = tmp_path_factory.mktemp("alone")
    with served(lab, "--open-on-loopback", "--submissions-per-s", "2", state=state) as running:
        yield running


@pytest.fixture
def client(server: Served, tokens: Tokens) -> Iterator[Client]:
    with Client(server.url, tokens.operator) as made:
        yield made
