"""Parts of the page in the browser: each a small Python face and, where the browser has work, a script.

Owns how rows, forms and times look and behave. Refuses content: they show what they are given.
"""
