"""How we talk to Redis and Valkey: no client-side retries, own functions, errors by name.

Used by the Redis store and by the embedded bus. redis-py repeats timed-out commands up to ten
times unless it is told not to; here nothing that may have had an effect is ever repeated.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import orjson
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from streaming.errors import SettingError, StreamingError
from streaming.store import Room
from streaming.valkey import EmbeddedValkey, ValkeyUnavailableError

Argument: TypeAlias = bytes | str | int

SOCKET_TIMEOUT_SECONDS = 5.0
GATHERED_COMMANDS_MAX = 500
ASKED_ARGUMENTS_MAX = 2_000
"""Lua takes some thousands of arguments for one command, not any number."""
VERSION_MIN = 7

# Errors that go away by waiting, or that leave open what became of the command.
_SURROUNDINGS = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.InvalidResponse,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)
_DENIED = (exceptions.AuthenticationError, exceptions.NoPermissionError)
_SURROUNDINGS_CODES = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "UNKILLABLE", "LOADING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who we are where the URL does not say it; `ca` in PEM, for rediss:// URLs."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)


NOBODY = Login()


class FunctionLibrary:
    """Functions of a Lua file, loaded under names that carry the hash of its text.

    So a server that has the name has these very functions, and two versions of the code can work
    side by side during an upgrade.
    """

    def __init__(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        self._version = hashlib.sha256(text.encode()).hexdigest()[:12]
        self._library = f"pfdo_{file.stem}_{self._version}"
        # One line in front, not two: the line numbers of errors are those of the file.
        self._code = f"#!lua name={self._library}\nlocal VERSION = '{self._version}'; {text}"

    def name(self, function: str) -> str:
        """Return the name under which the server knows the function."""
        return f"{function}_{self._version}"

    async def load(self, client: Redis) -> None:
        """Load the functions unless they are there."""
        known = await _sent(client, "FUNCTION", "LIST", "LIBRARYNAME", self._library, "WITHCODE")
        if self._code not in _texts(known):
            await _sent(client, "FUNCTION", "LOAD", "REPLACE", self._code)


@dataclass(frozen=True, slots=True)
class _Question:
    commands: Sequence[Sequence[Argument]]
    answers: asyncio.Future[list[Any]]


class RedisClient:
    """A client of one server, given by its URL, or of an embedded one, which it keeps running.

    With `asks_at_once` the library has a function `ask`, which answers many commands as one.

    Raises `unavailable` when there is no answer or its meaning is in doubt. Errors that are
    defects propagate.
    """

    def __init__(
        self,
        server: str | EmbeddedValkey,
        library: FunctionLibrary | None,
        unavailable: type[StreamingError],
        *,
        login: Login = NOBODY,
        connections_max: int = 16,
        keeps_server: bool = True,
        asks_at_once: bool = False,
    ) -> None:
        self._server = server
        self._library = library
        self._unavailable = unavailable
        self._login = login
        self._connections_max = connections_max
        self._keeps_server = keeps_server
        self._asks_at_once = asks_at_once
        # Who comes too many waits: redis-py would refuse him.
        self._turns = asyncio.Semaphore(connections_max)
        self._client: Redis | None = None
        self._lost = False
        self._questions: list[_Question] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect and load the functions. Raises SettingError if the server cannot be used."""
        try:
            if isinstance(self._server, EmbeddedValkey):
                await self._start_server(self._server)
            self._client = self._new_client()
            await self._check_version()
            await self._load()
        except BaseException:
            await self.stop()
            raise

    async def _start_server(self, server: EmbeddedValkey) -> None:
        try:
            await server.start()
        except ValkeyUnavailableError as error:
            raise self._unavailable(str(error)) from error

    async def stop(self) -> None:
        """Let go of connections and of the embedded server. Never hangs."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(exceptions.RedisError, OSError):
                await client.aclose()
        if self._keeps_server and isinstance(self._server, EmbeddedValkey):
            await self._server.stop()

    def sibling(self) -> "RedisClient":
        """Return a started client with one connection of its own, for calls that block.

        It does not keep the server running: this one must outlive it.
        """
        sibling = RedisClient(
            self._server,
            self._library,
            self._unavailable,
            login=self._login,
            connections_max=1,
            keeps_server=False,
        )
        sibling._client = sibling._new_client()
        return sibling

    async def execute(self, *command: Argument) -> Any:
        """Send one command and return its answer as it came over the wire."""
        client = await self._ready()
        try:
            async with self._turns:
                return await _sent(client, *command)
        except exceptions.RedisError as error:
            raise self._translated(error) from error

    async def execute_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Send several reading commands in one round trip and return their answers."""
        return self._whole(await self._asked(commands))

    async def gather_all(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        """Do the same in the company of others: for who asks many small questions and decides none.

        Whatever is asked in the same turn of the event loop shares round trips: a page asks dozens
        of questions, and each trip costs more than its answers.
        """
        question = _Question(commands, asyncio.get_running_loop().create_future())
        self._questions.append(question)
        if len(self._questions) == 1:
            trip = asyncio.create_task(self._ask())
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)
        return self._whole(await question.answers)

    async def room(self) -> Room:
        """Return how much memory the server holds, and its `maxmemory`."""
        info: bytes = await self.execute("INFO", "memory")
        return Room(int(_told(info, "used_memory")), int(_told(info, "maxmemory")))

    def _whole(self, answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer, exceptions.RedisError):
                raise self._translated(answer) from answer
        return answers

    async def _ask(self) -> None:
        """Send what was asked meanwhile, and hand out the answers."""
        questions, self._questions = self._questions, []
        try:
            # One after the other: they wait for the same server.
            for trip in _trips(questions):
                await self._travel(trip)
        finally:
            # Of a trip that was cancelled nobody may wait for those after it.
            for question in questions:
                question.answers.cancel()

    async def _travel(self, questions: Sequence[_Question]) -> None:
        try:
            answers = iter(await self._asked([c for each in questions for c in each.commands]))
        except BaseException as error:
            for question in questions:
                if not question.answers.done():
                    question.answers.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for question in questions:
            own = list(islice(answers, len(question.commands)))
            if not question.answers.done():
                question.answers.set_result(own)

    async def _asked(self, commands: Sequence[Sequence[Argument]]) -> list[Any]:
        client = await self._ready()
        try:
            async with self._turns:
                if self._is_asked_at_once(commands):
                    assert self._library is not None
                    name = self._library.name("ask")
                    try:
                        answers: list[Any] = await _sent(
                            client, "FCALL", name, 0, orjson.dumps(commands)
                        )
                    except exceptions.ResponseError as error:
                        # Who may only read may not load it; who writes will.
                        if not _is_missing(error):
                            raise
                    else:
                        return answers
                pipeline = client.pipeline(transaction=False)
                for command in commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute(raise_on_error=False)
        except exceptions.RedisError as error:
            raise self._translated(error) from error

    def _is_asked_at_once(self, commands: Sequence[Sequence[Argument]]) -> bool:
        """As one command with one answer it takes a fifth of the CPU that fifty commands take."""
        return (
            self._asks_at_once
            and len(commands) > 1
            and max(map(len, commands)) <= ASKED_ARGUMENTS_MAX
        )

    async def call(
        self, function: str, keys: Sequence[Argument], arguments: Sequence[Argument]
    ) -> Any:
        """Call one of our functions. If the server has lost it, nothing ran: load and call."""
        assert self._library is not None, "a client without functions calls none"
        command = ("FCALL", self._library.name(function), len(keys), *keys, *arguments)
        client = await self._ready()
        try:
            async with self._turns:
                return await _sent(client, *command)
        except exceptions.ResponseError as error:
            if not _is_missing(error):
                raise self._translated(error) from error
        except exceptions.RedisError as error:
            raise self._translated(error) from error
        await self._load()
        return await self.execute(*command)

    async def _ready(self) -> Redis:
        if self._lost and isinstance(self._server, EmbeddedValkey):
            try:
                await self._server.ensure_running()
            except ValkeyUnavailableError as error:
                raise self._unavailable(str(error)) from error
        self._lost = False
        # It may have been closed meanwhile.
        if self._client is None:
            raise self._unavailable("the connection is closed")
        return self._client

    async def _check_version(self) -> None:
        assert self._client is not None
        try:
            info: bytes = await _sent(self._client, "INFO", "server")
        except exceptions.RedisError as error:
            # While connecting, the refusal is wrapped into a ConnectionError.
            if isinstance(error, _DENIED) or isinstance(error.__cause__, _DENIED):
                raise SettingError(
                    f"Redis refuses us ({error}): check user, password (or its file), permissions."
                ) from error
            raise self._translated(error) from error
        # Valkey says here which Redis it is like.
        version = _told(info, "redis_version")
        if int(version.split(".", maxsplit=1)[0]) < VERSION_MIN:
            raise SettingError(
                f"This is Redis {version}, which has no functions: take {VERSION_MIN}.0 or newer,"
                " or Valkey."
            )

    async def _load(self) -> None:
        client = await self._ready()
        if self._library is None:
            return
        try:
            async with self._turns:
                await self._library.load(client)
        except exceptions.NoPermissionError:
            # Who may only read needs none: whoever writes loads them.
            return
        except exceptions.RedisError as error:
            raise self._translated(error) from error

    def _translated(self, error: exceptions.RedisError) -> Exception:
        if isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError):
            self._lost = True
        code = str(error).split(" ", 1)[0]
        if isinstance(error, _SURROUNDINGS) or code in _SURROUNDINGS_CODES:
            return self._unavailable(f"{type(error).__name__}: {error}")
        return error

    def _new_client(self) -> Redis:
        options: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": SOCKET_TIMEOUT_SECONDS,
            "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
            "max_connections": self._connections_max,
            "protocol": 2,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        if isinstance(self._server, EmbeddedValkey):
            client = Redis(unix_socket_path=str(self._server.socket_path), **options)
        else:
            # What the URL says itself wins.
            options |= {"username": self._login.username, "password": self._login.password}
            if self._server.startswith("rediss:"):
                options |= {"ssl_ca_data": self._login.ca}
            client = Redis.from_url(self._server, **options)
        # Answers as they come over the wire: redis-py would reshape some of them.
        client.response_callbacks.clear()
        return client


async def _sent(client: Redis, *command: Argument) -> Any:
    return await client.execute_command(*command)  # type: ignore[no-untyped-call]


def _trips(questions: Sequence[_Question]) -> Iterator[list[_Question]]:
    """Yield questions in their order, as many as one trip may take, and at least one."""
    trip: list[_Question] = []
    commands = 0
    for question in questions:
        if trip and commands + len(question.commands) > GATHERED_COMMANDS_MAX:
            yield trip
            trip, commands = [], 0
        trip.append(question)
        commands += len(question.commands)
    if trip:
        yield trip


def _is_missing(error: exceptions.ResponseError) -> bool:
    return "Function not found" in str(error)


def _told(info: bytes, name: str) -> str:
    """Return a value of what INFO says."""
    return info.decode().partition(f"\n{name}:")[2].partition("\r\n")[0]


def _texts(answer: Any) -> set[str]:
    """Return all texts in a nested answer."""
    if isinstance(answer, bytes):
        return {answer.decode(errors="replace")}
    if isinstance(answer, list):
        return set().union(*(_texts(each) for each in answer))
    return set()
