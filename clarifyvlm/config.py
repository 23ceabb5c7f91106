"""Options of a stage script: dataclasses -> command-line flags, with `--config file.yaml` underneath.

The keys of the file are the script's own flags. They are turned into command-line tokens *ahead of* the real ones,
so that types and choices are checked alike and the command line wins.
"""

import argparse
import dataclasses
import difflib
import importlib
import json
import re
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

from clarifyvlm import source_fields
from clarifyvlm.errors import UserError
from clarifyvlm.option_parsers import check_ranges, own_parser, print_help, takes_none, trl_parser
from clarifyvlm.text_files import read_text

REDO = "make anew what is out of date, and nothing else; what is replaced is kept in .replaced beside it"
SECTIONS = ("predict", "judge", "audit", "report")  # of the files that the scripts of inference/ share


def parse_args(
    dataclass_types: Sequence[type | str],
    argv: Sequence[str] | None = None,
    *,
    description: str = "",
    section: str | Sequence[str] = (),
    check: Callable[..., object] | None = None,
) -> list:
    """One instance per dataclass, filled from the defaults, `--config`, then `argv` (default: sys.argv[1:]).

    `--help` shows the flags of the first type, the script's own, `--help_all` those of all. A type given by name
    ("trl.SFTConfig") is imported only when it is needed, so that `--help` and most errors are instant. With such a type
    among them, trl.TrlParser does the parsing (so that TRL's and Trainer's options are all there); otherwise plain
    argparse.

    Where scripts share a file, `section` names the parts of it that are this script's (of SECTIONS; the others are
    passed over), and keys outside any section belong to every script.

    A field's metadata may say what its numbers can be: "min", "max", "above"; `check` looks at what the options are
    together: it is given what is returned, and raises UserError or ValueError. It comes before the import, too: of a
    type given by name it then sees the values that are given and the defaults that its source spells out.

    With `--check` it prints the options as JSON and stops: SystemExit(0). An instance of a type given by name has a
    dict `given`: the options that are not left at their defaults, of all types; None where the source of one cannot be
    followed.

    Raises UserError (with the key, the file and the nearest valid key) for an unknown key or flag or a bad value.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    named = [t for t in dataclass_types if isinstance(t, str)]
    if {"-h", "--help", "--help_all"} & set(argv):
        print_help(dataclass_types, description, everything="--help_all" in argv)
        raise SystemExit(0)
    only_check = "--check" in argv
    argv, config_path = take_config([token for token in argv if token != "--check"])
    given = None
    if named:
        lighter = [source_fields.light(t) if isinstance(t, str) else t for t in dataclass_types]
        if None not in lighter:  # most mistakes are seen here, before the seconds that importing TRL takes
            underscored = [_underscored(token) for token in argv]
            namespace = _parse(own_parser(lighter, description), lighter, underscored, config_path, section)
            given = _given(lighter, namespace)
            light = [
                _with_defaults(cls, namespace) if isinstance(t, str) else _build(cls, namespace, config_path)
                for t, cls in zip(dataclass_types, lighter, strict=True)
            ]
            _look(check, light, config_path, underscored)
            if only_check:
                print(json.dumps({"given": given}))
                raise SystemExit(0)
    resolved = [_import(t) if isinstance(t, str) else t for t in dataclass_types]
    parser = trl_parser(resolved, description) if named else own_parser(resolved, description)
    namespace = _parse(parser, resolved, argv, config_path, section)
    built = [_build(cls, namespace, config_path, argv) for cls in resolved]
    if given is None:
        _look(check, built, config_path, argv)
    if only_check:
        print(json.dumps({"args": {k: v for part in built for k, v in dataclasses.asdict(part).items()}}))
        raise SystemExit(0)
    for part, cls in zip(built, dataclass_types, strict=True):
        if isinstance(cls, str):
            part.given = given
    return built


def _given(dataclass_types: Sequence[type], namespace: argparse.Namespace) -> dict:
    """The options that differ from their defaults; of types read from their source, those that were given."""
    values = {}
    for field in (f for cls in dataclass_types for f in dataclasses.fields(cls) if f.init):
        default = field.metadata.get("default", field.default)
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        value = getattr(namespace, field.name)
        if value is not None and value != default:
            values[field.name] = value
    return values


def _with_defaults(cls: type, namespace: argparse.Namespace) -> SimpleNamespace:
    """The options of a type read from its source, as far as they are known from there."""
    values = {f.name: (getattr(namespace, f.name), f.metadata.get("default")) for f in dataclasses.fields(cls)}
    return SimpleNamespace(**{name: default if value is None else value for name, (value, default) in values.items()})


def _look(check: Callable | None, built: list, config_path: str | None, argv: list[str]) -> None:
    if check is not None:
        try:
            check(*built)
        except (UserError, ValueError) as error:
            raise UserError(f"{error}{_where(str(error), config_path, argv)}") from None


def _underscored(token: str) -> str:
    """`--learning-rate=1` as `--learning_rate=1`: TRL's parser takes both."""
    name, equals, value = token.partition("=")
    return (name.replace("-", "_").replace("__", "--", 1) if name.startswith("--") else name) + equals + value


