"""Make a data set: pictures, questions with their readings and right strategies, reference responses and dialogues.

Reads a config, writes <output_dir>/{train,validation,test,unambiguous,test_ood}.jsonl, images/, audit.json,
README.md (the dataset card) and run.json. The same config and seed give the same bytes, whatever the number of workers.

    python dataset_generation/generate.py --config dataset_generation/configs/tiny.yaml --output_dir runs/tiny/data
"""

from dataclasses import asdict

from clarifyvlm.config import parse_args
from clarifyvlm.errors import run_main
from generating.options import FASTER_ONLY, Options, check


def main(argv: list[str] | None = None) -> int:
    (options,) = parse_args([Options], argv, description=__doc__, check=check)

    from clarifyvlm.run_record import RunRecord
    from folder.write import write_part, write_split
    from generating.plan import MAKING, file_digest, finish_folder, parse_shard, part_of, planned

    number, of = parse_shard(options.shard)
    plan = planned(options)
    with RunRecord.start(
        options.output_dir,
        "dataset_generation/generate.py",
        asdict(options) | ({"pictures": plan.pictures} if plan.pictures else {}),
        inputs=plan.inputs,
        ignore=FASTER_ONLY,
        code=MAKING,
    ) as run:
        if run.complete:
            print(f"{options.output_dir} is complete; nothing to do")
            return 0
        if options.shard:
            counts, written = {}, {}
            for split, jobs in plan.jobs.items():
                part = part_of(len(jobs), number, of)
                counts[split] = write_part(
                    plan.build, plan.settings, split, jobs, part, run.output, options.num_workers
                )
                written[split] = file_digest(run.output / f"{split}.jsonl")
            run.finish(**counts, sha256=written)
            print(f"shard {options.shard}:", " ".join(f"{s}: {n:,}" for s, n in counts.items()), "examples")
            return 0
        seen: set[bytes] = set()
        for split, jobs in plan.jobs.items():
            write_split(plan.build, plan.settings, split, jobs, run.output, seen, options.num_workers)
        return finish_folder(options, plan, run)


if __name__ == "__main__":
    run_main(main, continues=True)
