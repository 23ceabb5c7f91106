"""Families of models. A judge favors what sounds like itself, so it should not be of the policy's family."""

import json
import re
from pathlib import Path

# Family -> how its models' names begin. Where a name has two (llava-v1.6-mistral), the one that comes first counts.
FAMILIES = {
    "qwen": ("qwen", "qwq", "qvq"),
    "llama": ("llama", "codellama"),
    "llava": ("llava",),
    "internvl": ("internvl", "internlm"),
    "gemma": ("gemma", "paligemma", "gemini"),
    "smol": ("smolvlm", "smollm", "idefics"),
    "gpt": ("gpt", "chatgpt", "o1", "o3", "o4"),
    "claude": ("claude",),
    "mistral": ("mistral", "mixtral", "pixtral", "ministral", "magistral"),
    "deepseek": ("deepseek",),
    "phi": ("phi",),
    "glm": ("glm", "cogvlm"),
    "molmo": ("molmo",),
    "minicpm": ("minicpm",),
}
_WORDS = {word: family for family, words in FAMILIES.items() for word in words}
# Not within a word ("ollama", "dolphin"), and the short ones not at the beginning of one ("philosophy").
_PATTERNS = (word + r"(?![a-z])" if len(word) < 4 else word for word in _WORDS)
_BEGINNING = re.compile(rf"(?<![a-z0-9])(?:{'|'.join(_PATTERNS)})", re.IGNORECASE)
_KEYS = ("base_model_name_or_path", "model_type", "architectures")


def family(name_or_path: str) -> str | None:
    """The family of a model: a hub name, a name at an endpoint, or a checkpoint or adapter directory, whose
    adapter_config.json and config.json are read. None where it is none of FAMILIES, or cannot be told."""
    path = Path(name_or_path)
    if not path.is_dir():
        return _named(name_or_path)
    for file in ("adapter_config.json", "config.json"):
        content = _read(path / file)
        for key in _KEYS:
            for value in _texts(content.get(key)):
                base = Path(value)
                is_other = base.is_dir() and base.resolve() != path.resolve()
                if found := family(value) if is_other else _named(value):
                    return found
    return None


def _named(name: str) -> str | None:
    found = _BEGINNING.search(name.rpartition("/")[2]) or _BEGINNING.search(name)
    return _WORDS[found[0].lower()] if found else None


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _texts(value) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]
