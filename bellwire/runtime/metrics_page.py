"""The metrics of one agent, or of a lab, for a Prometheus server.

Owns the page and the small server of one agent, which listens on this computer only, because it asks nobody
who he is; the metrics of the whole lab are behind the tokens of `bellwire serve`. Refuses the text format,
which is prometheus-client's, and to read a machine from another thread than its own.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from bellwire.core.errors import ConfigError

ANSWER_S: Final = 5.0
"""A loop that does not tell its readings within this is stuck; the scrape fails, which is the truth."""


class _Families:
    """What prometheus-client calls a collector: families made anew for each scrape."""

    def __init__(self, make: "Callable[[], Iterable[Any]]") -> None:
        self._make = make

    def collect(self) -> "Iterator[Any]":
        yield from self._make()


def page(families: "Iterable[Any]") -> tuple[bytes, str]:
    """The text of these families, and its content type."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_LATEST

    registry = CollectorRegistry(auto_describe=False)
    kept = list(families)
    registry.register(_Families(lambda: kept))
    return generate_latest(registry), CONTENT_TYPE_LATEST


def address_of(text: str) -> tuple[str, int]:
    """HOST:PORT, HOST being of this computer.

    Raises:
        ConfigError: it is not that.
    """
    host, _, port = text.rpartition(":")
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
        number = int(port)
    except ValueError:
        raise ConfigError(f'--metrics "{text}" is no address: write it as 127.0.0.1:9470') from None
    if not loopback:
        raise ConfigError(
            f"--metrics {text} is beyond this computer, and nobody would be asked who he is: "
            "listen on 127.0.0.1, or take /metrics of `bellwire serve`"
        )
    if not 0 <= number <= 65_535:
        raise ConfigError(f"--metrics {text}: {number} is no port (0 to 65535)")
    return host.strip("[]"), number


class AgentMetrics:
    """The server of one agent: a thread that asks the loop for readings."""

    def __init__(self, address: str, readings: "Callable[[], dict[str, Any]]") -> None:
        """Listens at once; to be made in the loop that `readings` is called in.

        Raises:
            ConfigError: prometheus-client is missing, or the address is wrong or in use.
        """
        host, port = address_of(address)
        try:
            from prometheus_client import CollectorRegistry, start_http_server
        except ModuleNotFoundError as missing:
            raise ConfigError("--metrics needs prometheus-client: pip install 'bellwire[serve]'") from missing
        self._loop = asyncio.get_running_loop()
        self._readings = readings
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(self._families))
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as problem:
            raise ConfigError(f"--metrics {address} cannot be listened at: {problem.strerror}") from problem
        self.port = int(self._server.server_port)

    def close(self) -> None:
        """Stop listening; an open scrape ends without an answer from the loop."""
        self._server.shutdown()
        self._server.server_close()

    def _families(self) -> "Iterable[Any]":
        from bellwire.runtime.metric_families import agent_metrics

        async def read() -> dict[str, Any]:
            return self._readings()

        told = asyncio.run_coroutine_threadsafe(read(), self._loop).result(ANSWER_S)
        return agent_metrics({told["node"]: told})
