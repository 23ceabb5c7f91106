"""Kind: the machine. What it lacks is one warning and the run goes on; what cannot work is said in a sentence."""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from clarifyvlm import jsonl
from clarifyvlm.endpoint import connection
from clarifyvlm.endpoint.client import Endpoint
from clarifyvlm.errors import UserError
from clarifyvlm.records import Example, Prediction
from judge_server import make
from small_examples import star_example
from stages import ROOT

EXAMPLE = Example.model_validate(star_example(0, "a.png", "0"))
PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def judged(server, **options) -> str | None:
    judge = make(server, judge_cache_dir=None, **options)
    judge.check()
    (verdict,) = judge.judge([EXAMPLE], [Prediction(example_id=EXAMPLE.id, text="Which star do you mean?")])
    return verdict.failure


@pytest.fixture
def shell(monkeypatch):
    """The environment, with nothing said of proxies and certificates but what the test says."""
    for name in (*PROXIES, *map(str.lower, PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks5h://127.0.0.1:9"),
        ("all_proxy", "socks4://127.0.0.1:9"),
        ("http_proxy", "http://name:word@127.0.0.1:9"),
        ("HTTP_PROXY", "no proxy at all"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_DIR", "/nowhere"),
        ("OPENAI_API_KEY", "sk-invented\r\n"),
        ("OPENAI_API_KEY", "\ufeff'sk-invented'"),
    ],
)
def test_a_server_on_this_machine_whatever_is_set_for_others(server, shell, name, value):
    """Fault: a proxy, certificates or the newline of a key's file, and a judge next door is a traceback or "no
    connection"."""
    shell.setenv(name, value)
    assert judged(server) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ALL_PROXY": "socks5://me:secret@127.0.0.1:9"}, "SOCKS.*pip install socksio.*NO_PROXY=far.invalid"),
        (
            {"HTTPS_PROXY": "http://me:secret@127.0.0.1:9"},
            r"through the proxy http://127.0.0.1:9\).*NO_PROXY=far.invalid",
        ),
        ({"HTTPS_PROXY": "gopher://127.0.0.1:9"}, "proxy gopher://127.0.0.1:9 cannot be used"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "SSL_CERT_FILE.*/nowhere/ca.pem"),
        ({"SSL_CERT_FILE": __file__}, "SSL_CERT_FILE.*holds no certificates"),
        ({"OPENAI_API_KEY": "sk-one\nsk-two"}, "OPENAI_API_KEY holds a line break"),
        ({"OPENAI_API_KEY": "sk-\u0441yrillic"}, "OPENAI_API_KEY holds"),
    ],
)
def test_what_cannot_work_is_said(shell, settings, said):
    """Fault: a traceback of the HTTP library, a message that names neither proxy nor variable, or one that tells a
    password."""
    for name, value in settings.items():
        shell.setenv(name, value)
    with pytest.raises(UserError, match=said) as found:
        Endpoint("https://far.invalid/v1", "m", timeout_s=5.0).check()
    assert "secret" not in str(found.value) and "sk-one" not in str(found.value)


@pytest.mark.parametrize("url", ["localhost:8000/v1", "//localhost/v1", "http://", "http://a b/v1", "http://x:port/v1"])
def test_no_address(url):
    """Fault: an address without http:// is "no connection" after a minute."""
    with pytest.raises(UserError, match=r"--judge_base_url .* is no address.*http://localhost:8000/v1"):
        Endpoint(url, "m")


@pytest.mark.parametrize("ending", ["/chat/completions", "\n", " "])
def test_what_surrounds_an_address_is_passed_over(server, shell, ending):
    """Fault: an address as the server's page gives it, or as a file holds it, is a 404 or a traceback."""
    shell.setenv("OPENAI_BASE_URL", server.url + ending)
    Endpoint(None, "m").check()


@pytest.mark.parametrize(
    ("host", "no_proxy", "around"),
    [
        ("10.1.2.3", "10.0.0.0/8,other", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("gpu7.cluster", ".cluster", True),
        ("gpu7.cluster", "*", True),
        ("localhost", "", True),
        ("[::1]", "", True),
        ("0.0.0.0", "", True),
    ],
)
def test_around_a_proxy(shell, host, no_proxy, around):
    """Fault: a server of the cluster asked through the proxy of the world; networks in NO_PROXY unread."""
    shell.setenv("HTTP_PROXY", "proxy.invalid:3128")
    shell.setenv("NO_PROXY", no_proxy)
    assert connection.proxy(f"http://{host}:8000/v1") == (None if around else "http://proxy.invalid:3128")


def python(code: str, env: dict, *before: str) -> subprocess.CompletedProcess:
    command = [*before, sys.executable, "-c", code]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, timeout=120, check=False)


