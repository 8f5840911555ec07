"""What a link gives, learnt from test rounds and heralds: fidelity, success probability, drift, best point.

Owns the fidelity estimation unit of a link (algorithms.md 10.2, FEU) and its mathematics. Refuses qubits and
messages: test rounds themselves are check_rounds.py, one floor up.
"""
