"""The LLM judge's client: many calls at once against the ideal, CPU per verdict, a rerun from the cache, and what a
remote judge adds to a GRPO step.

    python benchmarks/judge.py            # two or three minutes
    python benchmarks/judge.py --quick    # under a minute; no training

A server of the benchmark's own, in its own process on loopback, answers every call after a set time with one fixed
verdict. Verdicts of 512 different responses at 200 ms and 64 at once would ideally take 1.6 s; the baseline of that row
is one call at a time, measured on 16 responses and scaled. The GRPO step is that of preset tiny on the untuned base, 64
completions sampled so hot that they differ; its baseline is the same step with the offline judge.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from clarifyvlm.config import option, parse_args
from clarifyvlm.errors import run_main
from measure import report, row, run

LATENCY_S, AT_ONCE, ALONE, REPEATS = 0.2, 64, 16, 5
VERDICT = {
    "false_claims": [],
    "strategy_evidence": "answers",
    "used_strategy": "answer",
    "answer_evidence": "red",
    "states_answer": True,
    "answered_readings": [{"reading": 1, "right": True}],
    "ignores_other_readings": False,
    "asks_which": False,
    "question_evidence": "",
    "separated_readings": [],
}


@dataclass
class Arguments:
    num_verdicts: int = option("different responses to judge", 512)
    num_cached: int = option("cached verdicts to read again", 10000)
    num_steps: int = option("GRPO steps with each judge; the first is left out", 8)
    quick: bool = option("1,000 cached verdicts, no GRPO", False)
    output_dir: str = option("folder for judge.json", "benchmarks/results")


def main(argv: list[str] | None = None) -> int:
    (args,) = parse_args([Arguments], argv, description=__doc__)
    n, cached = args.num_verdicts, min(args.num_cached, 1000) if args.quick else args.num_cached
    ideal = LATENCY_S * -(-n // AT_ONCE)
    with Server(LATENCY_S) as url:
        taken = sorted(judge(url, n)[0] for _ in range(REPEATS))
        alone, _ = judge(url, ALONE, concurrency=1)
    with Server(0.0) as url, tempfile.TemporaryDirectory() as folder:
        _, cpu = judge(url, n)
        judge(url, cached, judge_cache_dir=folder)
        warm, _ = judge(url, cached, judge_cache_dir=folder, judge_max_calls=0)  # no call is allowed
    rows = [
        row(f"{n} verdicts, {LATENCY_S * 1000:g} ms a call, {AT_ONCE} at once (median of {REPEATS}: {taken[0]:.2f} to "
            f"{taken[-1]:.2f})", taken[REPEATS // 2], "s",
            baseline=alone / ALONE * n, at_most=1.25 * ideal),
        row("CPU of the client per verdict, no latency", cpu / n * 1000, "ms", at_most=3.0),
        row(f"{cached} cached verdicts, 0 calls", warm, "s", at_most=5.0),
    ]  # fmt: skip
    if not args.quick:
        with Server(LATENCY_S) as url, tempfile.TemporaryDirectory() as folder:
            offline, remote, calls = grpo_steps(Path(folder), url, args.num_steps)
        rows.append(row(f"GRPO step of 64, {calls:.0f} calls to a {LATENCY_S * 1000:g} ms judge", remote, "s",
                        baseline=offline, at_most=offline + 1.0))  # fmt: skip
    report("judge", rows, args.output_dir)
    return 0


def judge(url: str, count: int, concurrency: int = AT_ONCE, **options) -> tuple[float, float]:
    """(seconds, CPU seconds of this process) for `count` verdicts. RuntimeError where one of them failed."""
    from clarifyvlm.judges import JudgeArguments, make_judge
    from clarifyvlm.records import Ambiguity, Example, Facts, Object, Prediction, Reading

    star = Object(id="o0", name="star", box=(4, 4, 40, 40), place="top left", salience=0.1, color="red", size="large")
    example = Example(
        id="e", split="test", image="e.png", image_sha256="", question="What color is the star?", kind="color",
        ambiguity=Ambiguity(type="none", level=0, readings=[
            Reading(objects=["o0"], expression="the star", answer="red")]),
        strategy="answer", reference="It is red.", facts=Facts(source="scenes", width=96, height=96, objects=[star]),
    )  # fmt: skip
    predictions = [Prediction(example_id="e", text=f"The star at number {i} is red.") for i in range(count)]
    options = {"no_judge_cache": "judge_cache_dir" not in options} | options
    arguments = JudgeArguments(
        judge="openai", judge_base_url=url, judge_model="m", judge_concurrency=concurrency, **options
    )
    asked = make_judge(arguments)
    asked.check()  # as every script does; it loads the client library
    began, cpu = time.perf_counter(), time.process_time()
    verdicts = asked.judge([example] * count, predictions)
    taken = time.perf_counter() - began, time.process_time() - cpu
    failed = [v.failure for v in verdicts if v.failure]
    if failed:
        raise RuntimeError(f"{len(failed)} of {count} verdicts failed: {failed[0]}")
    return taken


def grpo_steps(folder: Path, url: str, steps: int) -> tuple[float, float, float]:
    """Median seconds of a step with the offline judge and with the one at `url`; mean calls of a step to that."""
    sizes = ["--num_train", 120, "--num_validation", 12, "--num_test", 0, "--num_test_ood", 0]
    sizes += ["--num_unambiguous", 0, "--num_replay", 0, "--min_per_cell", 0]
    config = "dataset_generation/configs/tiny.yaml"
    run([sys.executable, "dataset_generation/generate.py", "--config", config, "--output_dir", folder / "data", *sizes])
    command = [
        sys.executable,
        "tuning_grpo/train.py",
        "--config",
        "tuning_grpo/configs/tiny.yaml",
        "--allow_base_model",
    ]
    command += ["--model_name_or_path", "models/tiny", "--data_dir", folder / "data", "--num_prompts", 60]
    command += ["--max_steps", steps, "--save_strategy", "no", "--temperature", 2.5, "--num_validation_examples", 6]
    judges = {
        "offline": ["--judge", "scene"],
        "remote": ["--judge", "openai", "--judge_base_url", url, "--judge_model", "m", "--judge_concurrency", AT_ONCE,
                   "--no_judge_cache", "--reference_judge", "none"],
    }  # fmt: skip
    seconds, calls = {}, 0.0
    for name, flags in judges.items():
        run([*command, "--output_dir", folder / name, *flags])
        rows = [json.loads(line) for line in (folder / name / "log.jsonl").read_text().splitlines()]
        rows = [row for row in rows if "step_time" in row][1:]
        seconds[name] = statistics.median(row["step_time"] for row in rows)
        calls = statistics.mean(row.get("judge_calls", 0) for row in rows)
    return seconds["offline"], seconds["remote"], calls


class Server:
    """`with Server(latency) as url`: chat completions on a free loopback port, from a process of its own."""

    def __init__(self, latency_s: float):
        self.port = multiprocessing.Value("i", 0)
        self.process = multiprocessing.Process(target=_serve, args=(latency_s, self.port), daemon=True)

    def __enter__(self) -> str:
        self.process.start()
        while not self.port.value:
            time.sleep(0.01)
        return f"http://127.0.0.1:{self.port.value}/v1"

    def __exit__(self, *_):
        self.process.terminate()
        self.process.join()


def _serve(latency_s: float, port) -> None:
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": json.dumps(VERDICT)},
    }
    body = json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
    reply = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                await reader.readexactly(length)
                await asyncio.sleep(latency_s)
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    run_main(main)
