"""The distributed-entanglements layer of the stack: turns a request into plans that nodes accept.

Owns topology, swapping and purification trees, the level-based linear programme, fusion plans, plan
dispatch and its messaging. Refuses to execute a plan and to read a ledger other than through queries.
"""
