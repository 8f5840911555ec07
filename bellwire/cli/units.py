"""`bellwire units [LAB NODE]`: the systemd unit that keeps an agent, filled in for one node or as a template.

Owns the text of the unit; deploy/systemd holds it as files. Refuses to install anything.
"""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from bellwire.cli.exits import INTERRUPTED, WRONG_INPUT
from bellwire.cli.places import find_lab
from bellwire.core.errors import ConfigError
from bellwire.core.registry import nearest

STATE = "/var/lib/bellwire"
LAB = "/etc/bellwire/lab.yaml"
PROGRAM = "/opt/bellwire/bin/bellwire"
START_LIMIT = (10, 300)
"""Starts within so many seconds, after which systemd gives up and says so."""

_HARDENED = f"""\
# A wrong file, key or instrument does not mend itself: no restart on exit code {WRONG_INPUT}.
Restart=on-failure
RestartSec=2
RestartPreventExitStatus={WRONG_INPUT}
SuccessExitStatus={INTERRUPTED}
KillSignal=SIGTERM
TimeoutStopSec=20

User=bellwire
Group=bellwire
StateDirectory=bellwire
StateDirectoryMode=0700
UMask=0077

# Instruments: serial adapters and USB; nothing else of the computer.
SupplementaryGroups=dialout
DevicePolicy=closed
DeviceAllow=char-ttyS rw
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyACM rw
DeviceAllow=char-usb_device rw
DeviceAllow=char-pts rw
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""

_AGENT = """\
# The agent of one node or station: systemctl enable --now bellwire-node@NAME
[Unit]
Description=bellwire agent of {name}
Documentation=man:systemd.service(5)
# Runs of a link begin on whole seconds of the computer's clock.
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitBurst={burst}
StartLimitIntervalSec={interval_s}

[Service]
Type=exec
ExecStart={program} node {lab} {name} --state {state}
{hardened}
[Install]
WantedBy=multi-user.target
"""

_LAB = """\
# A whole lab on one computer, kept by `bellwire up`: systemctl enable --now bellwire-lab
[Unit]
Description=bellwire lab
Documentation=man:systemd.service(5)
Wants=network-online.target time-sync.target
After=network-online.target time-sync.target
StartLimitBurst={burst}
StartLimitIntervalSec={interval_s}

[Service]
Type=exec
ExecStart={program} up {lab} --no-submit --state {state}
{hardened}
[Install]
WantedBy=multi-user.target
"""


def agent_unit(name: str = "%i", *, program: str = PROGRAM, lab: str = LAB, state: str = STATE) -> str:
    """The unit of one agent; `%i` is the template's instance."""
    burst, interval_s = START_LIMIT
    return _AGENT.format(
        name=name,
        program=program,
        lab=lab,
        state=state,
        burst=burst,
        interval_s=interval_s,
        hardened=_HARDENED,
    )


def lab_unit(*, program: str = PROGRAM, lab: str = LAB, state: str = STATE) -> str:
    """The unit of a whole lab."""
    burst, interval_s = START_LIMIT
    return _LAB.format(
        program=program, lab=lab, state=state, burst=burst, interval_s=interval_s, hardened=_HARDENED
    )


def units(
    lab: Annotated[
        str | None, typer.Argument(metavar="[LAB]", help="Lab file; default: the template.")
    ] = None,
    node: Annotated[
        str | None,
        typer.Argument(metavar="[NODE]", help="Of the lab; default: the whole lab on one computer."),
    ] = None,
    program: Annotated[
        Path | None, typer.Option("--program", metavar="FILE", help="Default: the bellwire that you call.")
    ] = None,
) -> None:
    """Print the systemd unit of an agent, with this computer's paths filled in. Redirect it to
    /etc/systemd/system/bellwire-node@NODE.service."""
    if lab is None:
        typer.echo(agent_unit(), nl=False)
        return
    from bellwire.labs import load_lab

    path = find_lab(lab).absolute()
    loaded = load_lab(path, live=True)
    if node is not None and node not in loaded.addresses:
        raise ConfigError(f'no agent is called "{node}"{nearest(node, loaded.addresses)}', where=lab)
    called = str(program or shutil.which("bellwire") or Path(sys.executable).with_name("bellwire"))
    if any(" " in word for word in (called, str(path))):
        raise ConfigError("systemd wants paths without blanks here", where=f"{called} {path}")
    text = (
        lab_unit(program=called, lab=str(path))
        if node is None
        else agent_unit(node, program=called, lab=str(path))
    )
    typer.echo(text, nl=False)
