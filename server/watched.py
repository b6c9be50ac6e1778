"""Files that change while the server runs: read again when they do, the last good content kept.

Invariants:
- A new content that cannot be read replaces nothing: it is logged, and `lottery_stale_files` is 1
  until the files are good again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import prometheus_client
import structlog

from lottery.durable import states_of

_Content = TypeVar("_Content")

_stale = prometheus_client.Gauge(
    "lottery_stale_files",
    "Whether files have changed and cannot be used, so that their former content is.",
    labelnames=("what",),
)


class Watched(Generic[_Content]):
    """The content of files, read again when one of them changes.

    Args:
        what: What the files are, for the log and the metric.
        files: The files.
        read: Reads them.

    Raises:
        OSError: A file cannot be read.
        ValueError: What it holds cannot be used.
    """

    def __init__(self, what: str, files: Sequence[Path], read: Callable[[], _Content]) -> None:
        self._what = what
        self._files = files
        self._read = read
        self._lock = Lock()
        self._seen = states_of(files)
        self._content = read()
        self._log = structlog.get_logger()
        _stale.labels(what).set(0)

    def current(self) -> _Content:
        """Return the content, after a look whether a file has changed."""
        # A file is looked at before it is read: what changes in between is read the next time.
        now = states_of(self._files)
        if now != self._seen:
            with self._lock:
                if now != self._seen:
                    self._take()
                    self._seen = now
        return self._content

    def _take(self) -> None:
        try:
            self._content = self._read()
        except (OSError, ValueError) as error:
            _stale.labels(self._what).set(1)
            self._log.error("kept the former", what=self._what, problem=str(error))
        else:
            _stale.labels(self._what).set(0)
            self._log.info("read again", what=self._what)
