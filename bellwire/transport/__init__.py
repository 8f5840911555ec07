"""The transport layer of the stack: serves a request from arrival to its one final report.

Owns request processing in batches, execution monitoring with corrective actions, pre-distribution and
delivery. Refuses to compute plans (the planner does) and to operate qubits (the node's slots do).
"""
