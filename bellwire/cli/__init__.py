"""Floor 4: the command line, where people meet bellwire.

Owns the commands, their tables and their exit codes. Refuses protocol logic, and refuses heavy imports at
the top of a file: `bellwire --help` answers before numpy would have loaded.
"""
