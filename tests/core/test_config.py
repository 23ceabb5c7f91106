"""Options: config file under the command line, both checked alike."""

import dataclasses
import importlib
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from clarifyvlm import source_fields
from clarifyvlm.config import parse_args
from clarifyvlm.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Options:
    data_file: str = field(metadata={"help": "the file (100 %)"})
    rate: float = 1e-3
    mode: Literal["scene", "openai"] = "scene"
    shuffle: bool = True
    shares: list[float] = field(default_factory=lambda: [0.5, 0.5])
    device: str | None = "cpu"
    options: dict = field(default_factory=dict)


@pytest.fixture
def parse(tmp_path):
    def run(yaml: str, *argv: str, types=(Options,), **more):
        path = tmp_path / "c.yaml"
        path.write_text(yaml)
        return parse_args(types, ["--config", str(path), *argv], **more)

    return run


def test_command_line_wins_over_the_file(parse):
    """A config value that beats the flag the user has just typed."""
    (options,) = parse("data_file: a\nrate: 1e-5\nshares: [1, 2]\n", "--rate", "0.5", "--data_file=b")
    assert (options.data_file, options.rate, options.shares) == ("b", 0.5, [1.0, 2.0])


def test_yaml_1e_minus_5_is_a_number(parse):
    """YAML reads 1e-5 as a string: a learning rate that arrives as text."""
    assert parse("data_file: a\nrate: 1e-5\n")[0].rate == 1e-5


def test_null_list_mapping_and_bool_values(parse):
    """`false` read as true (type=bool), null as the word "None", a mapping as its Python spelling."""
    (options,) = parse("data_file: a\nshuffle: false\ndevice: null\noptions: {a: [1, true]}\nshares: []\n")
    assert (options.shuffle, options.device, options.options, options.shares) == (False, None, {"a": [1, True]}, [])


@pytest.mark.parametrize(
    "argv,value", [(["--shuffle"], True), (["--shuffle", "false"], False), (["--no_shuffle"], False)]
)
def test_three_ways_to_write_a_bool(argv, value):
    """A flag that cannot be switched off from the command line."""
    assert parse_args([Options], ["--data_file", "a", *argv])[0].shuffle is value


@pytest.mark.parametrize(
    "yaml,argv,words",
    [
        ("data_file: a\nrte: 1\n", [], ["c.yaml", "'rte'", "Did you mean rate"]),
        ("data_file: a\nrate: fast\n", [], ["c.yaml", "--rate", "'fast'"]),
        ("data_file: a\nmode: human\n", [], ["c.yaml", "--mode", "'human'", "scene"]),
        ("data_file: a\nshuffle: maybe\n", [], ["c.yaml", "--shuffle", "maybe"]),
        ("data_file: [a, b]\n", [], ["c.yaml", "data_file", "one value"]),
        ("data_file: a\nrate:\n", [], ["c.yaml", "rate", "missing"]),
        ("data_file: a\ndata_file: b\n", [], ["c.yaml:1", "'data_file'", "twice"]),
        ("data_file: [a\n", [], ["c.yaml", "not valid YAML"]),
        ("- a\n", [], ["c.yaml", "key: value"]),
        ("rate: 1\n", [], ["--data_file", "required"]),
        ("data_file: a\n", ["--rte", "1"], ["--rte", "Did you mean --rate"]),
        ("data_file: a\n", ["--rat", "1"], ["--rat", "Did you mean --rate"]),
        ("data_file: a\n", ["extra"], ["'extra'"]),
        ("data_file: a\n", ["--config", "other.yaml"], ["--config", "twice"]),
    ],
)
def test_bad_options_are_named(parse, yaml, argv, words):
    """An unknown key or bad value that passes silently, or an error without key, file and nearest valid key."""
    with pytest.raises(UserError) as error:
        parse(yaml, *argv)
    assert all(word in str(error.value) for word in words), error.value
    assert len(str(error.value).splitlines()) < 5


def test_bad_flag_is_not_blamed_on_the_file(parse):
    """An error that sends the user to the config file for a value typed on the command line."""
    with pytest.raises(UserError) as error:
        parse("data_file: a\nrate: 1\n", "--rate", "fast")
    assert "c.yaml" not in str(error.value)


