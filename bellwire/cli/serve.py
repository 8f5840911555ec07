"""`bellwire serve`: the northbound API and the live page beside a running lab.

Owns the command. Refuses the server (bellwire.northbound), the page (bellwire.page) and everything heavy
before it runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bellwire.cli.places import STATE, LabArgument, StateOption, find_lab
from bellwire.core.errors import ConfigError

if TYPE_CHECKING:
    from bellwire.northbound.service import Northbound
    from bellwire.page.site import LivePage

PORT = 8470


def serve(
    lab: LabArgument,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = PORT,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; beyond loopback only with TLS.")
    ] = "127.0.0.1",
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="Of the server, with its chain, PEM.")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option("--private-key", metavar="FILE", help="Of the certificate, PEM.")
    ] = None,
    client_authorities: Annotated[
        Path | None,
        typer.Option(
            "--client-authorities",
            metavar="FILE",
            help="Let in only clients with a certificate of these, beside their token.",
        ),
    ] = None,
    open_on_loopback: Annotated[
        bool, typer.Option("--open-on-loopback", help="Ask nobody on this computer for a token.")
    ] = False,
    submissions_per_s: Annotated[
        int, typer.Option("--submissions-per-s", min=1, help="Of one token; more get 429.")
    ] = 50,
    calls_per_s: Annotated[
        int, typer.Option("--calls-per-s", min=1, help="Of one token, submissions included.")
    ] = 500,
    failures_per_s: Annotated[
        int, typer.Option("--failures-per-s", min=1, help="Without a valid token, of one address.")
    ] = 10,
    body_bytes_max: Annotated[
        int, typer.Option("--body-bytes-max", min=1024, help="Larger bodies get 413.")
    ] = 65_536,
    key_store: Annotated[
        Path | None,
        typer.Option(
            "--key-store",
            metavar="DIR",
            help="Deliver the keys of `bellwire app bbm92 --store DIR` by ETSI GS QKD 014.",
        ),
    ] = None,
    with_page: Annotated[
        bool, typer.Option("--page/--no-page", help="Serve the live page at / as well.")
    ] = True,
    state: StateOption = STATE,
) -> None:
    """Serve the northbound API and the live page of a lab that is up, until Ctrl-C."""
    import asyncio

    from bellwire.cli.logs import logs_on_stderr
    from bellwire.labs import load_lab

    try:
        from bellwire.northbound.agents import ControlAgents
        from bellwire.northbound.key_store import KeyStore
        from bellwire.northbound.service import Limits, Northbound
        from bellwire.northbound.serving import Tls, listening
        from bellwire.northbound.serving import serve as serve_api
    except ModuleNotFoundError as missing:
        raise ConfigError(f"{missing.name} is missing: pip install 'bellwire[serve]'") from missing

    if (certificate is None) != (private_key is None):
        raise ConfigError("--certificate and --private-key go together")
    if client_authorities is not None and certificate is None:
        raise ConfigError("--client-authorities goes with --certificate")
    tls = None
    if certificate is not None and private_key is not None:
        tls = Tls(certificate, private_key, client_authorities)
    loaded = load_lab(find_lab(lab), live=True)
    listener = listening(host, port, tls, open_on_loopback=open_on_loopback)

    keys = None if key_store is None else KeyStore(key_store)

    async def run() -> None:
        service = Northbound(
            lab=loaded,
            state_dir=state,
            agents=ControlAgents(state),
            open_on_loopback=open_on_loopback,
            keys=keys,
            limits=Limits(
                submissions_per_s=submissions_per_s,
                calls_per_s=calls_per_s,
                failures_per_s=failures_per_s,
                body_bytes_max=body_bytes_max,
            ),
        )
        if not open_on_loopback and not service.tokens.listing():
            typer.echo(f"no token yet: bellwire tokens new NAME --role operator --state {state}", err=True)
        page = _page(service) if with_page else None
        await serve_api(
            service, listener, tls, lambda url: typer.echo(f"{loaded.name} is served at {url}"), page
        )

    try:
        with listener, logs_on_stderr():
            asyncio.run(run())
    finally:
        if keys is not None:
            keys.close()
    typer.echo("stopped", err=True)


def _page(service: "Northbound") -> "LivePage":
    try:
        from bellwire.page.site import LivePage
    except ModuleNotFoundError as missing:
        raise ConfigError(f"{missing.name} is missing: pip install 'bellwire[serve]'") from missing
    return LivePage(service)
