"""The network calendar: who may use which resource when, as leases that end, and the frame made of them.

Pure: time comes in as an argument. bookings.py owns leases, frames.py the slots of a cycle and what a link
needs of them, admission.py which requests get how many, regions.py who decides that.
"""
