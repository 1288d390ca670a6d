"""Counts the books again from the records on the bus, with code that shares nothing with services.

Pure: fed with records, it says what does not hold (docs/promises.md, section 4). `count.py` brings
the families of invariants together; reading the bus is the caller's.
"""
