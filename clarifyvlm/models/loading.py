"""Checkpoint -> model and processor: a Hugging Face directory, a PEFT adapter directory, or a name on the hub.

`check_checkpoint` looks at the files alone (no torch), so that a wrong or torn directory fails in milliseconds.
"""

import json
import re
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from clarifyvlm import processes
from clarifyvlm.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, ProcessorMixin
    from transformers.utils.quantization_config import QuantizationConfigMixin

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
DTYPES = ("auto", "float32", "bfloat16", "float16")
HUB_TIMEOUT_S = 10
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_adapter(path: str | Path) -> bool:
    """Whether `path` is a local PEFT adapter directory."""
    return (Path(path) / ADAPTER_CONFIG).is_file()


def default_device() -> str:
    """ "cuda" where a GPU is, then "mps", else "cpu"; "cpu" where accelerate was told to use it."""
    import torch

    if processes.on_cpu():
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def model_label(path: str | Path) -> str:
    """A model's name in records: the hub name, or the last part of a local path ("runs/tiny/grpo" -> "grpo")."""
    return Path(path).resolve().name if Path(path).exists() else str(path)


# --- checks without torch ----------------------------------------------------------------------------------------


def check_checkpoint(path: str | Path, *, ask_hub: bool = True) -> None:
    """Raise UserError when `path` cannot be an image-text-to-text checkpoint: absent, empty, torn or text-only.

    Looks at names, JSON files and safetensors headers only; for a hub name, asks the hub once whether it has it.
    """
    path = Path(path)
    if not path.exists():
        _check_hub_name(str(path))
        if ask_hub:
            _ask_hub(str(path))
        return
    if not path.is_dir():
        raise UserError(f"{path} is a file; a model is a directory with config.json or {ADAPTER_CONFIG} in it.")
    names = {p.name for p in path.iterdir()}
    if not names - {".lock"}:
        raise UserError(f"{path} is empty; a model directory holds config.json or {ADAPTER_CONFIG}, and weights.")
    unfinished = _unfinished(path)
    if ADAPTER_CONFIG in names:
        _read_json(path / ADAPTER_CONFIG)
        _check_weights(path / ADAPTER_WEIGHTS, unfinished)
        base = base_of(path)
        try:
            check_checkpoint(base, ask_hub=ask_hub)
        except UserError as error:
            raise UserError(f"the base model of the adapter {path} cannot be used: {error}") from None
        return
    if "config.json" not in names:
        inner = sorted(n for n in names if (path / n / "config.json").is_file() or is_adapter(path / n))
        hint = f" There are models in: {', '.join(str(path / n) for n in inner)}." if inner else unfinished
        raise UserError(f"{path} is no model: it has neither config.json nor {ADAPTER_CONFIG}.{hint}")
    config = _read_json(path / "config.json")
    if not any("vision" in key or "image" in key or key == "encoder" for key in config):
        raise UserError(
            f"{path} is a text-only model ({config.get('model_type', 'unknown type')}); "
            "give a vision-language model (image-text-to-text)."
        )
    if "model.safetensors.index.json" in names:
        for shard in sorted(set(_read_json(path / "model.safetensors.index.json").get("weight_map", {}).values())):
            _check_weights(path / shard, unfinished)
    elif not any(n.endswith(".bin") for n in names):
        _check_weights(path / "model.safetensors", unfinished)
    if not names & {"preprocessor_config.json", "processor_config.json"}:
        raise UserError(
            f"{path} has no processor (preprocessor_config.json or processor_config.json is missing), so pictures "
            "cannot be fed to it. Copy the processor's files from the model it was made from."
        )


