"""Floor 3, the virtual host: runs the same node machines in virtual time against a hidden world.

Owns the event heap, the world's physics, chance drawn by key, and the emulated instruments in `devices`.
Refuses protocol decisions, wall-clock time, and any import from the live host.
"""