def environment(**changes) -> dict:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


NAMELESS = """
import getpass, os
from clarifyvlm.errors import run_main
from clarifyvlm.paths import cache_folder
def main():
    print(getpass.getuser(), os.path.expanduser("~/x"), cache_folder())
    cache_folder().mkdir(parents=True, exist_ok=True)
run_main(main)
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root, to be somebody without a name")
def test_a_user_without_name_and_home(tmp_path):
    """Fault: `docker run --user 12345`: tracebacks where a library asks who one is, or where one lives."""
    # Its own interpreter and folders may be closed to others: the right to read them is kept, that to write is not.
    become = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    nobody = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME")
    env = {name: value for name, value in environment().items() if name not in nobody}
    found = python(NAMELESS, env, *become)
    assert found.returncode == 0, found.stderr
    assert found.stdout.decode().split() == [
        "user-12345",
        f"{tempfile.gettempdir()}/clarifyvlm-12345/x",
        f"{tempfile.gettempdir()}/clarifyvlm-12345/.cache/clarifyvlm",
    ]
    closed = python(NAMELESS, env | {"HOME": "/proc"}, *become)  # nobody can write there
    assert closed.returncode == 0 and b"cannot be written" in closed.stderr


def test_a_home_that_cannot_be_written(server, monkeypatch, capsys):
    """Fault: a run that ends because what is kept for later runs has no place."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert judged(server) is None and judged(server) is None
    assert capsys.readouterr().err.count("/proc/nowhere/clarifyvlm cannot be written") == 1


WITHOUT_SEMAPHORES = """
import sys, runpy, errno, _multiprocessing
class SemLock:
    SEM_VALUE_MAX = 1
    def __init__(self, *_, **__): raise OSError(errno.EROFS, "Read-only file system")
_multiprocessing.SemLock = SemLock
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("stage", ["generate", "predict", "train", "plan"])
def test_no_semaphores(stage, tmp_path, test_file, tiny_model_dir):
    """Fault: a /dev/shm that cannot be written, and the stages that would start workers are tracebacks."""
    config = ROOT / "dataset_generation/configs/smoke.yaml"
    generate = ["dataset_generation/generate.py", "--config", str(config), "--output_dir", str(tmp_path / "out")]
    commands = {
        "generate": [*generate, "--num_workers", "2"],
        "predict": ["inference/predict.py", "--model_name_or_path", str(tiny_model_dir), "--data_file", str(test_file)]
        + ["--output_file", str(tmp_path / "predictions.jsonl"), "--batch_size", "1", "--max_new_tokens", "2"],
        "plan": ["scripts/plan.py", "--new", str(tmp_path / "run")],
        "train": ["-"],
    }
    code = WITHOUT_SEMAPHORES
    if stage == "train":
        code = code.split("sys.argv =")[0] + (
            "from clarifyvlm.training import SFTArguments\n"
            f"args = SFTArguments(output_dir={str(tmp_path)!r}, dataloader_num_workers=4, "
            "dataloader_persistent_workers=True, dataloader_prefetch_factor=2)\n"
            "assert args.dataloader_num_workers == 0 and not args.dataloader_persistent_workers"
        )
    plan = "".join(f"{word}\0" for word in [str(len(generate) + 1), "python", *generate])
    rooms = ":".join(str(ROOT / name) for name in ("", "dataset_generation", "inference", "tuning_sft", "tuning_grpo"))
    done = subprocess.run(
        [sys.executable, "-c", code, *commands[stage]],
        input=plan if stage == "plan" else "",
        env={**os.environ, "PYTHONPATH": rooms, "OMP_NUM_THREADS": "2"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("no semaphores for workers") == 1


def test_a_disk_without_locks(tmp_path, monkeypatch, capsys):
    """Fault: a network disk that has no locks, and no stage can write there."""
    import errno

    from clarifyvlm.run_record import RunRecord

    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    with RunRecord.start(tmp_path / "out", "stage", {}) as run:
        run.finish()
    assert "the disk has no locks" in capsys.readouterr().err
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "complete"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_a_terminal_of_another_encoding(encoding):
    """Fault: one letter that a terminal lacks ends the run in a traceback."""
    code = "from clarifyvlm.errors import run_main\nrun_main(lambda: print('caf\\u00e9 \\u2192 \\U0001f600'))"
    done = python(code, environment(PYTHONUTF8="0", PYTHONIOENCODING=encoding))
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding).rstrip().endswith("\\u2192 \\U0001f600")


def test_a_place_that_may_not_be_written():
    """Fault: a traceback for a folder that belongs to somebody else."""
    code = "from clarifyvlm.errors import run_main\nrun_main(lambda: open('/proc/version', 'w'))"
    done = python(code, environment())
    assert done.returncode in (1, 2) and b"Traceback" not in done.stderr and b"/proc/version" in done.stderr


def test_a_question_in_other_bytes(tmp_path, tiny_model_dir):
    """Fault: a terminal that sends Latin-1, and the tokenizer stops at the half of a letter."""
    from PIL import Image

    from clarifyvlm.app.talk import Speaker, SpeakerArguments, Talk

    talk = Talk(
        Speaker("m", str(tiny_model_dir), SpeakerArguments(max_new_tokens=2)), Image.new("RGB", (96, 96)), "caf\udce9?"
    )
    list(talk.respond())
    talk.reply("the caf\udce9")
    assert "\N{REPLACEMENT CHARACTER}" in jsonl.dumps({"said": talk.messages})


def test_certificates_that_are_not_there_stop_no_script():
    """Fault: a page or a hub's client that ends at once because of SSL_CERT_FILE, though nothing is fetched."""
    code = "from clarifyvlm.errors import run_main\nimport os\nrun_main(lambda: print(os.environ.get('SSL_CERT_FILE')))"
    done = python(code, environment(SSL_CERT_FILE="/nowhere/ca.pem"))
    assert done.stdout == b"None\n" and done.stderr.count(b"SSL_CERT_FILE names what is not there") == 1


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams(tmp_path, closed):
    """Fault: a daemon's closed stderr ends the run, or a file that is opened later takes its place."""
    code = "from clarifyvlm.errors import run_main\nrun_main(lambda: open('there', 'w').write('x') and None)"
    command = f'cd {tmp_path} && {sys.executable} -c "$CODE" {closed}'
    done = subprocess.run(["bash", "-c", command], env=environment(CODE=code), check=False)
    assert done.returncode == 0 and (tmp_path / "there").read_text() == "x"


