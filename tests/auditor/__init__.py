"""A second opinion: counts from a play file alone what must follow by `docs/rules.md`.

Written from the text of the rules, by hand, and importing nothing of this project, so that what it
shares with the services is the text. It is plain where they are fast: one state, one event after
the other, everything settled in between. What comes out has the words of `pfdo export` and
`pfdo inputs`:

    python -m tests.auditor examples/autumn.jsonl

It reads well-formed events only; what is no event at all is the business of other tests.
"""