def base_of(adapter: str | Path) -> str:
    """The base model that an adapter directory names: as given if that is there from the current folder, else
    relative to the adapter directory or to a folder above it, else a hub name. UserError when there is none."""
    adapter = Path(adapter)
    base = _read_json(adapter / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not base:
        raise UserError(
            f"{adapter / ADAPTER_CONFIG}: base_model_name_or_path: is missing; write the base's path there."
        )
    if not Path(base).is_absolute():
        for folder in (Path(), *[adapter.resolve(), *adapter.resolve().parents][:6]):
            if (folder / base / "config.json").is_file() or is_adapter(folder / base):
                return str(folder / base)
    if Path(base).exists() or HUB_NAME.fullmatch(base) and not Path(base.split("/")[0]).is_dir():
        return base
    raise UserError(
        f"the base model {base} of the adapter {adapter} is not there. Write its path in {adapter / ADAPTER_CONFIG} "
        "(base_model_name_or_path), absolute or relative to the current folder or to the adapter."
    )


def made_for(path: str | Path) -> str | None:
    """The only source of pictures that a model was trained to see ("scenes"), as `made_for` in its config.json says;
    training keeps it. None where it says nothing: general models, hub names."""
    path = base_of(path) if is_adapter(path) else path
    config = Path(path) / "config.json"
    return _read_json(config).get("made_for") if config.is_file() else None


def _check_hub_name(name: str) -> None:
    first = name.split("/")[0]
    if not HUB_NAME.fullmatch(name) or first in (".", "..", "~", "runs", "models") or Path(first).is_dir():
        raise UserError(f"no model directory {name}. Give the path of a checkpoint, or a hub name (owner/model).")


def _ask_hub(name: str) -> dict:
    """from_pretrained's options for a hub model: from the hub, or from the cache when there is no network.

    One request with a deadline; from_pretrained itself would retry each file for half a minute.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    try:
        info = HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
    except HfHubHTTPError as error:
        if cached:
            return {"local_files_only": True}
        raise UserError(
            f"the hub does not give {name} ({_first_line(error)}). Check the name; a gated or private "
            "model needs `hf auth login`."
        ) from error
    except Exception as error:  # whatever the HTTP library raises when there is no network
        if cached:
            return {"local_files_only": True}
        raise UserError(
            f"cannot reach the hub for the model {name} ({_first_line(error)}). Without a network, give a "
            f"local path: copy the model to this machine (`hf download {name} --local-dir DIR` where there is one) and "
            "pass --model_name_or_path DIR."
        ) from error
    if any(file.rfilename == ADAPTER_CONFIG for file in info.siblings or []):
        raise UserError(
            f"{name} is an adapter on the hub, whose weights can only be checked in a local directory: "
            f"`hf download {name} --local-dir DIR`, then --model_name_or_path DIR."
        )
    return {}


def _unfinished(path: Path) -> str:
    try:
        record = json.loads((path / "run.json").read_text())
    except (OSError, ValueError):
        return ""
    if record.get("status") == "complete":
        return ""
    return f" The run that writes it ({record.get('stage')}) has not finished: run that command again, it continues."


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is torn or not JSON ({error}); copy or make the checkpoint again.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a JSON mapping; copy or make the checkpoint again.")
    return content


def safetensors_keys(path: Path) -> list[str]:
    """Tensor names in a safetensors file. UserError when the file is torn (its length is not what its header says)."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length <= path.stat().st_size else None
        header.pop("__metadata__", None)
        needed = 8 + length + max((t["data_offsets"][1] for t in header.values()), default=0)
    except (OSError, struct.error, ValueError, AttributeError, KeyError) as error:
        raise UserError(f"{path} is torn ({error}); copy or make the checkpoint again.") from None
    if path.stat().st_size != needed:
        raise UserError(f"{path} is torn: {path.stat().st_size} bytes of {needed}; copy or make the checkpoint again.")
    return list(header)


def _check_weights(path: Path, unfinished: str) -> None:
    if not path.is_file():
        raise UserError(f"{path.parent} has no weights: {path.name} is missing.{unfinished}")
    safetensors_keys(path)


# --- loading -----------------------------------------------------------------------------------------------------


def load(
    path: str | Path,
    *,
    device: str | None = None,
    dtype: "str | torch.dtype | None" = None,
    trainable: bool = False,
    image_processor: str | None = None,
    quantization: "QuantizationConfigMixin | None" = None,
    attn_implementation: str | None = None,
) -> "tuple[PreTrainedModel, ProcessorMixin]":
    """(model, processor) of a checkpoint directory, an adapter directory or a hub name; in eval mode unless trainable.

    dtype: None or "auto" is float32 on a CPU, on a GPU the checkpoint's own (float32 for a float16 checkpoint that is
    to be trained: optimizer steps vanish in float16; for a large one give bfloat16). A local path never asks the hub.
    An adapter is attached to its base (a PeftModel comes back) and every one of its weights must be in the file:
    a silently missing adapter would train or measure the base. With `trainable` its weights ask for gradients.
    image_processor: settings of the image processor to change, as JSON; they are saved with it.
    quantization: of the base's weights (bitsandbytes), for training an adapter on them.
    Raises UserError for all that `check_checkpoint` finds, and for no network, a text-only model, weights that do
    not fit, or a processor that needs torchvision.
    """
    check_checkpoint(path)
    import torch
    from transformers import AutoModelForImageTextToText
    from transformers.utils import logging

    device = device or default_device()
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"--device {device}: torch sees no GPU. Give --device cpu.")
    if dtype in (None, "auto"):
        dtype = torch.float32 if device == "cpu" else "auto"
    elif isinstance(dtype, str):
        if dtype not in DTYPES:
            raise UserError(f"--dtype {dtype}: must be one of {', '.join(DTYPES)}.")
        dtype = getattr(torch, dtype)

    base = base_of(path) if is_adapter(path) else str(path)
    if is_adapter(base):
        raise UserError(f"{path} is an adapter on the adapter {base}; merge the inner one into its base first.")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    options = {"local_files_only": True} if Path(base).is_dir() else _ask_hub(base)
    how = {"dtype": dtype, "attn_implementation": attn_implementation}
    if quantization is not None:
        how |= {"quantization_config": quantization, "device_map": {"": device}}
    try:
        model, info = AutoModelForImageTextToText.from_pretrained(base, output_loading_info=True, **how, **options)
    except ImportError as error:  # bitsandbytes, flash-attn
        raise UserError(f"cannot load {base}: {_first_line(error)}") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _load_error(base, error) from error
    faults = [f"{len(keys)} weights {what} ({', '.join(sorted(map(str, keys))[:3])}, ...)" for what, keys in (
        ("are missing from the file", info["missing_keys"]),
        ("have another shape", info["mismatched_keys"]),
    ) if keys]  # fmt: skip
    if faults:
        raise UserError(f"{base}: the weights do not fit the config: {'; '.join(faults)}.")
    if dtype == "auto" and trainable and model.dtype == torch.float16:
        model.float()
    processor = load_processor(path, base, options)
    if image_processor:
        processor.image_processor = _changed(processor.image_processor, image_processor)
    if is_adapter(path):
        model = _attach(model, Path(path), trainable)
        model.peft_config["default"].base_model_name_or_path = base
    if quantization is None:  # else it is there already
        model.to(device)
    return (model.train() if trainable else model.eval()), processor


