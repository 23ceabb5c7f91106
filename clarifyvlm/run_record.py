"""run.json beside every output: arguments, commit, versions, input hashes, status and counts; and the lock that
keeps two runs out of one folder."""

import ast
import datetime
import glob
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from clarifyvlm import __version__, locks, processes
from clarifyvlm.errors import UserError
from clarifyvlm.jsonl import write_text_atomic

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "pillow", "openai")
ALWAYS_IGNORED = ("config", "overwrite", "redo", "output_dir", "output_file")
ROOT = Path(__file__).resolve().parents[1]
# How names begin of what a complete run may lose: hidden files, checkpoints on the way, what trackers wrote.
PASSING = (".", "checkpoint-", "tensorboard", "trackio", "wandb")
MAX_SHOWN = 20  # changed settings named in one message
KEPT = ".replaced"  # folder of what --redo replaced
FILE_SUFFIXES = (".jsonl", ".json")  # of outputs that are one file; others are folders
WHOLE_FILE_BYTES = 256 * 2**20  # larger files are hashed by size, head and tail
CHECKPOINT_SUFFIXES = (".safetensors", ".json", ".jinja", ".model", ".txt", ".bin")
LOGS = ("run.json", "trainer_state.json", "all_results.json", "train_results.json", "eval_results.json")


class RunRecord:
    """The record of one run. Use `with RunRecord.start(...) as run:`, look at `run.complete`, end with `run.finish()`.

    Without `finish` (an exception, a kill) the status stays `running`, and the same command continues. Of several
    processes the leader has the lock and writes; the others wait in `start` for what it found.
    """

    def __init__(
        self,
        output: Path,
        record_path: Path,
        content: dict,
        complete: bool,
        lock: int | None,
        lock_path: Path,
        anew: bool = False,
    ):
        self.output = output
        self.path = record_path
        self.content = content
        self.complete = complete  # everything asked for is there already
        self.anew = anew  # what an earlier run left was deleted, or put away
        self._lock, self._lock_path = lock, lock_path
        self._began = time.monotonic()

    @classmethod
    def start(
        cls,
        output: str | Path,
        stage: str,
        args: dict,
        inputs: Iterable[str | Path] = (),
        ignore: Iterable[str] = (),
        shared: bool = False,
        code: Iterable[str] = (),
        given: dict | None = None,
    ) -> "RunRecord":
        """Lock `output` and write its record with status `running`.

        `output` is a folder (record: run.json in it) or a JSON(L) file (record: <stem>.run.json beside it).
        `inputs` are files or checkpoint folders; their content counts, so a moved input is no change. Arguments that
        name an input or a folder above one are compared by that content; those in `ignore` (speed and memory only:
        device, num_workers, ...) are not compared. With args["overwrite"], what an earlier run of the same stage
        left is deleted; with args["redo"], what is out of date is put away in .replaced. `shared`: the stage knows how
        to work in several processes. `code`: files and folders of this repository whose change makes the output out of
        date. `given`: the options that were given, where `args` holds more than options; scripts/plan.py compares them.

        Raises UserError when another run holds the lock, when an earlier run had other arguments or inputs (each one
        named, old -> new), or when the folder holds files that no run of this stage wrote.
        """
        output, inputs, stage = Path(output), [Path(p) for p in inputs], str(stage)
        overwrite, redo = bool(args.get("overwrite")), bool(args.get("redo"))
        is_file = output.suffix in FILE_SUFFIXES
        folder = output.parent if is_file else output
        if not is_file and output.exists() and not output.is_dir():
            raise UserError(f"{output} is a file; give a folder to write to.")
        if output.is_symlink() and not output.exists():
            raise UserError(f"{output} is a link to {output.readlink()}, which is not there; remove or mend it.")
        record_path = folder / f"{output.stem}.run.json" if is_file else folder / "run.json"
        lock_path = folder / (f".{output.stem}.lock" if is_file else ".lock")
        if processes.count() > 1 and not shared:
            raise UserError(f"{stage} works in one process: start it with python, not with accelerate launch.")
        if not processes.is_leader():
            content, complete = processes.from_leader()
            return cls(output, record_path, content, complete, None, lock_path)
        folder.mkdir(parents=True, exist_ok=True)
        lock = locks.take(lock_path, output)
        try:
            for name in {output.name, record_path.name}:  # of a run that was killed while it wrote one of them
                for torn in folder.glob(f".{glob.escape(name)}.????????.tmp"):
                    torn.unlink()
            content = {
                "stage": stage,
                "status": "running",
                "args": json.loads(json.dumps(args, default=str)),
                "inputs": [{"path": str(p), "sha256": hash_input(p)} for p in inputs],
                "ignored": sorted(ignore),
            }
            content |= {"code": hash_code(code)} if (code := list(code)) else {}
            content |= {"given": given} if given is not None else {}
            kept = (folder if is_file else folder.parent) / KEPT / output.name
            _put_away(kept, record_path)
            old = _read_record(record_path)
            complete = anew = False
            if old is None:
                _refuse_foreign(output, is_file, overwrite, stage)
                if overwrite and is_file:
                    output.unlink(missing_ok=True)
            elif old.get("stage") != stage:
                raise UserError(f"{output} holds the output of {old.get('stage')}, not of {stage}; give another place.")
            else:
                changed = changes(old, content)
                whole = old.get("status") == "complete"
                if not changed:
                    _bring_back(folder, kept)
                anew = overwrite or bool(changed)
                if changed and not (overwrite or redo):
                    raise UserError(_out_of_date(output, is_file, kept, changed))
                if anew and whole and redo:
                    print(f"{output} is made anew ({'; '.join(changed)}); what was there is kept in {kept}")
                    _replace(output, is_file, kept, record_path, lock_path)
                elif anew:
                    _wipe(output, is_file, lock_path)
                else:
                    complete = whole and _all_there(old, folder)
                    if not complete:
                        content["resumed"] = old.get("resumed", 0) + 1
            if complete:
                content = old
            else:
                content |= {
                    "commit": commit(),
                    "versions": versions(),
                    "started": _now(),
                }
                _write(record_path, content)
            processes.from_leader((content, complete))
            return cls(output, record_path, content, complete, lock, lock_path, anew)
        except BaseException:
            locks.release(lock, lock_path)
            raise

    def finish(self, **counts) -> None:
        """Write status `complete` with `counts` (numbers, short strings, small dicts) and the seconds of this call."""
        if not processes.is_leader():
            return
        folder = self.path.parent
        files = [self.output] if self.output.suffix in FILE_SUFFIXES else sorted(folder.iterdir())
        self.content |= {
            "status": "complete",
            "finished": _now(),
            "seconds": round(time.monotonic() - self._began, 2),
            "counts": counts,
            "files": [p.name for p in files if p != self.path and not p.name.startswith(PASSING)],
        }
        _write(self.path, self.content)
        self.complete = True

    def __enter__(self) -> "RunRecord":
        return self

    def __exit__(self, *_) -> None:
        if self._lock is not None:
            locks.release(self._lock, self._lock_path)


