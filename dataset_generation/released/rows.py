"""The rows of one released benchmark, whatever the release names its columns."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from clarifyvlm.errors import UserError
from released import files, module
from released.items import blank

SPLITS = ("set", "split")  # columns in which releases say of which split a row is


@dataclass
class Source:
    """Where the rows lie. `name` is for errors; `renames`: ours -> theirs."""

    benchmark: str
    data_file: str | None = None
    annotations: str | None = None
    hub_id: str | None = None
    hub_config: str | None = None
    hub_split: str = "test"
    renames: dict[str, str] = field(default_factory=dict)
    num_rows: int | None = None

    @property
    def name(self) -> str:
        return self.data_file or self.hub_id

    def read(self) -> Iterator[tuple[dict, dict]]:
        """(a row under the names that its module knows, the row as released). UserError for annotations that do not
        fit the questions, or a first row that is none of the benchmark."""
        wanted = module(self.benchmark)
        rows = self._rows()
        if hasattr(wanted, "merged"):
            rows = wanted.merged(row | self._renamed(row) for row in rows)
        for number, released in enumerate(rows, start=1):
            if self.num_rows is not None and number > self.num_rows:
                return
            row = {**released, **self._renamed(released), "configuration": self._configuration()}
            for name, others in wanted.BENCHMARK.columns.items():
                if blank(row.get(name)):
                    row[name] = next((row[other] for other in others if not blank(row.get(other))), None)
            if number == 1:
                self._check(row, released)
            yield row, released

    def _rows(self) -> Iterator[dict]:
        if self.hub_id:
            return files.read_hub(self.hub_id, self.hub_config, self.hub_split)
        rows = files.read(self.data_file)
        return self._annotated(rows) if self.annotations else rows

    def _annotated(self, rows: Iterator[dict]) -> Iterator[dict]:
        """The questions with what the annotations say of them."""
        answers: dict[str, dict] = {}
        for row in files.read(self.annotations):
            if answers.setdefault(_id(row, "question_id"), row) != row:
                raise UserError(f"{self.annotations}: two rows with question_id {row.get('question_id')} differ")
        found = 0
        for row in rows:
            answer = answers.get(_id(row, "question_id"), {})
            if answer and "image_id" in answer and _id(answer, "image_id") != _id(row, "image_id"):
                raise UserError(
                    f"{self.annotations}: question {row['question_id']} is of picture {answer['image_id']}, in "
                    f"{self.data_file} of {row.get('image_id')}. Are they of one split?"
                )
            found += bool(answer)
            yield row | answer
        if not found:
            raise UserError(f"{self.annotations}: has none of the questions of {self.data_file}")

    def _renamed(self, row: dict) -> dict:
        return {ours: row[theirs] for ours, theirs in self.renames.items() if theirs in row}

    def _configuration(self) -> str:
        """Names that may say which part of a benchmark it is."""
        path = (self.data_file or "").replace("\\", "/").split("/")[-2:]
        return "/".join([*path, self.hub_config or ""])

    def _check(self, row: dict, released: dict) -> None:
        benchmark = module(self.benchmark).BENCHMARK
        missing = [name for name in benchmark.required if blank(row.get(name))]
        if all(blank(row.get(name)) for name in benchmark.pictures):
            missing.append(benchmark.pictures[0])
        if missing:
            raise UserError(
                f"{self.name} is no {self.benchmark} as this script knows it: its first row has no "
                f"{', '.join(missing)}. It has {', '.join(map(str, released))}. Another version may name them "
                f"otherwise: --columns {missing[0]}=..."
            )


def _id(row: dict, name: str) -> str:
    """The same for 12, "12" and 12.0, as tables and converters write it."""
    return str(row.get(name)).removesuffix(".0")
