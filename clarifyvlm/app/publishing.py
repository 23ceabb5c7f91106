"""A checkpoint -> a folder that others can load, with a model card; to the hub only where that is asked for.

The folder is made under another name, loaded from there, and renamed when it is whole.
"""

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm import chat
from clarifyvlm.app import model_card, provenance
from clarifyvlm.config import option
from clarifyvlm.errors import UserError
from clarifyvlm.models import loading
from clarifyvlm.paths import home

FILES = re.compile(  # of a checkpoint; not its logs, optimizer, run.json: they hold paths of this machine
    r"(model|adapter_model|pytorch_model).*\.(safetensors|bin)|.*\.index\.json|config\.json|generation_config\.json"
    r"|adapter_config\.json|(video_)?(pre)?processor_config\.json|chat_template\.(jinja|json)"
    r"|tokenizer.*\.(json|model)|vocab\.(json|txt)|merges\.txt|special_tokens_map\.json|added_tokens\.json|.*\.tiktoken"
)
PROCESSOR = ("processor_config.json", "preprocessor_config.json")
TOLERANCE = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}  # of merged logits, relative to the largest one


@dataclass
class PublishArguments:
    model_name_or_path: str = option("checkpoint or adapter, a local folder")
    output_dir: str = option("folder to write")
    report_dir: str | None = option("its report (default: the card says: not evaluated)", None)
    model_row: str | None = option("its row there (default: found by its content)", None)
    merge: bool = option("fold an adapter into its base, for servers such as vLLM", False)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "of the merged weights; auto: that of the base", "auto"
    )
    base_model: str | None = option("the base's name on the hub, owner/name", None)
    license: str | None = option("of the base, such as apache-2.0, where it does not say", None)
    push_to_hub: str | None = option("owner/name to upload to; nothing is without it", None)
    private: bool = option("only for you to see on the hub", False)
    overwrite: bool = option("replace what an earlier publish wrote there", False)


