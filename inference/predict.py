"""Let a model answer every question of a data file: examples.jsonl + checkpoint -> predictions.jsonl.

    python inference/predict.py --config inference/configs/tiny.yaml --model_name_or_path runs/tiny/grpo \
        --data_file runs/tiny/data/test.jsonl --output_file runs/tiny/inference/grpo/predictions.jsonl

Predictions come in the order of the data file, one line each, with the log-probability of the words. With --turns 2
the simulated user replies when the model asks, and the model answers; with --turns 3 it may ask once more. A run that
was stopped continues where it stopped, and its file is byte for byte that of an undisturbed run: examples are generated
in chunks that depend on the data alone, and a chunk that was cut is generated again. Started by `accelerate launch`,
each process (GPU) takes its share of the chunks, and the file is the same; a small model on a CPU speaks in one worker
per core. Timing is in predictions.run.json.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from clarifyvlm import chat, images, jsonl, processes, users
from clarifyvlm.config import REDO, option, parse_args
from clarifyvlm.errors import UserError, run_main
from clarifyvlm.language.layout import after_reasoning
from clarifyvlm.models import loading
from clarifyvlm.records import Example, Prediction, Turn
from clarifyvlm.run_record import RunRecord
from predicting.endpoint_arguments import EndpointArguments

# Options that change speed, memory or cost, not what is said: a rerun may change them.
SPEED_ONLY = (
    *users.SPEED_ONLY,
    *("batch_size", "device", "vllm_args"),
    *(f"endpoint_{name}" for name in ("api_key_env", "timeout_s", "max_retries", "max_calls", "cache_dir")),
)
CHUNK_BATCHES = 8  # a chunk is at most so many batches: sorted by length inside, written in order when it is done
CHUNKS = 8  # and few enough that there are so many chunks to share out
SMALL = 50_000_000  # parameters up to which a model on the CPU speaks in several workers
LENGTH_BUCKET = 16  # characters of question that count as one length


@dataclass
class PredictArguments:
    # what
    model_name_or_path: str = option(
        "checkpoint or adapter directory, hub name (owner/model), or the model's name at an endpoint"
    )
    data_file: str = option("examples.jsonl; pictures are found relative to it")
    output_file: str = option("predictions.jsonl to write, or to continue")
    num_examples: int | None = option("only the first N examples", None, min=1)
    backend: Literal["transformers", "vllm", "openai"] = option(
        "vllm: faster on GPUs (an extra); openai: a model behind an OpenAI-compatible endpoint", "transformers"
    )
    # how the model speaks
    turns: int = option("2, 3: the simulated user replies when the model asks, and again", 1, min=1, max=3)
    user_kinds: list[str] = option(
        "who replies, kind=weight: helpful, terse, changes_mind, unsure, wrong, off_topic; drawn for each example",
        factory=lambda: ["helpful"],
    )
    ask_cost: float | None = option("tell the model that a question costs this much", None, min=0)
    max_new_tokens: int = option("longest response, in tokens", 128, min=1)
    temperature: float = option("0: always the likeliest token", 0.0, min=0)
    top_p: float = option("with a temperature: sample from this share of probability", 1.0, above=0, max=1)
    seed: int = option("draws the reading that the user has in mind, and the samples", 0)
    # pictures
    image_max_side: int | None = option("shrink longer pictures to this, in pixels", None, min=8)
    image_processor: str | None = option("settings of the model's image processor to change, a JSON mapping", None)
    blank_image: bool = option("show a gray picture instead: what words alone give", False)
    blank_question: bool = option("ask only ?: what the picture alone gives", False)
    # speed and memory
    batch_size: int = option("examples at once; halved when memory runs out", 8, min=1)
    device: str | None = option("cuda, cuda:1, mps, cpu (default: the best there is)", None)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto: float32 on a CPU, the checkpoint's own on a GPU", "auto"
    )
    vllm_args: str | None = option("engine arguments of vLLM, a JSON mapping", None)
    overwrite: bool = option("delete the output file and start anew", False)
    redo: bool = option(REDO, False)


def main(argv: list[str] | None = None) -> int:
    types = [PredictArguments, EndpointArguments, users.UserArguments]
    args, endpoint, played = parse_args(types, argv, description=__doc__, section="predict", check=_check)
    speaker = users.make_user(played, args.turns)
    here = args.backend != "openai"
    if here:
        loading.check_checkpoint(args.model_name_or_path)
    examples = jsonl.read(args.data_file, Example, unique="id")[: args.num_examples]
    if not examples:
        raise UserError(f"{args.data_file} has no examples.")
    inputs = [args.model_name_or_path, args.data_file] if here else [args.data_file]
    ignore = SPEED_ONLY
    settings = asdict(args) | asdict(endpoint) | asdict(played)
    if unknown := images.check_unchanged(examples, Path(args.data_file).parent):
        settings["pictures"] = unknown
    with RunRecord.start(args.output_file, "predict", settings, inputs, ignore=ignore, shared=True) as run:
        if run.complete:
            print(f"{args.output_file}: {len(examples)} predictions, complete already")
            return 0
        images.check_images([e.image for e in examples], Path(args.data_file).parent, max_side=args.image_max_side)
        speaker.check()
        with jsonl.shared_appender(args.output_file, [example.id for example in examples]) as output:
            _predict(args, endpoint, speaker, examples, output)
        counts = _counts(args)
        run.finish(**counts, made_for=loading.made_for(args.model_name_or_path) if here else None)
    print(
        f"{args.output_file}: {counts['predictions']} predictions, {counts['asked']} asked back, "
        f"{counts['cut']} cut at {args.max_new_tokens} tokens"
    )
    return 0


def _check(args: PredictArguments, endpoint: EndpointArguments, played: users.UserArguments) -> None:
    if args.backend != "openai" and endpoint.endpoint_base_url:
        raise UserError("--endpoint_base_url: needs --backend openai.")
    if args.backend != "vllm" and args.vllm_args:
        raise UserError("--vllm_args: needs --backend vllm.")
    users.parse_kinds(args.user_kinds, "--user_kinds")
    if args.turns == 1 and args.user_kinds != ["helpful"]:
        raise UserError(f"--user_kinds {' '.join(args.user_kinds)}: needs --turns 2 or 3, so that there is a reply.")
    if Path(args.output_file).suffix != ".jsonl":
        raise UserError(f"--output_file {args.output_file}: must end in .jsonl.")
    if Path(args.output_file).absolute() == Path(args.data_file).absolute():
        raise UserError("--output_file is the data file; give another.")
    users.make_user(played, args.turns)


def _predict(
    args: PredictArguments, endpoint: EndpointArguments, user, examples: list[Example], output: jsonl.Appender
) -> None:
    """Append the predictions that `output` lacks; of several processes, each takes every so manyeth chunk of them."""
    from tqdm import tqdm

    if unknown := output.done - {example.id for example in examples}:
        raise UserError(
            f"{args.output_file} holds {len(unknown)} predictions about examples that are not among those asked for of "
            f"{args.data_file} ({min(unknown)}, ...). Give --overwrite to start anew, or another --output_file."
        )
    batches = -(-len(examples) // args.batch_size)
    size = args.batch_size * min(CHUNK_BATCHES, max(1, batches // CHUNKS))
    chunks = [(start, examples[start : start + size]) for start in range(0, len(examples), size)]
    left = [(start, chunk) for start, chunk in chunks if any(example.id not in output.done for example in chunk)]
    mine = left[processes.rank() :: processes.count()]
    if left and output.done:
        print(f"{args.output_file}: {len(output.done)} predictions are there, continuing")
    if not mine:
        return
    generator = _generator(args, endpoint)
    with tqdm(total=sum(len(c) for _, c in mine), unit="ex", desc="predict", mininterval=0.5) as bar:
        workers = _workers(args, generator) if isinstance(user, users.Scripted) and len(chunks) > 1 else 0
        if workers:
            made = _in_workers(args, generator, user, mine, workers, bar)
        else:
            made = (_predict_chunk(args, generator, user, chunk, start, bar) for start, chunk in mine)
        for predictions in made:
            for prediction in predictions:
                if prediction.example_id not in output.done:
                    output.append(prediction)


def _workers(args: PredictArguments, generator) -> int:
    """How many workers of one thread each: one per thread of torch where a small model speaks on the CPU, else none.
    Such a model's steps are too short to be shared by threads."""
    if args.backend != "transformers" or processes.count() > 1 or sys.platform != "linux":
        return 0
    import torch

    small = generator.model.device.type == "cpu" and generator.model.num_parameters() <= SMALL
    return torch.get_num_threads() if small and torch.get_num_threads() > 1 and processes.has_workers() else 0


