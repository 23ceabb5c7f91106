"""Dataclasses of options -> argparse parsers: our own, and TRL's. What fields hold, and what their numbers may be."""

import argparse
import dataclasses
import functools
import importlib
import json
import math
import operator
import re
import types
import typing
from collections.abc import Sequence

WIDTH = 118  # of --help; the docstrings above the options are as wide
LIMITS = {"min": (operator.ge, "at least"), "above": (operator.gt, "above"), "max": (operator.le, "at most")}


def check_ranges(dataclass_types: Sequence[type], namespace: argparse.Namespace, error) -> None:
    """Call `error` for the first number that is not within the LIMITS in its field's metadata, or is not finite."""
    for field in (f for cls in dataclass_types for f in dataclasses.fields(cls) if f.init):
        limits = [name for name in LIMITS if name in field.metadata]
        value = getattr(namespace, field.name)
        for number in value if isinstance(value, list) else [value]:
            for name in limits if isinstance(number, int | float) else ():
                holds, words = LIMITS[name]
                if not holds(number, field.metadata[name]) or not math.isfinite(number):
                    error(f"argument --{field.name}: {number} must be {words} {field.metadata[name]}")


def own_parser(dataclass_types: Sequence[type], description: str) -> argparse.ArgumentParser:
    """The flags in groups: those that have to be given first, then the first dataclass (the script's own), then a
    group for each of the others."""
    formatter = functools.partial(argparse.RawDescriptionHelpFormatter, max_help_position=32, width=WIDTH)
    parser = argparse.ArgumentParser(
        usage="%(prog)s [--config FILE.yaml] [options]",
        description=description,
        add_help=False,
        allow_abbrev=False,
        formatter_class=formatter,
    )
    needed = parser.add_argument_group("required, here or in the config")
    own = parser.add_argument_group("options")
    for number, cls in enumerate(dataclass_types):
        hints = typing.get_type_hints(cls)
        group = parser.add_argument_group(heading(cls)) if number else own
        for field in dataclasses.fields(cls):
            if field.init:
                _add_field(needed if _is_required(field, hints[field.name]) else group, field, hints[field.name])
    own.add_argument("-h", "--help", action="help", help="show this and exit; --help_all: every option")
    own.add_argument("--config", metavar="FILE.yaml", help="options from a file; the command line wins over it")
    own.add_argument("--check", action="store_true", help="check the options and the config, print them, and stop")
    return parser


def print_help(dataclass_types: Sequence[type | str], description: str, *, everything: bool) -> None:
    """The script's own flags; with `everything` those of all types, the ones given by name ("trl.SFTConfig") last."""
    own = [t for t in dataclass_types if not isinstance(t, str)]
    named = [t for t in dataclass_types if isinstance(t, str)]
    if everything:
        own_parser(own, description).print_help()
        for name in named:
            module, _, attribute = name.rpartition(".")
            cls = getattr(importlib.import_module(module), attribute)
            flags = trl_parser([cls], "").format_help()
            print(f"\n{name}:\n{flags[flags.index('  --') :]}", end="")
        return
    parser = own_parser(own[:1], description)
    more = [*map(heading, own[1:]), *(f"all of {name}" for name in named)]
    if more:
        parser.epilog = f"More options, with --help_all: {', '.join(more)}."
    parser.print_help()


def heading(cls: type) -> str:
    """Of a dataclass's group in --help_all: JudgeArguments -> "judge"."""
    words = re.sub(r"(Arguments|Options|Config)$", "", cls.__name__) or cls.__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).lower()


def _is_required(field: dataclasses.Field, hint) -> bool:
    given = (field.default, field.default_factory)
    return given == (dataclasses.MISSING, dataclasses.MISSING) and not takes_none(hint)


def _add_field(parser: argparse._ArgumentGroup, field: dataclasses.Field, hint) -> None:
    required = _is_required(field, hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(member for member in typing.get_args(hint) if member is not type(None))
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if default is dataclasses.MISSING:
        default = None
    shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else default
    text = field.metadata.get("help", "") + (f" (default: {shown})" if shown not in (None, "") else "")
    options = {"required": required, "default": default, "help": text.replace("%", "%%").strip()}
    origin = typing.get_origin(hint)
    if hint is bool:
        parser.add_argument(f"--{field.name}", type=_parse_bool, nargs="?", const=True, metavar="BOOL", **options)
        parser.add_argument(
            f"--no_{field.name}", dest=field.name, action="store_false", help=argparse.SUPPRESS, default=default
        )
    elif origin is typing.Literal:
        choices = typing.get_args(hint)
        parser.add_argument(f"--{field.name}", type=type(choices[0]), choices=choices, **options)
    elif origin is list:
        (item,) = typing.get_args(hint)
        choices = typing.get_args(item) if typing.get_origin(item) is typing.Literal else None
        parser.add_argument(
            f"--{field.name}", type=type(choices[0]) if choices else item, choices=choices, nargs="+", **options
        )
    elif hint is dict or origin is dict:
        parser.add_argument(f"--{field.name}", type=_parse_mapping, metavar="JSON", **options)
    else:
        parser.add_argument(f"--{field.name}", type=hint, metavar=hint.__name__.upper(), **options)


def takes_none(hint) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType) and type(None) in typing.get_args(hint)


def _parse_bool(text: str) -> bool:
    if text.lower() in ("true", "yes", "1", "on"):
        return True
    if text.lower() in ("false", "no", "0", "off"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, not {text!r}")


def _parse_mapping(text: str) -> dict:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not a JSON mapping: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a mapping, not {text}")
    return value


def trl_parser(dataclass_types: Sequence[type], description: str) -> argparse.ArgumentParser:
    from trl import TrlParser

    parser = TrlParser([_without_limits(t) for t in dataclass_types], description=description, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE.yaml", help="options from a file; the command line wins over it")
    return parser


def _without_limits(cls: type) -> type:
    """The fields of a dataclass without our LIMITS: TRL's parser hands all metadata to argparse."""
    fields = [f for f in dataclasses.fields(cls) if f.init]
    if not any(set(LIMITS) & set(f.metadata) for f in fields):
        return cls
    hints, plain = typing.get_type_hints(cls), []
    for f in fields:
        default = {k: v for k in ("default", "default_factory") if (v := getattr(f, k)) is not dataclasses.MISSING}
        metadata = {key: value for key, value in f.metadata.items() if key not in LIMITS}
        plain.append((f.name, hints[f.name], dataclasses.field(**default, metadata=metadata)))
    return dataclasses.make_dataclass(cls.__name__, plain)
