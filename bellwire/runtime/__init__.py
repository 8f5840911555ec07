"""Floor 3, the live host: runs node machines on asyncio, ZeroMQ and real or emulated instruments.

Owns the clock, the bus, durable stores, the binding of device orders to drivers, and logs. Refuses
protocol decisions, and refuses to import the virtual host, which mirrors it file for file.
"""