class _Chunks:
    """Chunk -> its predictions, for a DataLoader; a UserError is handed over, to be raised as it is."""

    def __init__(self, args: PredictArguments, generator, user, chunks: list[tuple[int, list[Example]]]):
        self.args, self.generator, self.user, self.chunks = args, generator, user, chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, index: int) -> list[Prediction] | UserError:
        start, chunk = self.chunks[index]
        try:
            return _predict_chunk(self.args, self.generator, self.user, chunk, start)
        except UserError as error:
            return error


def _in_workers(args: PredictArguments, generator, user, chunks: list, workers: int, bar) -> Iterator[list[Prediction]]:
    """The predictions of each chunk, in order. torch's DataLoader forks the workers: they share the loaded model."""
    from torch.utils.data import DataLoader

    how = {"num_workers": min(workers, len(chunks)), "prefetch_factor": 1, "multiprocessing_context": "fork"}
    for predictions in DataLoader(_Chunks(args, generator, user, chunks), batch_size=None, collate_fn=_as_it_is, **how):
        if isinstance(predictions, UserError):
            raise predictions
        bar.update(len(predictions))
        yield predictions


def _as_it_is(predictions):
    return predictions


def _counts(args: PredictArguments) -> dict:
    rows = jsonl.read(args.output_file, Prediction)
    return {
        "predictions": len(rows),
        "asked": sum(len(row.turns) > 1 for row in rows),
        "cut": sum("length" in row.finish_reasons for row in rows),
        "tokens": sum(sum(row.completion_tokens) for row in rows),
    }