def publish(args: PublishArguments) -> Path:
    """Write `args.output_dir` and push it where asked. UserError for whatever the user can mend; then nothing is left
    behind. Returns the folder."""
    model, output = Path(args.model_name_or_path), Path(args.output_dir)
    _check(args, model, output)
    history = provenance.history(model)
    base = _hub_name(args, history.base)
    found = provenance.results(model, args.report_dir, args.model_row) if args.report_dir else None
    if args.push_to_hub:
        _check_access()
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        folder.chmod(0o755)
        merging = None
        if args.merge:
            merging = _merge(model, folder, args.dtype)
        else:
            _copy(model, folder, base, output)
        _remove_paths(folder)
        facts = model_card.Facts(
            name=args.push_to_hub or output.resolve().name,
            on_hub=bool(args.push_to_hub),
            adapter=loading.is_adapter(folder),
            base=base,
            license=args.license or model_card.license_of(history.base) or _license_on_hub(args, base),
            made_for=loading.made_for(model),
            history=history,
            results=found,
            merging=merging,
        )
        (folder / "README.md").write_text(model_card.card(facts), encoding="utf-8")
        _check_no_paths(folder, model)
        if not args.merge:
            loading.load(folder, device="cpu", dtype="bfloat16")
        _replace(folder, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if args.push_to_hub:
        _push(output, args.push_to_hub, args.private)
    return output


def _check(args: PublishArguments, model: Path, output: Path) -> None:
    for flag, name in (("base_model", args.base_model), ("push_to_hub", args.push_to_hub)):
        if name is not None and not loading.HUB_NAME.fullmatch(name):
            raise UserError(f"--{flag} {name}: a name on the hub is owner/name.")
    if not model.is_dir():
        raise UserError(f"{model} is no folder here; publish takes a checkpoint that was trained on this machine.")
    loading.check_checkpoint(model)
    if args.merge and not loading.is_adapter(model):
        raise UserError(f"{model} is a whole model, no adapter: leave --merge out.")
    if args.dtype != "auto" and not args.merge:
        raise UserError("--dtype is for --merge; without it the weights stay as they are.")
    if (args.model_row and not args.report_dir) or (args.private and not args.push_to_hub):
        raise UserError("--model_row needs --report_dir, and --private needs --push_to_hub.")
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is a file; give a folder to write to.")
    if output.is_dir() and any(output.iterdir()):
        if not args.overwrite:
            raise UserError(f"{output} is not empty. Give another --output_dir, or --overwrite to replace it.")
        card = output / "README.md"
        if not card.is_file() or model_card.SIGNATURE not in card.read_text(encoding="utf-8", errors="replace"):
            raise UserError(f"{output} holds what no publish wrote, and is not overwritten. Give another --output_dir.")


def _hub_name(args: PublishArguments, base: str) -> str | None:
    """The base's name on the hub, None where it has none. UserError where an adapter on the hub would need one."""
    on_hub = loading.HUB_NAME.fullmatch(base) and not Path(base).exists() and not base.startswith(("runs/", "models/"))
    name = args.base_model or (base if on_hub else None)
    if args.push_to_hub and name is None and loading.is_adapter(args.model_name_or_path) and not args.merge:
        raise UserError(
            f"the adapter's base is a folder of this machine ({base}), which nobody else has. Say what it is called on "
            "the hub: --base_model owner/name; or push the whole model: --merge."
        )
    return name


# --- the folder --------------------------------------------------------------------------------------------------


def _copy(model: Path, folder: Path, base: str | None, output: Path) -> None:
    """The checkpoint's own files; an adapter gets the processor it lacks and a base that can be found from there."""
    for path in sorted(model.iterdir()):
        if FILES.fullmatch(path.name) and path.is_file():
            shutil.copyfile(path, folder / path.name)
    if not loading.is_adapter(model):
        return
    if not any((folder / name).is_file() for name in PROCESSOR):
        loading.load(model, device="cpu")[1].save_pretrained(folder)
    path = folder / loading.ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    local = Path(loading.base_of(model))
    config["base_model_name_or_path"] = base or os.path.relpath(local.resolve(), output.resolve())
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _merge(model: Path, folder: Path, dtype: str) -> dict:
    """The adapter folded into its base, in float32 and cast once. Returns how far the logits of the result, loaded
    again, are from the adapter's: {"dtype", "difference", "effect" (of the adapter), "largest" (logit)}."""
    import torch

    peft_model, processor = loading.load(model, device="cpu", dtype="float32")
    dtype = _own_dtype(model) if dtype == "auto" else dtype
    wanted = _logits(peft_model, processor)
    with peft_model.disable_adapter():
        effect = (wanted - _logits(peft_model, processor)).abs().max().item()
    whole = loading.merged(peft_model).to(getattr(torch, dtype))
    whole.save_pretrained(folder)
    processor.save_pretrained(folder)
    del whole, peft_model
    reloaded = _logits(*loading.load(folder, device="cpu", dtype="float32"))
    found = {"dtype": dtype, "effect": effect, "largest": wanted.abs().max().item()}
    found["difference"] = (wanted - reloaded).abs().max().item()
    if not found["difference"] <= TOLERANCE[dtype] * found["largest"]:
        raise UserError(
            f"the merged model is not the adapter: logits differ by {found['difference']:.3g} (largest "
            f"{found['largest']:.3g}) in {dtype}. Give --dtype float32."
        )
    return found


def _own_dtype(model: Path) -> str:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(loading.base_of(model))
    dtype = str(config.dtype or config.get_text_config().dtype or "float32").removeprefix("torch.")
    return dtype if dtype in TOLERANCE else "float32"


def _logits(model, processor):
    """Of one picture and question, (T, V)."""
    import torch
    from PIL import Image

    from clarifyvlm.models.generation import encode

    picture = Image.linear_gradient("L").resize((96, 96)).convert("RGB")
    inputs = encode(processor, [chat.user_turn("What color is the star?")], [picture])
    with torch.inference_mode():
        return model(**inputs).logits[0].float()


def _remove_paths(folder: Path) -> None:
    """No absolute path stays in the JSON files: such a name becomes its last part."""

    def clean(value):
        if isinstance(value, dict):
            return {key: clean(v) for key, v in value.items()}
        if isinstance(value, list):
            return [clean(v) for v in value]
        return Path(value).name if isinstance(value, str) and value.startswith("/") and Path(value).exists() else value

    for path in folder.glob("*config.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if clean(content) != content:
            path.write_text(json.dumps(clean(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_no_paths(folder: Path, model: Path) -> None:
    """UserError where the card or a config tells where something is on this machine."""
    private = {Path(home() or "/"), Path.cwd(), model.resolve(), model.resolve().parent}
    private = {path for path in private if len(path.parts) > 1}
    found = re.compile("|".join(rf"(?<![\w.-]){re.escape(str(p))}(?![\w.-])" for p in sorted(private)))
    for path in (*folder.glob("*config.json"), *folder.glob("*.jinja"), folder / "README.md"):
        told = found.search(path.read_text(encoding="utf-8"))
        if told:
            raise UserError(f"{path.name} would tell the path {told[0]} of this machine; remove it from {model}.")


def _replace(folder: Path, output: Path) -> None:
    """Rename `folder` to `output`; what is there goes only after the new one is whole."""
    if not output.exists():
        folder.rename(output)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    output.rename(old / "old")
    folder.rename(output)
    shutil.rmtree(old)


# --- the hub -----------------------------------------------------------------------------------------------------


def _check_access() -> None:
    """A token, and a hub that takes it; before any work is done."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise UserError("pushing needs a token that may write: `hf auth login`, or HF_TOKEN in the environment.")
    _ask(lambda: HfApi().whoami(), "who you are")


def _license_on_hub(args: PublishArguments, base: str | None) -> str | None:
    """What the hub says of the base; asked only when pushing, and then the base must be there."""
    from huggingface_hub import HfApi

    if not (args.push_to_hub and base):
        return None
    data = _ask(lambda: HfApi().model_info(base), f"about the base {base}").card_data
    return data.license if data is not None and isinstance(data.license, str) else None


def _push(folder: Path, name: str, private: bool) -> None:
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        _ask(lambda: api.create_repo(name, private=private or None, exist_ok=True), f"for {name}")
        if private and not _ask(lambda: api.model_info(name), f"about {name}").private:
            raise UserError(f"{name} is there already, and public: nothing was uploaded. Make it private first.")
        title = model_card.SIGNATURE
        _ask(lambda: api.upload_folder(repo_id=name, folder_path=folder, commit_message=title), f"to take {name}")
    except UserError as error:
        again = f"{error} {folder} is complete; the same command with --overwrite makes it again and pushes."
        raise UserError(again) from error.__cause__


def _ask(request, what: str):
    """What the hub answers; UserError in one line where it refuses or cannot be reached."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return request()
    except (HfHubHTTPError, ValueError) as error:
        raise UserError(f"the hub refuses, asked {what} ({loading._first_line(error)}).") from error
    except Exception as error:  # whatever the HTTP library raises when there is no network
        raise UserError(f"cannot reach the hub, to ask {what} ({loading._first_line(error)}).") from error
