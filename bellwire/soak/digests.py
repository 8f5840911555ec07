"""`python -m bellwire.soak.digests PROFILE SEED...`: digests of histories, as JSON, from another process.

Owns nothing else: another process hashes strings otherwise, and whatever depends on that shows.
"""

import json
import sys

import typer

from bellwire.soak.histories import Case, play

if __name__ == "__main__":
    profile, *seeds = sys.argv[1:]
    typer.echo(json.dumps({seed: play(Case(seed=int(seed), profile=profile)).digest for seed in seeds}))
