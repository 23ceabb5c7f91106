"""The sections of the report, in their order: to add one, add an entry to SECTIONS and its template.

A section that measures something adds a key to metrics.json (describe it in schema.py); its template,
templates/<name>.html, gets that as `found`, with `content`, `models` and `cards` of the report and what `view` adds.
What a template leaves empty is left out of the page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clarifyvlm.records import Example
from clarifyvlm.strategies import AMBIGUITY_TYPES
from clarifyvlm.users import USER_KINDS
from measures import (
    calibration,
    dialogues,
    failures,
    guesses,
    metrics,
    published,
    robustness,
    strata,
)
from measures.judged import Judged
from reporting import audit_file, coverage, curves, gallery, plots, story, tables

OPEN_PAIRS = 3  # differences between more pairs of models than this are folded away


@dataclass
class Report:
    """What the page shows: metrics.json's `content`, and what was said."""

    content: dict
    examples: list[Example]
    models: list[Judged]
    floors: list[Judged]  # the constant policies
    root: Path  # folder that the pictures' paths start from
    per_strategy: int  # examples of the gallery
    trainings: list[dict]  # what curves.sections returns

    @cached_property
    def subject(self) -> str:
        """The model that the report is about: the last one tuned."""
        return story.shown(list(self.content["models"]))[-1]

    @cached_property
    def story(self) -> plots.Plot:
        models = self.content["models"]
        return plots.story(models, story.shown(list(models)))

    @property
    def audit_command(self) -> str:
        return f"python inference/audit_judge.py --data_file {self.content['data']} --output_file judge_audit.json"

    @cached_property
    def calibration(self) -> list[plots.Plot]:
        return plots.calibration(self.content["calibration"])

    @property
    def figures(self) -> dict[str, list[plots.Plot]]:
        """Every figure of the page, for the files beside it: name -> the plots in it."""
        named = {plot.key: [plot] for plot in (self.story, *self.calibration)}
        return named | {
            curves.file_name(training, group): panels
            for training in self.trainings
            for group, panels in training["groups"]
            if not group.health
        }

    @cached_property
    def cards(self) -> list[dict]:
        """The gallery."""
        shown = gallery.choose(self.examples, self.models, self.subject, self.per_strategy)
        return [gallery.card(example, why, self.models, self.root) for example, why in shown]

    @cached_property
    def types(self) -> dict[str, str]:
        """The ambiguity types that occur, with their definitions."""
        occur = {name for row in self.content["models"].values() for name in row["strategy_accuracy_by_type"]}
        return {name: text for name, text in AMBIGUITY_TYPES.items() if name in occur}


@dataclass(frozen=True)
class Section:
    name: str  # of its anchor, its template and its key in metrics.json
    nav: str = ""
    heading: str = ""  # "": it has no template, another section shows what it measures
    measure: Callable[..., dict] | None = None  # (examples, models, *, seed, resamples) -> its part of metrics.json
    on_variants: bool = False  # `measure` takes the runs of --variants_dir, too, after the models
    view: Callable[[Report], dict] = lambda report: {}  # what else its template needs


def _overview(report: Report) -> dict:
    rows = report.content["models"].values()
    users = list(dict.fromkeys(kind for row in rows for kind in row["right_in_the_end_by_user"]))
    return {
        "overview": metrics.OVERVIEW,
        "users": users,
        "all_understood": coverage.all_understood(report.content["models"]),
    }


def _strategies(report: Report) -> dict:
    return {"all_understood": coverage.all_understood(report.content["models"])}


def _corrected(report: Report) -> dict:
    rows = {name: row["corrected"] for name, row in report.content["models"].items() if "corrected" in row}
    labels = report.content.get("labels")
    return {
        "labels": labels,
        "corrected": rows,
        "label_warnings": tables.label_warnings(report.content) if labels else [],
        "annotators": tables.agreement_of_annotators(labels) if labels else None,
    }


