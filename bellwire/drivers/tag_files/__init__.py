"""Files of time tags: every format as blocks of tags in constant memory, and back.

Owns formats, their damage and what each of them cannot keep. Refuses instruments (the drivers beside it) and
counting. `formats.open_tags` opens whatever a file is, `writing.TagWriter` writes; importing this package
imports nothing.
"""
