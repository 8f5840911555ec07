"""Two squeezed sources at a splitter in Fock space, with qutip: the judge of our closed forms."""

import numpy as np
import qutip


def fock_patterns(lam, overlap, transmittance, dim):
    """Threshold patterns (idler A, c, d, idler B) of two squeezed sources at a splitter, by state vectors.

    Modes: idler A, c, d, idler B, and c and d once more for the second temporal mode. B's photon is in the
    first temporal mode with amplitude sqrt(overlap). The state is a power series of creation operators, each
    sent through the splitter: a -> sqrt(T) c + sqrt(R) d, b -> sqrt(R) c - sqrt(T) d.
    """
    raising = [
        qutip.tensor([qutip.create(dim) if k == m else qutip.qeye(dim) for k in range(6)]).to("csr")
        for m in range(6)
    ]
    idler_a, c, d, idler_b, c2, d2 = raising
    t, r = np.sqrt(transmittance), np.sqrt(1.0 - transmittance)
    pairs_a = idler_a * (t * c + r * d)
    pairs_b = idler_b * (np.sqrt(overlap) * (r * c - t * d) + np.sqrt(1.0 - overlap) * (r * c2 - t * d2))
    amplitude = np.sqrt(lam / (1.0 + lam))
    made = qutip.tensor([qutip.basis(dim, 0)] * 6)
    total = made * 0.0
    for n in range(dim):
        other = made
        for m in range(dim - n):
            total = total + amplitude ** (n + m) / (fact(n) * fact(m)) * other
            other = pairs_b * other
        made = pairs_a * made
    numbers = np.indices((dim,) * 6).reshape(6, -1)
    chances = np.abs(total.unit().full().ravel()) ** 2
    fired = [numbers[0] > 0, numbers[1] + numbers[4] > 0, numbers[2] + numbers[5] > 0, numbers[3] > 0]
    index = sum(np.asarray(one, dtype=int) << k for k, one in enumerate(fired))
    return np.bincount(index, weights=chances, minlength=16)


def fact(n):
    return float(np.prod(np.arange(1, n + 1)))
