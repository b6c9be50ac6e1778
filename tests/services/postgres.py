"""A PostgreSQL server of a test's own, and a standby of it that may be promoted too early.

Its files are in a temporary directory of the user `postgres`, because the server refuses to run as
root. It listens on loopback and on a Unix socket in that directory, and trusts who comes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final, Self

import pg8000.dbapi

from tests.services.waiting import LOOPBACK, free_port, wait_until

WITHOUT_CERTIFICATES: Final = ("SSL_CERT_FILE", os.devnull)
"""A variable for clients: for each connection pg8000 reads all of the system's certificates, which
takes longer than to connect, and trusts any."""
_USER: Final = "postgres"
_SYSTEM_USER: Final = "postgres"
_START_SECONDS: Final = 60
_STARTS: Final = 5
_ENVIRONMENT: Final = {"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)}
_SETTINGS: Final = """\
listen_addresses = '127.0.0.1'
max_connections = 60
shared_buffers = '16MB'
max_wal_senders = 4
wal_level = replica
hot_standby = on
log_min_messages = warning
"""


def programs() -> Path | None:
    """Return the directory of PostgreSQL's programs, or None if they are not installed."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
        reverse=True,
    )
    on_path = shutil.which("postgres")
    config = shutil.which("pg_config")
    if config is not None:
        asked = subprocess.run([config, "--bindir"], capture_output=True, check=False, text=True)
        installed.append(Path(asked.stdout.strip()) / "postgres")
    candidates = [*installed, *([Path(on_path)] if on_path else [])]
    return next((path.parent for path in candidates if (path.parent / "initdb").is_file()), None)


class PostgresServer:
    """A server that runs as long as the block does.

    Attributes:
        port: Its port on 127.0.0.1.
        socket_directory: Where its Unix socket is.
    """

    def __init__(self, *, fsync: bool = True, of: PostgresServer | None = None) -> None:
        """Prepare a server; `of` is the one that it is made a standby of."""
        found = programs()
        if found is None:
            raise FileNotFoundError(
                "PostgreSQL's programs are not installed: apt install postgresql"
            )
        self._programs = found
        self._fsync = fsync
        self._of = of
        self._closing = contextlib.ExitStack()
        self.port = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as closing:
            self.socket_directory = Path(
                closing.enter_context(
                    tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True)
                )
            )
            if os.getuid() == 0:
                shutil.chown(self.socket_directory, _SYSTEM_USER)
            self._data = self.socket_directory / "data"
            self._make()
            closing.callback(self.stop)
            self.start()
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def url(self) -> str:
        """The URL of the database `postgres`."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{_USER}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database, and return its URL."""
        self.query(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, and cut off those who use it."""
        self.query(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def query(self, statement: str, *, database: str = "postgres") -> list[list[Any]]:
        """Run a statement over the Unix socket, outside of a transaction, and return its rows."""
        connection = pg8000.dbapi.connect(
            user=_USER,
            database=database,
            unix_sock=str(self.socket_directory / f".s.PGSQL.{self.port}"),
            timeout=_START_SECONDS,
            ssl_context=False,
        )
        with contextlib.closing(connection):
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return [list(row) for row in cursor.fetchall()] if cursor.description else []

    def start(self) -> None:
        """Start it, on the port that it had; after `kill` it recovers first."""
        for left in reversed(range(_STARTS)):
            port = self.port or free_port()
            options = f"-p {port} -c unix_socket_directories={self.socket_directory}"
            log = self.socket_directory / "log"
            try:
                self._run(
                    "pg_ctl", "start", "-w", "-t", str(_START_SECONDS), "-D", str(self._data),
                    "-l", str(log), "-o", options,
                )  # fmt: skip
            except RuntimeError as error:
                # Another took the port, or a killed one's processes have not ended yet.
                if not left:
                    raise RuntimeError(f"{error}\n{log.read_text('utf-8')}") from error
            else:
                self.port = port
                return

    def stop(self) -> None:
        """Stop it at once, as `pg_ctl stop -m immediate` does; nothing happens if it is stopped."""
        with contextlib.suppress(RuntimeError):
            self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    def kill(self) -> None:
        """Kill the server by SIGKILL, as the system does when memory runs out."""
        process = int((self._data / "postmaster.pid").read_text("ascii").split()[0])
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: not _runs(process), "the killed server to end")
        wait_until(lambda: not _processes_in(self._data), "the killed server's processes to end")
        # A dead process that nobody buries counts as running for a server that starts.
        (self._data / "postmaster.pid").unlink()
        (self.socket_directory / f".s.PGSQL.{self.port}.lock").unlink(missing_ok=True)

    def standby(self) -> PostgresServer:
        """Return a server that follows this one asynchronously; enter it to start it."""
        return PostgresServer(fsync=self._fsync, of=self)

    def wait_until_caught_up(self) -> None:
        """Wait until this standby has replayed all that its primary has written."""
        if self._of is None:
            raise ValueError("expected a standby, got a primary; call standby() first")
        [[written]] = self._of.query("SELECT pg_current_wal_lsn()::text")
        behind = f"SELECT pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '{written}') >= 0"
        wait_until(lambda: self.query(behind) == [[True]], "the standby to catch up")

    def stop_receiving(self) -> None:
        """Stop this standby's receiver: what is committed from now on it does not get.

        Pausing the replay would not do, since a promotion first replays all that was received.
        """
        self.query("ALTER SYSTEM SET primary_conninfo = ''")
        self.query("SELECT pg_reload_conf()")
        receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
        wait_until(lambda: self.query(receivers) == [[0]], "the receiver to stop")

    def promote(self) -> None:
        """Make this standby a primary, with what it has."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self._data))

    def _make(self) -> None:
        if self._of is None:
            self._run(
                "initdb", "--no-sync", "-A", "trust", "-U", _USER, "-E", "UTF8",
                "--locale=C.UTF-8", "-D", str(self._data),
            )  # fmt: skip
            fsync = f"fsync = {'on' if self._fsync else 'off'}\n"
            with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
                file.write(_SETTINGS + fsync)
        else:
            self._run(
                "pg_basebackup", "--no-sync", "-R", "-X", "stream", "-c", "fast", "-U", _USER,
                "-h", str(self._of.socket_directory), "-p", str(self._of.port),
                "-D", str(self._data),
            )  # fmt: skip

    def _run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as its own user.

        Raises:
            RuntimeError: It failed.
        """
        command = [str(self._programs / program), *arguments]
        if os.getuid() == 0:
            command = ["runuser", "-u", _SYSTEM_USER, "--", *command]
        # A file and no pipe: a server that is started keeps it open.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                check=False,
                cwd="/",
                env=_ENVIRONMENT,
                timeout=2 * _START_SECONDS,
            )
            if done.returncode:
                said.seek(0)
                text = said.read().decode("utf-8", "replace")
                raise RuntimeError(f"{program} ended with {done.returncode}: {text}")


def why_not() -> str | None:
    """Return why no server can be started here, or None if one can."""
    if programs() is None:
        return "PostgreSQL's programs are not installed: apt install postgresql"
    if os.getuid() == 0 and not _exists(_SYSTEM_USER):
        return "PostgreSQL does not run as root: adduser --system postgres"
    return None


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _processes_in(directory: Path) -> list[Path]:
    """Return the processes that work in a directory, as all of a server do."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == directory:
                found.append(link)
    return found


def _runs(process: int) -> bool:
    """Return whether a process runs; one that only waits to be buried does not."""
    try:
        text = Path(f"/proc/{process}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(")")[2].split()[0] != "Z"
