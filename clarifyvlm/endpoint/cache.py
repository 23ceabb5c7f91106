"""Replies of endpoints on disk: what was asked once, word for word, is not paid for again.

One SQLite file, safe for several processes on one machine (its write-ahead log needs a local disk). Only replies that
could be used are in it; failures are asked again.
"""

import hashlib
import json
import sqlite3
import sys
import threading
from pathlib import Path

from clarifyvlm.errors import UserError

FILE = "replies.sqlite3"
WAIT_S = 60.0  # for another process's write


def key_of(**parts) -> str:
    """The key of a call: a hash of everything that its reply depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class ReplyCache:
    """key -> reply. Thread-safe. UserError when the file cannot be opened, written or is no cache."""

    def __init__(self, folder: str | Path, role: str = "judge", must: bool = True):
        """`role`: whose replies they are, and how the flag for `folder` begins. `must` False: nobody asked for this
        folder, so what goes wrong with it is said once, and nothing is kept from then on."""
        self.role, self.must = role, must
        self.path = Path(folder) / FILE
        self._lock, self._failed = threading.Lock(), False
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last replies, not the file
            self._db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)")
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def get(self, key: str) -> str | None:
        row = self._do("SELECT reply FROM replies WHERE key = ?", key)
        return row[0] if row else None

    def put(self, key: str, reply: str) -> None:
        self._do("INSERT OR REPLACE INTO replies VALUES (?, ?)", key, reply)

    def __str__(self) -> str:
        (count,) = self._do("SELECT count(*) FROM replies") or (0,)
        if self._db is None:
            return "no replies are kept"
        return f"{self.path}: {count:,} replies, {self.path.stat().st_size / 2**20:.1f} MiB"

    def _do(self, statement: str, *values) -> tuple | None:
        if self._db is None:
            return None
        try:
            with self._lock:
                return self._db.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        what = (
            f"the {self.role}'s cache {self.path} cannot be used: {error}. Delete it, or give another "
            f"--{self.role}_cache_dir (on a local disk){', or --no_judge_cache' if self.role == 'judge' else ''}."
        )
        if self.must:
            raise UserError(what) from error
        if not self._failed:
            print(f"{what} Until then every reply is asked for and paid anew.", file=sys.stderr)
        self._db, self._failed = None, True