def _differences(report: Report) -> dict:
    """The differences by pair of models, those of the last model first, with the reach of their plot in points."""
    pairs: dict[tuple[str, str], list[dict]] = {}
    for row in report.content["differences"]:
        pairs.setdefault((row["a"], row["b"]), []).append(row)
    order = {name: i for i, name in enumerate(dict.fromkeys(n for a, b in pairs for n in (b, a)))}
    ranked = sorted(pairs, key=lambda pair: (-order[pair[0]], -order[pair[1]]))
    result = []
    for a, b in ranked:
        rows = pairs[a, b]
        furthest = max(abs(row[end]) for row in rows for end in ("low", "high"))
        reach = next((r for r in (10, 25, 50) if furthest <= r / 100), 100)
        result.append({"a": a, "b": b, "n": rows[0]["n"], "rows": rows, "reach": reach})
    return {"pairs": result, "open_pairs": OPEN_PAIRS}


def _failures(report: Report) -> dict:
    """Mode -> cards of the examples that show it, with what the model that the report is about said."""
    by_id = {example.id: example for example in report.examples}
    only = [model for model in report.models if model.name == report.subject]
    found = report.content["failures"][report.subject]
    shown = {
        mode: [gallery.card(by_id[i], "", only, report.root) for i in found[mode]["examples"]]
        for mode in failures.MODES
        if found[mode]["examples"]
    }
    return {"failure_cards": shown, "subject": report.subject}


def _policies(report: Report) -> dict:
    said = {
        floor.name: next(floor.predictions[e.id].text for e in report.examples if e.id in floor.predictions)
        for floor in report.floors
    }
    rows = report.content["constant_policies"].items()
    return {"policies": [{"name": name, "says": said[name], "row": row} for name, row in rows]}


def _judge(report: Report) -> dict:
    audit = report.content.get("judge_audit")
    if not audit:
        return {"audit": None, "audit_command": report.audit_command}
    confusions = {name: row["confusion"] for name, row in audit["criteria"].items() if row["confusion"]}
    said = {name: {c for counts in table.values() for c in counts} | set(table) for name, table in confusions.items()}
    natural = audit["natural"]
    return {
        "audit": audit,
        "audit_wordings": {"all": natural["all"], **natural["files"], **natural["styles"]} if natural else {},
        "alone": tables.alone(natural) if natural else "",
        "written_by": audit_file.WRITTEN_BY,
        "audited_another": tables.audited_another(audit),
        "audit_confusions": [(name, sorted(said[name]), table) for name, table in confusions.items()],
        # the criteria that any effect is measured on
        "audit_flips": list(dict.fromkeys(name for row in audit["effects"].values() for name in row["flips"])),
    }


def _gallery(report: Report) -> dict:
    kinds = sorted({strata.CUTS["kind"](card["example"]) for card in report.cards})
    return {"shown_kinds": kinds, "types": report.types, "subject": report.subject, "cuts": strata.CUTS}


SECTIONS = (
    Section("overview", "Overview", "Overview", view=_overview),
    Section("tuning_cost", "What tuning cost", "What tuning cost"),  # measured where --unambiguous_file is given
    Section("corrected", "Corrected", "Corrected for the judge's errors", view=_corrected),
    Section("strategies", "Strategies", "Strategy accuracy by right strategy", view=_strategies),
    Section(
        "types", "Ambiguity types", "Strategy accuracy by ambiguity type", view=lambda report: {"types": report.types}
    ),
    Section("strata", "Subgroups", "Subgroups", strata.measure, view=lambda report: {"published": strata.PUBLISHED}),
    Section("published", measure=published.measure),  # in strata.html
    Section("confusion", "Confusion", "Right strategy × strategy used"),
    Section("differences", "Differences", "Differences between models", view=_differences),
    Section("failures", "Failures", "How the models fail", failures.measure, view=_failures),
    Section("bias", "Guesses", "Which reading the models guess", guesses.measure),
    Section(
        "robustness", "Robustness", "Robustness: changes that should not matter", robustness.measure, on_variants=True
    ),
    Section(
        "dialogue",
        "Dialogues",
        "Does asking pay off in the end?",
        dialogues.measure,
        on_variants=True,
        view=lambda report: {"kinds": USER_KINDS},
    ),
    Section(
        "calibration",
        "Calibration",
        "Calibration, and the price of a question",
        calibration.measure,
        view=lambda report: {"plots": report.calibration},
    ),
    Section("training", "Training", "Training curves", view=lambda report: {"trainings": report.trainings}),
    Section("policies", "Constant policies", "Baselines: constant policies", view=_policies),
    Section("judge", "The judge", "How far the judge can be trusted", view=_judge),
    Section("definitions", "Definitions", "Definitions"),
    Section("gallery", "Gallery", "Gallery", view=_gallery),
)