def _generator(args: PredictArguments, endpoint: EndpointArguments):
    how = {"max_new_tokens": args.max_new_tokens, "temperature": args.temperature, "top_p": args.top_p}
    if args.backend == "openai":
        from predicting.endpoint_generator import EndpointGenerator

        return EndpointGenerator(args.model_name_or_path, endpoint, concurrency=args.batch_size, **how)
    if args.backend == "vllm":
        from clarifyvlm.models.vllm_engine import VllmGenerator

        how |= {"dtype": args.dtype, "image_processor": args.image_processor, "engine_args": args.vllm_args}
        return VllmGenerator(args.model_name_or_path, **how)
    from clarifyvlm.models.generation import Generator

    model, processor = loading.load(
        args.model_name_or_path, device=args.device, dtype=args.dtype, image_processor=args.image_processor
    )
    return Generator(loading.merged(model), processor, **how)


def _predict_chunk(
    args: PredictArguments, generator, user, chunk: list[Example], start: int, bar=None
) -> list[Prediction]:
    """Predictions for a chunk, in its order. Depends on the chunk and the settings alone, never on earlier chunks."""
    label = loading.model_label(args.model_name_or_path)
    questions = ["?" if args.blank_question else example.question for example in chunk]
    conversations = [chat.user_turn(question, args.ask_cost) for question in questions]
    responses = _say(args, generator, chunk, conversations, f"{start}:1", bar)
    predictions = []
    for example, conversation, said in zip(chunk, conversations, responses, strict=True):
        predictions.append(
            Prediction(
                example_id=example.id,
                text=said.text,
                turns=[Turn(role="assistant", text=said.text)],
                model=label,
                messages=conversation,
                completion_tokens=[said.tokens],
                finish_reasons=[said.finish_reason],
                logprob=_rounded(said.logprob),
                confidence=_rounded(said.confidence),
                reading=_meant(args, example) if args.turns > 1 or args.ask_cost is not None else None,
                user_kind=_user_kind(args, example),
                ask_cost=args.ask_cost,
                seed=args.seed,
            )
        )
    talking = list(zip(chunk, predictions, strict=True))
    for turn in range(2, args.turns + 1):
        talking = _reply(args, generator, user, talking, start, turn)
    return predictions


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)  # further digits are noise of the batch's size


