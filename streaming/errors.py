"""What can go wrong between a record and its effects, and who must act on it."""


class StreamingError(Exception):
    """The base of all errors of the runtime."""


class BusUnavailableError(StreamingError):
    """The bus did not answer, or its answer is in doubt: wait, then take over again."""


class StoreUnavailableError(StreamingError):
    """The store did not answer, or its answer is in doubt: wait, then take over again."""


class FencedError(StreamingError):
    """A newer owner has the partition: change nothing more and leave."""


class BehindError(StreamingError):
    """The store is not where its owner left it: take over again."""


class HaltError(StreamingError):
    """The partition must not go on until a person has looked: the message says what to do."""


class UnreadableError(HaltError):
    """A record of a service cannot be read. `place` says which: TOPIC PARTITION/OFFSET."""

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class UnshownError(StreamingError):
    """A record cannot be made a part of the read models: a defect. `place` says which it is."""

    def __init__(self, place: str) -> None:
        super().__init__(f"showing {place} failed")
        self.place = place


class SettingError(StreamingError):
    """A setting cannot be; the message names it and the remedy."""
