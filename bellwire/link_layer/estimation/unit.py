"""The fidelity estimation unit of a link (FEU, algorithms.md 10.2): what each operating point gives.

Owns the estimates of all operating points of one link at one end. Refuses qubits, messages and windows. Both
ends estimate from the same tests, but for messages that got lost; where they differ, side 0's counts: it
chooses the operating point, and the attributes of a pair are those of its half (core/facts.py).
"""

from bellwire.core.bell import Cost
from bellwire.core.link_messages import LinkFigures
from bellwire.core.purification import Memories
from bellwire.core.settings import HeraldEstimate, LinkSettings
from bellwire.link_layer.estimation.beliefs import Calibration
from bellwire.link_layer.estimation.counts import CONTRAST_MIN, contrast, expected_parity
from bellwire.link_layer.estimation.operating_point import Candidate, chosen_point
from bellwire.link_layer.estimation.point_estimate import Drift, PointEstimate


def estimation_of(link: LinkSettings, memories: Memories) -> "FidelityEstimation":
    """The unit of a link between two memories of which the lab knows rates and readout."""
    one, two = memories
    return FidelityEstimation(link, (one.rates, two.rates), (one.readout_fidelity, two.readout_fidelity))


class FidelityEstimation:
    """Estimates of one link at one end."""

    def __init__(
        self, link: LinkSettings, rates: tuple[Cost, Cost], readout_fidelities: tuple[float, float]
    ) -> None:
        """rates, readout_fidelities: of the memories at side 0 and side 1."""
        self._rates = rates
        self._readout_fidelities = readout_fidelities
        self.points = tuple(
            PointEstimate(
                link.point(index),
                link.estimation,
                contrast(0, rates, (0, 0), readout_fidelities),
                None if link.points else link.success_error,
            )
            for index in range(max(1, len(link.points)))
        )
        self._heralds = tuple(point.heralds for point in self.points)  # asked for every pair

    def estimate(self, point: int, code: int) -> HeraldEstimate:
        """What a herald code of an operating point is believed to give. Raises KeyError for a code that it
        lacks."""
        return self._heralds[point][code]

    def estimated_at_ns(self, point: int) -> int:
        """When the newest measurement behind `estimate` was made; 0: the lab file's value."""
        return self.points[point].at_ns

    def calibrate(self, point: int, calibration: Calibration, now_ns: int) -> None:
        """A fidelity that was measured outside of the link service replaces the table's."""
        self.points[point].calibrate(calibration, now_ns)

    def tested(
        self,
        point: int,
        frame: int,
        basis: int,
        bits: tuple[int, int],
        waited_ns: tuple[int, int],
        now_ns: int,
    ) -> tuple[bool, Drift | None]:
        """Both bits of a test round in BASES[basis]. waited_ns: from birth to the measurement at each side.

        Returns: whether it counts (too little is left of a pair that waited too long), and a drift that it
        completes.
        """
        left = contrast(basis, self._rates, waited_ns, self._readout_fidelities)
        if left < CONTRAST_MIN:
            return False, None
        error = bits[0] ^ bits[1] != expected_parity(frame, basis)
        return True, self.points[point].tested(frame, basis, error, left, now_ns)

    def waited(self, point: int, attempts: int) -> None:
        """A lane of this operating point made so many attempts up to its herald, which was a test."""
        self.points[point].success.add(attempts)

    def settled(self, point: int, now_ns: int) -> None:
        """A batch of tests of this point is complete: renew its estimates."""
        self.points[point].settled(now_ns)

    def best_fidelity(self) -> float:
        """The highest fidelity that any operating point is assured to give, 0..1."""
        return max(point.assured_fidelity for point in self.points)

    def point_for(self, fidelity_min: float | None, present: int | None) -> int:
        """The operating point for requests of which the most demanding wants `fidelity_min`; None: none
        does. present: the point in force, None: none is."""
        if len(self.points) == 1:
            return 0
        candidates = [
            Candidate(
                point.assured_fidelity, point.interval.high, point.success_probability[0], point.tally.tests
            )
            for point in self.points
        ]
        return chosen_point(candidates, fidelity_min, present)

    def figures(self) -> tuple[LinkFigures, ...]:
        """How fast and how good the link is, at each operating point."""
        return tuple(_figures(number, point) for number, point in enumerate(self.points))


def _figures(number: int, point: PointEstimate) -> LinkFigures:
    success, error = point.success_probability
    low, high = point.interval
    return LinkFigures(
        point=number,
        name=point.name,
        success_probability=success,
        success_error=error,
        fidelity=point.fidelity,
        fidelity_low=low,
        fidelity_high=high,
        measured=0 if point.success.estimate() is None else point.success.waits,
        tested=point.tally.tests,
        at_ns=point.at_ns,
    )