def hash_input(path: str | Path) -> str:
    """sha256 of a file, or of the weights, configs and tokenizer files on top of a checkpoint folder.

    A name that is no local path (a model of the hub) counts by its name. Files above WHOLE_FILE_BYTES count by their
    size, first and last mebibyte.
    """
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for part in sorted(path.iterdir()):
            if part.suffix in CHECKPOINT_SUFFIXES and part.name not in LOGS and part.is_file():
                digest.update(f"{part.name} {hash_input(part)}\n".encode())
    elif path.is_file():
        with open(path, "rb") as file:
            size = path.stat().st_size
            if size <= WHOLE_FILE_BYTES:
                return hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{size}".encode() + file.read(2**20))
            file.seek(-(2**20), os.SEEK_END)
            digest.update(file.read())
    else:
        digest.update(str(path).encode())
    return digest.hexdigest()


def hash_code(paths: Iterable[str], root: Path = ROOT) -> dict:
    """Of Python and YAML files, and of folders of them, relative to `root`: {"paths", "bytes", "syntax"}, two sha256.
    "syntax" is blind for comments, docstrings and line breaks. A path that is gone counts as no code: what it made is
    out of date."""
    paths = list(paths)
    meant = hashlib.sha256()
    for name, text in _code(paths, root):
        meant.update(f"{name}\n{_syntax(text) if name.endswith('.py') else text}\n".encode())
    return {"paths": paths, "bytes": code_bytes(paths, root), "syntax": meant.hexdigest()}


def code_bytes(paths: Iterable[str], root: Path = ROOT) -> str:
    """ "bytes" of `hash_code`: quick."""
    exact = hashlib.sha256()
    for name, text in _code(paths, root):
        exact.update(f"{name}\n{text}\n".encode())
    return exact.hexdigest()


def _code(paths: Iterable[str], root: Path) -> Iterator[tuple[str, str]]:
    found = [f for path in paths for f in ((root / path).rglob("*") if (root / path).is_dir() else [root / path])]
    for file in sorted(f for f in found if f.suffix in (".py", ".yaml") and f.is_file()):
        yield file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")