def _parse(
    parser: argparse.ArgumentParser,
    resolved: Sequence[type],
    argv: list[str],
    config_path: str | None,
    section: str | Sequence[str],
) -> argparse.Namespace:
    """The values of the config under those of `argv`. UserError where a name or a value is wrong."""
    actions: dict[str, argparse.Action] = {}
    for action in parser._actions:  # the first of a name: `--no_x` comes after `--x`
        actions.setdefault(action.dest, action)
    config = read_yaml(config_path, section) if config_path else {}
    nullable = {name for cls in resolved for name, hint in typing.get_type_hints(cls).items() if takes_none(hint)}
    tokens = _tokens(config, actions, nullable, config_path)

    def error(message: str):
        flags = [f for action in actions.values() for f in action.option_strings if f"argument {f}" in message]
        from_file = any(f.lstrip("-") in config for f in flags) and not any(a.split("=")[0] in flags for a in argv)
        raise UserError(f"{config_path}: {message}" if from_file else message)

    parser.error = error  # type: ignore[method-assign]  # of TRL's parser, too: it raises, and does not exit
    namespace, rest = parser.parse_known_args(tokens + argv)
    if rest:
        flag = rest[0].split("=")[0]
        if not flag.startswith("--"):
            raise UserError(f"unexpected argument {flag!r}. Options are written --name value; see --help.")
        name = flag.lstrip("-").replace("-", "_").removeprefix("no_")
        raise UserError(f"unknown flag {flag}.{_owner(name) or _nearest(name, actions, '--')}")
    check_ranges(resolved, namespace, error)
    return namespace