def _reply(args: PredictArguments, generator, user, talking: list, start: int, turn: int) -> list:
    """Play the model's `turn`-th response where the one before asked: the user has one reading in mind, drawn per
    example. Takes and returns (example, prediction) of the dialogues that go on."""
    # of a false premise there is nothing that the user could have meant
    heard = [(e, p, meant) for e, p in talking if (meant := _meant(args, e)) is not None]
    answers = [after_reasoning(p.turns[-1].text) for _, p, _ in heard]  # reasoning is kept in turns and not sent back
    responses = [
        users.Asked(e, text, meant, p.user_kind, turn - 1) for (e, p, meant), text in zip(heard, answers, strict=True)
    ]
    asked = []
    for (example, prediction, _), text, reply in zip(heard, answers, user.replies(responses), strict=True):
        if reply is not None:
            prediction.turns.append(Turn(role="user", text=reply))
            prediction.messages += [chat.text_turn("assistant", text), chat.text_turn("user", reply)]
            asked.append((example, prediction))
    conversations = [prediction.messages for _, prediction in asked]
    responses = _say(args, generator, [example for example, _ in asked], conversations, f"{start}:{turn}")
    for (_, prediction), said in zip(asked, responses, strict=True):
        prediction.turns.append(Turn(role="assistant", text=said.text))
        prediction.completion_tokens.append(said.tokens)
        prediction.finish_reasons.append(said.finish_reason)
    return asked


def _meant(args: PredictArguments, example: Example) -> int | None:
    """The reading that the user has in mind."""
    count = len(example.ambiguity.readings)
    return random.Random(f"{args.seed}:{example.id}").randrange(count) if count else None


def _user_kind(args: PredictArguments, example: Example) -> str | None:
    """Who replies; None where nobody would."""
    if args.turns == 1 or not example.ambiguity.readings:
        return None
    kinds = users.parse_kinds(args.user_kinds, "--user_kinds")
    return random.Random(f"{args.seed}:{example.id}:user").choices(list(kinds), kinds.values())[0]


def _say(
    args: PredictArguments, generator, examples: list[Example], conversations: list, draw: str, bar=None
) -> Iterator:
    """The model's next turn for each, in the given order; batched by length so that little is padding."""
    order = sorted(range(len(examples)), key=lambda i: (_length(conversations[i]) // LENGTH_BUCKET, i))
    responses = {}
    size = args.batch_size if args.backend == "transformers" else max(1, len(order))  # the others batch by themselves
    for first in range(0, len(order), size):
        batch = order[first : first + size]
        pictures = [_picture(args, examples[i]) for i in batch]
        seed = int.from_bytes(hashlib.sha256(f"{args.seed}:{draw}:{first}".encode()).digest()[:6])
        responses.update(zip(batch, generator([conversations[i] for i in batch], pictures, seed=seed), strict=True))
        if bar is not None:
            bar.update(len(batch))
    return (responses[i] for i in range(len(examples)))


def _length(conversation: list[dict]) -> int:
    return sum(len(part.get("text", "")) for message in conversation for part in message["content"])


def _picture(args: PredictArguments, example: Example):
    picture = images.open_image(Path(args.data_file).parent / example.image, max_side=args.image_max_side)
    if args.blank_image:
        picture.paste((128, 128, 128), (0, 0, *picture.size))
    return picture


if __name__ == "__main__":
    run_main(main, continues=True)
