"""The northbound API: entanglement as a service over HTTP, beside a running lab.

Owns the server: resources, tokens, limits, what it must not forget. Refuses protocol and the life of a
request, which are the agents'; it asks them (agents.py) and remembers what they have told. The words of the
API are the client's (bellwire.client.words).
"""
