"""The lock that keeps two runs out of one folder, by a file in it. It ends with its process, however that ends."""

import fcntl
import os
import sys
from pathlib import Path

from clarifyvlm.errors import UserError

_HELD: set[int] = set()  # handles of the locks of this process


def _let_go() -> None:
    """In a forked worker: a lock that it held along would outlive a killed run, and keep the next one out."""
    for handle in _HELD:
        os.close(handle)
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)


def take(path: Path, output: Path) -> int:
    """The handle of the lock. UserError where another run has it; on a disk without locks a warning."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 32).decode() or "unknown"
            os.close(handle)
            raise UserError(
                f"another run (process {holder}) is writing to {output}. Wait for it, or give another place."
            ) from None
        except OSError as error:
            print(f"{output}: the disk has no locks ({error.strerror}); start no second run there", file=sys.stderr)
        try:  # the file may have been unlinked by its last holder between open and lock
            if os.fstat(handle).st_ino == os.stat(path).st_ino:
                os.truncate(handle, 0)
                os.write(handle, str(os.getpid()).encode())
                _HELD.add(handle)
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def release(handle: int, path: Path) -> None:
    path.unlink(missing_ok=True)
    _HELD.discard(handle)
    os.close(handle)
