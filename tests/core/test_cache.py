"""The file that keeps the replies of LLM judges; test_openai_judge.py has what the judge does with it."""

import subprocess
import sys

import pytest

from clarifyvlm.endpoint.cache import ReplyCache
from clarifyvlm.errors import UserError
from clarifyvlm.judges import JudgeArguments, make_judge


def test_cache_that_cannot_be_used_is_named(tmp_path):
    """A traceback of SQLite, or a run that goes on and pays for everything."""
    (tmp_path / "replies.sqlite3").write_text("no database, but long enough to be taken for one" * 40)
    with pytest.raises(UserError, match="--judge_cache_dir"):
        make_judge(JudgeArguments(judge="openai", judge_model="m", judge_cache_dir=str(tmp_path)))


def test_cache_serves_several_processes(tmp_path):
    """ "database is locked", or a reply lost, when the processes of a run write at once."""
    code = (
        "import sys; from clarifyvlm.endpoint.cache import ReplyCache; cache = ReplyCache(sys.argv[1])\n"
        "for i in range(200): cache.put(f'{sys.argv[2]}-{i}', 'reply ' * 50)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, tmp_path, str(n)]) for n in range(4)]
    assert [w.wait(timeout=60) for w in writers] == [0] * 4
    cache = ReplyCache(tmp_path)
    assert "800 replies" in str(cache) and cache.get("3-199") == "reply " * 50