def test_missing_config_file_lists_those_there(tmp_path):
    """A traceback for a misspelt config name."""
    (tmp_path / "tiny.yaml").write_text("")
    with pytest.raises(UserError, match="tiny.yaml"):
        parse_args([Options], ["--config", str(tmp_path / "tyni.yaml")])


def test_sections_of_a_shared_file(parse):
    """predict.py refusing judge.py's keys in the config they share, or reading them as its own."""
    yaml = "data_file: shared\npredict: {rate: 2}\njudge: {anything: 1}\n"
    (options,) = parse(yaml, section="predict")
    assert (options.data_file, options.rate) == ("shared", 2.0)
    with pytest.raises(UserError, match="'anything'"):
        parse(yaml, section="judge")


def test_trl_options_are_checked_like_ours(parse):
    """TrlParser sets YAML values as defaults unchecked: 2.7 steps and unknown strategies pass."""
    yaml = "data_file: a\noutput_dir: x\nbf16: false\nlearning_rate: 1e-5\nmax_length: null\n"
    options, trainer = parse(yaml, "--max_steps", "3", types=(Options, "trl.SFTConfig"))
    assert (options.data_file, trainer.learning_rate, trainer.max_steps) == ("a", 1e-5, 3)
    assert trainer.max_length is None
    for line, word in (
        ("max_steps: 2.7", "2.7"),
        ("save_strategy: often", "often"),
        ("learning_rte: 1", "learning_rate"),
    ):
        with pytest.raises(UserError, match=word):
            parse(yaml + line + "\n", types=(Options, "trl.SFTConfig"))


@pytest.mark.parametrize(
    "name", ["clarifyvlm.training.SFTArguments", "clarifyvlm.training.GRPOArguments", "trl.ModelConfig"]
)
def test_fields_read_from_the_source_are_those_of_the_class(name):
    """A version of TRL whose source is read wrongly: a flag that exists refused, or one that does not let through."""
    module, _, class_name = name.rpartition(".")
    real = {f.name for f in dataclasses.fields(getattr(importlib.import_module(module), class_name)) if f.init}
    assert {f.name for f in dataclasses.fields(source_fields.light(name))} == real


