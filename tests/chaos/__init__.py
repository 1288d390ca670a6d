"""The whole system under fire: real processes, a real Kafka, real Redis, and faults by a seed.

    python -m tests.chaos --seed 7 --events 3000 --faults 20 --minutes 4

plays a story (`story.py`) into an installation of processes and servers of its own
(`installation.py`), strikes by a schedule (`faults.py`), waits until everything has settled and
counts the promises (`invariants.py`). A fault that was not seen to have struck makes the run void.
"""
