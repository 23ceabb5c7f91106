"""Errors that a user can mend: one screen on stderr that says what, where and what to do next; no traceback."""

import atexit
import errno
import os
import sys
from collections.abc import Callable

from clarifyvlm import machine, processes

# What torch.distributed says in the processes that remain when one of them is gone.
LOST = ("closed by peer", "reset by peer", "Broken pipe", "NCCL", "remote process", "Timed out waiting")

NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)


class UserError(Exception):
    """A mistake in the input, not in the program. The message says what is wrong, where, and what to do next."""


def run_main(main: Callable[[], int | None], *, continues: bool = False) -> None:
    """Run a script's `main()` and leave the process with its exit code.

    0 (or what `main` returns) on success, 2 for a UserError, 1 for a full disk or where another process of the job is
    gone, 130 for Ctrl-C. Other exceptions are faults of the program and keep their traceback. Sets GOMP_SPINCOUNT
    before torch is imported: its threads then spin briefly and sleep, which is fast on an idle CPU and on a busy one.
    Of several processes only the leader prints and shows progress; errors of the others name their process.

    `continues`: the script keeps what it has done, and goes on from there; who stops it is told so.
    """
    machine.settle()
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not processes.is_leader():
        os.environ["TQDM_DISABLE"] = "1"
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (for the life of the process)
    try:
        code = main()
        processes.leave()
    except UserError as error:
        who = "" if processes.is_leader() else f" of process {processes.rank()}"
        print(f"error{who}: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        how = "; what was written so far is kept: the same command, without --overwrite, continues from there"
        print(f"stopped{how if continues else ''}", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `script | head`: the reader left, which is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if processes.count() > 1 and any(sign in str(error) for sign in LOST):
            print(
                f"error: process {processes.rank()} lost another process of the job (killed, or failed: its own message"
                " is above or below). What was written so far is kept: the same command continues from there. "
                f"({str(error).strip().splitlines()[0][:200]})",
                file=sys.stderr,
            )
            sys.exit(1)
        if isinstance(error, OSError) and error.errno in NOT_ALLOWED and error.filename:
            print(
                f"error: {error.filename}: {error.strerror}. Give a place that can be written and read.",
                file=sys.stderr,
            )
            sys.exit(2)
        if not _disk_is_full(error):
            raise
        name = getattr(error, "filename", None)
        where = f" while writing {name}" if name else ""
        print(
            f"error: the disk is full{where}. Every file that was complete is kept, and nothing is torn. "
            f"Free some space and run the same command again{': it continues' if continues else ''}.",
            file=sys.stderr,
        )
        code = 1
    if processes.count() > 1:
        _end(code or 0)
    sys.exit(code or 0)


def _end(code: int) -> None:
    """Leave one process of several without taking Python down: threads of the libraries that are still at work then
    abort the process now and then (SIGABRT, "terminate called"), and with it a job whose work is done."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _disk_is_full(error: Exception) -> bool:
    """Or the most that one may write (a quota, `ulimit -f`) is reached. Also where a library makes another error of it:
    safetensors gives its words, torch's writer misses some bytes."""
    signs = (
        "No space left on device",
        "Disk quota exceeded",
        "File too large",
        "PytorchStreamWriter failed writing",
        "unexpected pos",
    )
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or any(
        s in str(error) for s in signs
    )
