"""Planted faults: each changes one decision, and named tests must catch it.

`mutations.toml` is the list; `python -m tests.mutations` replays it.
"""
