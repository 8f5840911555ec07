"""Control sockets that their processes could not take away themselves."""

import socket
import tempfile
from pathlib import Path

import pytest

from bellwire.runtime.control import ControlServer, ask, socket_path, take_away_dead


def listening(path: Path) -> socket.socket:
    """As a process listens, until it is killed: closing leaves the path behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.mark.parametrize("deep", [False, True], ids=["beside the state", "in the temporary folder"])
def test_a_socket_at_which_nobody_listens_is_taken_away_and_one_in_use_is_not(deep: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="bw") as folder:  # a short path, wherever the tests run
        looked_at(Path(folder) / ("x" * 120 if deep else "s"), deep)


def looked_at(state: Path, deep: bool) -> None:
    path = socket_path(state, "supervisor")
    assert path.is_relative_to(state) is not deep
    with listening(path):
        take_away_dead(path)
        assert path.exists()
    assert path.exists()
    take_away_dead(path)
    assert not path.exists()
    assert path.parent.exists() is not deep
    take_away_dead(path)  # of which nothing is left


async def test_the_folder_in_the_temporary_one_goes_with_its_last_socket(tmp_path: Path) -> None:
    state = tmp_path / ("y" * 120)
    servers = [ControlServer(socket_path(state, name), {}) for name in ("ann", "bob")]
    for server in servers:
        await server.start()
    folder = socket_path(state, "ann").parent
    assert folder.parent == Path(tempfile.gettempdir())
    await servers[0].close()
    assert folder.exists()
    with pytest.raises(Exception, match="unknown command"):
        await ask(state, "bob", "anything")
    await servers[1].close()
    assert not folder.exists()