def _syntax(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body[0] = ast.Pass()
    return ast.dump(tree)


def changes(old: dict, new: dict) -> list[str]:
    """What two records of one output differ in, each as "name: old -> new"."""
    ignore = {*old.get("ignored", ()), *new.get("ignored", ()), *ALWAYS_IGNORED}
    paths = [Path(i["path"]) for i in old["inputs"] + new["inputs"]]

    def is_input(value) -> bool:
        return isinstance(value, str) and any(Path(value) == p or Path(value) in p.parents for p in paths)

    found = []
    for name in sorted(set(old["args"]) | set(new["args"])):
        before, after = old["args"].get(name), new["args"].get(name)
        if name not in ignore and before != after and not (is_input(before) and is_input(after)):
            found.append(f"{name}: {before} -> {after}")
    before, after = old["inputs"], new["inputs"]
    if len(before) != len(after):
        found.append(f"inputs: {[i['path'] for i in before]} -> {[i['path'] for i in after]}")
    for a, b in zip(before, after, strict=False):
        if a["sha256"] != b["sha256"]:
            where = a["path"] if a["path"] == b["path"] else f"{a['path']} -> {b['path']}"
            found.append(f"content of {where}: {a['sha256'][:12]} -> {b['sha256'][:12]}")
    codes = [record["code"]["syntax"] for record in (old, new) if "code" in record]
    if len(set(codes)) > 1:
        found.append(f"code of {', '.join(new['code']['paths'][:2])}, ...: {codes[0][:12]} -> {codes[1][:12]}")
    return found


def _out_of_date(output: Path, is_file: bool, kept: Path, changed: list[str]) -> str:
    """The message, with what to do: in the words of run.sh, where that called."""
    more = [f"... and {len(changed) - MAX_SHOWN} more"] if len(changed) > MAX_SHOWN else []
    text = f"{output} was made with other settings:\n  " + "\n  ".join(changed[:MAX_SHOWN] + more) + "\n"
    if commands := os.environ.get("CLARIFYVLM_RERUN"):  # of run.sh
        return (
            f"{text}What comes before it stays as it is. To make it anew, and what follows from it, give one of\n"
            f"{commands}\nThe first keeps what it replaces in {KEPT}; the second makes another run, which takes over "
            "what is unchanged."
        )
    return text + (
        f"Give --redo to make it anew (what is there is then kept in {kept}), --overwrite to delete it, or another "
        f"--{'output_file' if is_file else 'output_dir'}."
    )


def _replace(output: Path, is_file: bool, kept: Path, record_path: Path, lock_path: Path) -> None:
    """Put away what a complete run left, in place of what was put away before. A kill at any moment leaves either the
    record where it was, so that the same command goes on, or all of it in `kept`."""
    moving = _moving(kept)
    moving.mkdir(parents=True, exist_ok=True)
    files = [output, *processes.shares(output)] if is_file else [p for p in output.iterdir() if p != lock_path]
    for path in files:
        if path != record_path and path.exists():
            path.rename(moving / path.name)
    record_path.rename(moving / record_path.name)
    _put_away(kept, record_path)


def _put_away(kept: Path, record_path: Path) -> None:
    """The end of _replace, also of one that was killed."""
    moving = _moving(kept)
    if (moving / record_path.name).exists():
        if kept.exists():
            shutil.rmtree(kept)
        moving.rename(kept)


def _bring_back(folder: Path, kept: Path) -> None:
    """Undo a _replace that was killed, where its settings are no longer asked for."""
    if (moving := _moving(kept)).exists():
        for path in moving.iterdir():
            path.rename(folder / path.name)
        moving.rmdir()


def _moving(kept: Path) -> Path:
    return kept.with_name(f".{kept.name}.moving")


def _refuse_foreign(output: Path, is_file: bool, overwrite: bool, stage: str) -> None:
    """No record: then nothing of ours may be there, and nothing of anyone else's may be deleted."""
    if is_file:
        if output.exists() and not overwrite:
            raise UserError(
                f"{output} is there, but no record of the run that wrote it. Give --overwrite to replace it, or "
                "another --output_file."
            )
        return
    foreign = sorted(p.name for p in output.iterdir() if not p.name.startswith("."))
    if foreign:
        raise UserError(
            f"{output} holds files that no run of {stage} wrote ({', '.join(foreign[:5])}"
            f"{', ...' if len(foreign) > 5 else ''}). Give another --output_dir."
        )


def _wipe(output: Path, is_file: bool, lock_path: Path) -> None:
    if is_file:
        for path in (output, *processes.shares(output)):
            path.unlink(missing_ok=True)
        return
    # The record goes last: a wipe that is killed can be told from a folder of someone else's.
    for path in sorted(output.iterdir(), key=lambda p: p.name == "run.json"):
        if path != lock_path:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _all_there(record: dict, folder: Path) -> bool:
    return all((folder / name).exists() for name in record.get("files", []))


def _read_record(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not readable as a run record ({error}); give another place.") from None


def _write(path: Path, content: dict) -> None:
    write_text_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def commit() -> str | None:
    """The commit of the code that runs, with "+changes" when files differ from it; None outside a repository."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "HEAD")
    return head and head + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")


def versions() -> dict[str, str]:
    """Of clarifyvlm, Python and the packages that shape results, where they are installed."""
    import importlib.metadata

    found = {"clarifyvlm": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