def test_a_name_that_is_too_long(tmp_path):
    """Fault: a traceback for the name of a folder that no disk can hold."""
    code = "from clarifyvlm.errors import run_main\nimport os\nrun_main(lambda: os.mkdir(os.environ['NAME']))"
    done = python(code, environment(NAME=str(tmp_path / ("x" * 300))))
    assert done.returncode == 2 and b"Traceback" not in done.stderr and b"too long" in done.stderr


def test_a_limit_of_files():
    """Fault: `ulimit -f`, which is no full disk, is a traceback."""
    code = (
        "import resource\nfrom clarifyvlm.errors import run_main\nresource.setrlimit(resource.RLIMIT_FSIZE, (9, 9))\n"
    )
    code += "import tempfile\nrun_main(lambda: tempfile.TemporaryFile(buffering=0).writelines([bytes(9), bytes(9)]))"
    done = python(code, environment())
    assert done.returncode == 1 and b"the disk is full" in done.stderr, done.stderr


def test_an_output_that_is_a_link_to_nothing(tmp_path):
    """Fault: a traceback where a link's disk is not there today."""
    from clarifyvlm.run_record import RunRecord

    (tmp_path / "verdicts.jsonl").symlink_to("/nowhere/verdicts.jsonl")
    with pytest.raises(UserError, match="a link to /nowhere/verdicts.jsonl, which is not there"):
        RunRecord.start(tmp_path / "verdicts.jsonl", "stage", {})


@pytest.mark.parametrize("path", ["inference/judge.py", "dataset_generation/benchmark.py"])
def test_a_python_that_hides_the_scripts_folder(path):
    """Fault: PYTHONSAFEPATH, and every script is a traceback of a module that there is."""
    command = [sys.executable, str(ROOT / path), "--help"]
    done = subprocess.run(command, env=environment(PYTHONSAFEPATH="1"), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("error: PYTHONSAFEPATH") and done.stderr.count("\n") == 1