def test_typing_errors_are_told_before_torch_is_imported():
    """Six seconds of waiting for "unknown flag"; or a flag in TRL's other spelling refused by the quick look."""
    code = (
        "import sys\n"
        "from test_config import Options\nfrom clarifyvlm.config import parse_args\n"
        "from clarifyvlm.errors import UserError\n"
        "for wrong in (['--lerning_rate', '1'], ['--learning_rate', 'fast'], ['--max-steps', '2.5']):\n"
        "    try: parse_args([Options, 'trl.SFTConfig'], ['--data_file', 'a', *wrong])\n"
        "    except UserError as error: print(error)\n"
        "assert not {'torch', 'trl', 'transformers'} & set(sys.modules)\n"
        "flags = ['--learning-rate', '0.5', '--report-to', 'none', '--bf16', 'false', '--fsdp', 'full_shard']\n"
        "argv = ['--data_file', 'a', '--output_dir', 'b', *flags]\n"
        "print(parse_args([Options, 'trl.SFTConfig'], argv)[1].learning_rate)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    unknown, bad, whole, value = done.stdout.splitlines()
    assert "Did you mean --learning_rate?" in unknown and "'fast'" in bad and "'2.5'" in whole and value == "0.5"


def test_checks_of_a_dataclass_become_errors_of_the_user(parse):
    """A traceback from GRPOConfig's own check of num_generations."""
    yaml = "output_dir: x\nbf16: false\nnum_generations: 3\ngeneration_batch_size: 8\ndata_file: a\n"
    with pytest.raises(UserError, match="num_generations"):
        parse(yaml, types=(Options, "trl.GRPOConfig"))


def test_help_is_instant_and_complete():
    """--help that imports torch (5 s), or a help text with a % in it that argparse cannot print."""
    code = (
        "import sys\n"
        "from test_config import Options\nfrom clarifyvlm.config import parse_args\n"
        "try: parse_args([Options, 'trl.SFTConfig'], ['--help'])\n"
        "finally: assert not {'torch', 'trl', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    assert "--data_file" in done.stdout and "(100 %)" in done.stdout and "--help_all" in done.stdout
    assert "--learning_rate" not in done.stdout and "all of trl.SFTConfig" in done.stdout


@dataclass
class JudgeArguments:
    judge_seed: int = field(default=0, metadata={"help": "of the judge"})


def test_help_shows_what_one_needs_first(capsys):
    """Two hundred lines in which the flags that have to be given are lost; flags that no help shows."""
    with pytest.raises(SystemExit) as done:
        parse_args([Options, JudgeArguments], ["--help"], description="What it does.")
    short = capsys.readouterr().out
    assert done.value.code == 0 and "--judge_seed" not in short and "with --help_all: judge" in short
    assert short.index("What it does.") < short.index("--data_file") < short.index("\noptions:")
    with pytest.raises(SystemExit):
        parse_args([Options, JudgeArguments], ["--help_all"])
    assert re.search(r"\njudge:\n +--judge_seed INT", capsys.readouterr().out)


@dataclass
class Limited:
    share: float = field(default=0.5, metadata={"min": 0, "max": 1, "help": "of all"})
    rates: list[float] | None = field(default=None, metadata={"above": 0, "help": "each"})
    count: int | None = field(default=None, metadata={"min": 1, "help": "or none"})


@pytest.mark.parametrize(
    ("yaml", "argv", "said"),
    [
        ("share: 1.5\n", [], "c.yaml: argument --share: 1.5 must be at most 1"),
        ("", ["--share", "-0.1"], "argument --share: -0.1 must be at least 0"),
        ("share: 2\n", ["--share", "nan"], "argument --share: nan must be at least 0"),
        ("", ["--rates", "1", "inf"], "argument --rates: inf must be above 0"),
        ("rates: [1, 0]\n", [], "argument --rates: 0.0 must be above 0"),
        ("count: 0\n", [], "argument --count: 0 must be at least 1"),
    ],
)
@pytest.mark.parametrize("more", [(), ("trl.SFTConfig",)])
def test_numbers_outside_their_range(parse, yaml, argv, said, more):
    """A negative weight of the reward that trains without a word; nan, which is below nothing; limits that are not
    looked at where TRL's parser is used."""
    with pytest.raises(UserError, match=re.escape(said)):
        parse(yaml, *argv, types=(Limited, *more))


def test_numbers_at_the_ends_of_their_range(parse):
    """A limit that refuses what it allows, or a number that is not given."""
    (options,) = parse("share: 1\nrates: [0.1]\n", "--count", "1", types=(Limited,))
    assert (options.share, options.rates, options.count) == (1.0, [0.1], 1)
    assert parse("count:\n", types=(Limited,))[0].count is None


def test_a_key_of_another_stage_is_called_so(parse):
    """A key of GRPO's in the config of SFT answered with "did you mean" and a third thing."""
    with pytest.raises(UserError, match="unknown key 'num_prompts'. It is a key of tuning_grpo/configs"):
        parse("data_file: a\nnum_prompts: 5\n")


def test_values_that_do_not_fit_name_their_lines(parse):
    """GRPOConfig's complaint about two numbers, without where they stand."""
    yaml = (
        "output_dir: x\n# group size\nnum_generations: 5\nper_device_train_batch_size: 12\ndata_file: a\nbf16: false\n"
    )
    with pytest.raises(UserError, match=r"(?s)whole groups.*c\.yaml:3: num_generations: 5") as caught:
        parse(yaml, types=(Options, "clarifyvlm.training.GRPOArguments"))
    assert "Make --per_device_train_batch_size a multiple of --num_generations, such as 10." in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("max_steps", -3), ("max_steps", 0), ("learning_rate", -1.0)])
def test_numbers_that_the_trainer_takes_for_something_else(parse, name, value):
    """max_steps: -3, by which transformers trains for all epochs without a word."""
    yaml = f"output_dir: x\ndata_file: a\nbf16: false\n{name}: {value}\n"
    with pytest.raises(UserError, match=rf"(?s)--{name} {value}: must be at least .*c\.yaml:4: {name}: {value}"):
        parse(yaml, types=(Options, "clarifyvlm.training.SFTArguments"))
