"""Scripted changes of a link: how much dimmer or noisier than its first truth it is from a moment on.

Owns the change as physics. Refuses time and whom it is told: nobody is (host.py keeps the appointments).
"""

from bellwire.core.errors import LocalMisuse
from bellwire.core.photonics import HeraldOutcome, HeraldPhysics
from bellwire.simulator_backend.world_words import LinkTruth


def changed(truth: LinkTruth, success_factor: float, noise: float) -> tuple[HeraldPhysics, ...]:
    """What each operating point gives after a change, by number.

    success_factor: of the success probability of an attempt, which stays at most 1. noise: share of white
    noise that every heralded state is mixed with, 0..1: a fidelity F becomes (1 - noise) F + noise/4.
    """
    if success_factor < 0.0 or not 0.0 <= noise <= 1.0:
        raise LocalMisuse(f"link {truth.name}: success x {success_factor}, noise {noise}; need >= 0, 0..1")
    return tuple(
        HeraldPhysics(
            min(1.0, success_factor * physics.success_probability),
            tuple(_noisy(outcome, noise) for outcome in physics.outcomes),
        )
        for physics in truth.physics
    )


def _noisy(outcome: HeraldOutcome, noise: float) -> HeraldOutcome:
    a, b, c, d = ((1.0 - noise) * part + 0.25 * noise for part in outcome.state)
    return HeraldOutcome(outcome.code, outcome.share, (a, b, c, d))