def read_yaml(path: str | Path, section: str | Sequence[str] = ()) -> dict:
    """The mapping in a YAML file: keys outside any section, then those of `section`, one name or several. With a
    section the others of SECTIONS are passed over. UserError if it is no mapping."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader, node, deep=False):
        keys = [loader.construct_object(key) for key, _ in node.value]
        twice = sorted({str(k) for k in keys if keys.count(k) > 1})
        if twice:
            raise UserError(f"{path}:{node.start_mark.line + 1}: key {twice[0]!r} is there twice; keep one of them.")
        loader.flatten_mapping(node)
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    try:
        text = read_text(path)
    except FileNotFoundError:
        folder = Path(path).parent
        there = ", ".join(sorted(str(p) for p in folder.glob("*.yaml"))) if folder.is_dir() else ""
        raise UserError(f"no config file {path}." + (f" There are: {there}" if there else "")) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the config file {path}: {error}") from None
    try:
        content = yaml.load(text, Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    content = {} if content is None else content
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold `key: value` lines, not a {type(content).__name__}.")
    own = (section,) if isinstance(section, str) else section
    merged = {k: v for k, v in content.items() if not own or k not in SECTIONS}
    for name in own:
        part = content.get(name)
        if part is not None and not isinstance(part, dict):
            raise UserError(f"{path}: `{name}:` must hold `key: value` lines.")
        merged |= part or {}
    return merged


def override(options, changes: dict, where: str):
    """A copy of a dataclass of options with `changes`, a mapping from a file; UserError as for `--config`."""
    parser = own_parser([type(options)], "")
    parser.set_defaults(**dataclasses.asdict(options))
    actions = {action.dest: action for action in reversed(parser._actions)}
    nullable = {name for name, hint in typing.get_type_hints(type(options)).items() if takes_none(hint)}

    def error(message: str):
        raise UserError(f"{where}: {message}")

    parser.error = error  # type: ignore[method-assign]  # it raises, and does not exit
    namespace = parser.parse_args(_tokens(changes, actions, nullable, where))
    check_ranges([type(options)], namespace, error)
    return _build(type(options), namespace)


def option(help: str, default=dataclasses.MISSING, *, factory=dataclasses.MISSING, **limits):
    """A field of a dataclass of options: its help, its default (else it has to be given), the LIMITS of its numbers."""
    return dataclasses.field(default=default, default_factory=factory, metadata={"help": help} | limits)


def parse_weights(flag: str, tokens: Sequence[str], form: str, alone: float | None = None) -> dict[str, float]:
    """["color=40", ...] -> {"color": 40.0}. UserError for what is not `form`, below 0, there twice, or all 0.

    `alone`: the weight of a name without one; None: there has to be one.
    """
    weights = {}
    for token in tokens:
        name, _, value = token.partition("=")
        try:
            weight = alone if alone is not None and not value else float(value)
        except ValueError:
            weight = -1.0
        if not 0 <= weight < float("inf"):
            raise UserError(f"{flag}: {token!r} is not {form}; a weight is a number from 0 up.")
        if name in weights:
            raise UserError(f"{flag}: {name} is there twice.")
        weights[name] = weight
    if not sum(weights.values()):
        raise UserError(f"{flag}: at least one weight must be above 0.")
    return weights


def _import(name: str) -> type:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _build(cls: type, namespace: argparse.Namespace, config_path: str | None = None, argv: Sequence[str] = ()):
    values = {f.name: getattr(namespace, f.name) for f in dataclasses.fields(cls) if f.init}
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:  # a check in __post_init__ ("generation_batch_size must be divisible ...")
        raise UserError(f"{cls.__name__}: {error}{_where(str(error), config_path, argv)}") from error


def _where(message: str, config_path: str | None, argv: Sequence[str]) -> str:
    """The lines of the config with the keys that a message names, where the command line does not say otherwise."""
    text = read_text(config_path) if config_path else ""
    typed = {token.partition("=")[0].lstrip("-").replace("-", "_") for token in argv if token.startswith("--")}
    lines = [
        f"\n  {config_path}:{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), start=1)
        if (key := line.split(":")[0].strip()) and key not in typed and re.search(rf"\b{re.escape(key)}\b", message)
    ]
    return "".join(lines)


def _owner(key: str) -> str:
    """Where a shipped config of another stage has the key: " It is a key of tuning_grpo/configs." """
    import yaml

    root = Path(__file__).resolve().parents[1]
    for folder in sorted(root.glob("*/configs")):
        for path in folder.glob("*.yaml"):
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            parts = [content, *(part for name, part in content.items() if name in SECTIONS)]
            if any(key in part for part in parts if isinstance(part, dict)):
                return f" It is a key of {folder.relative_to(root)}."
    return ""


# --- YAML -> tokens ----------------------------------------------------------------------------------------------


def take_config(argv: list[str]) -> tuple[list[str], str | None]:
    """argv without `--config FILE`, and FILE."""
    rest, path, tokens = [], None, iter(argv)
    for token in tokens:
        if token == "--config" or token.startswith("--config="):
            if path is not None:
                raise UserError("--config is there twice; give one file.")
            path = token.partition("=")[2] if "=" in token else next(tokens, None)
            if not path:
                raise UserError("--config needs a file, as in --config tuning_sft/configs/tiny.yaml")
        else:
            rest.append(token)
    return rest, path


def _tokens(config: dict, actions: dict[str, argparse.Action], nullable: set[str], path: str | None) -> list[str]:
    """Command-line tokens for a config; a null is set as the default, for a flag cannot say it."""
    tokens = []
    for key, value in config.items():
        action = actions.get(key) if key not in ("config", "help") else None
        if action is None:
            known = _owner(str(key)) or _nearest(str(key), actions)
            raise UserError(f"{path}: unknown key {key!r}.{known} --help lists all of them.")
        takes_list = action.nargs in ("+", "*")
        if isinstance(value, list) != takes_list and not (value is None or isinstance(value, dict)):
            if not takes_list:
                raise UserError(f"{path}: {key}: expected one value, not a list: {value}")
            value = [value]
        if value is None and key not in nullable:
            raise UserError(f"{path}: {key}: a value is missing. Give one, or remove the line.")
        if value is None or value == []:
            action.default, action.required = value, False
        elif takes_list:
            action.required = False
            tokens += [f"--{key}", *map(_text, value)]
        else:
            tokens.append(f"--{key}={_text(value)}")
    return tokens


def _text(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _nearest(key: str, actions: dict[str, argparse.Action], prefix: str = "") -> str:
    near = difflib.get_close_matches(key, [a for a in actions if a != "help"], n=1, cutoff=0.5)
    return f" Did you mean {prefix}{near[0]}?" if near else ""