def load_processor(path: str | Path, base: str, base_options: dict):
    """Of `path`, or of its base where it has none. UserError where it cannot be used here."""
    from transformers import AutoProcessor

    own = Path(path).is_dir() and any(
        (Path(path) / name).is_file() for name in ("processor_config.json", "preprocessor_config.json")
    )
    source, options = (str(path), {"local_files_only": True}) if own else (base, base_options)
    try:
        processor = AutoProcessor.from_pretrained(source, **options)
    except ImportError as error:
        needed = "torchvision" if "orchvision" in str(error) else _first_line(error)
        raise UserError(
            f"the processor of {source} needs {needed}, which is not installed. It comes with the GPU packages: "
            "pip install 'clarifyvlm[gpu]' (a CPU build of torch and torchvision must match each other)."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _load_error(source, error) from error
    if not (hasattr(processor, "image_processor") and hasattr(processor, "tokenizer")):
        raise UserError(f"{source} has no image processor: it is a text-only model; give a vision-language model.")
    if not (processor.chat_template or processor.tokenizer.chat_template):
        raise UserError(f"{source} has no chat template; give an instruction-tuned (chat) model.")
    return processor


def _changed(image_processor, settings: str):
    """A copy with other settings, those of a JSON mapping. UserError for one that it does not have."""
    try:
        changes = json.loads(settings)
        assert isinstance(changes, dict)
    except (ValueError, AssertionError):
        raise UserError(
            f"--image_processor {settings}: must be a mapping, as in {{do_image_splitting: false}}."
        ) from None
    known = image_processor.to_dict()
    for name in changes:
        if name not in known and not hasattr(image_processor, name):
            raise UserError(
                f"--image_processor: {type(image_processor).__name__} has no setting {name!r}; it has: "
                f"{', '.join(sorted(n for n in known if not n.endswith('_type')))}."
            )
    return type(image_processor).from_dict(known | changes)


def _attach(model, path: Path, trainable: bool):
    """`model` with the adapter of `path`; every adapter weight must be in the file, and every one in the file used."""
    from peft import PeftModel, get_peft_model_state_dict
    from transformers.integrations import is_deepspeed_zero3_enabled

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Found missing adapter keys": an error below, not a warning
            upcast = not is_deepspeed_zero3_enabled()  # ZeRO-3 cannot gather weights of two types
            model = PeftModel.from_pretrained(model, str(path), is_trainable=trainable, autocast_adapter_dtype=upcast)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"the adapter {path} does not fit its base: {_first_line(error)}") from error
    expected = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    found = set(safetensors_keys(path / ADAPTER_WEIGHTS))
    embeddings = {key for key in found if "embed_tokens" in key or "lm_head" in key}
    missing, unused = expected - found, found - expected - embeddings
    for keys, what in ((missing, "lacks"), (unused, "has, but its base does not take,")):
        if keys:
            raise UserError(
                f"the adapter {path} {what} {len(keys)} weights ({', '.join(sorted(keys)[:3])}"
                f"{', ...' if len(keys) > 3 else ''}). It was made for another base or is torn: train it again."
            )
    return model


def merged(model):
    """`model` with its adapter folded into the weights where that is exact (float32): it speaks faster.

    For inference only. A model without an adapter, or in a shorter dtype, comes back as it is.
    """
    import torch
    from peft import PeftModel

    if isinstance(model, PeftModel) and model.dtype == torch.float32:
        return model.merge_and_unload()
    return model


def _load_error(name: str, error: Exception) -> UserError:
    if "Unrecognized configuration class" in str(error):
        return UserError(f"{name} is not an image-text-to-text model (text-only?); give a vision-language model.")
    return UserError(f"cannot load {name}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
