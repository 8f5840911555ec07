"""The live page: a lab that is up, as people see and operate it in a browser.

Owns the model of what is shown (pure: answers of agents in, rows and drawings out), its parts in the browser,
the sessions of people, and what they may order. Refuses judgement of its own about links and calibrations,
which the command line and the API have already, and everything that is not from this computer: the browser
is given no address but the server's.
"""
