"""Plots: small, as inline SVG in the page's own colors (light and dark), and as SVG and PDF files for a paper."""

import html
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from measures import metrics
from measures.judged import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The colors of the page in light mode (report.css); in the page its variables stand in their place.
INK, SOFT = "#1d2129", "#5d6673"
MODELS = ["#7a8290", "#3b7dd8", "#0f9d7a", "#b7791f", "#9b5de5", "#d1495b"]
VARIABLES = {INK: f"var(--ink, {INK})", SOFT: f"var(--soft, {SOFT})"}
VARIABLES |= {color: f"var(--m{i}, {color})" for i, color in enumerate(MODELS)}
SMALL = (2.1, 1.5)  # inches: two side by side on a phone
STORY = {  # of the figure that the page opens with: metric -> its words
    "right_in_the_end": "right in\nthe end",
    metrics.MACRO: "right\nstrategy",
    "overconfident": "over-\nconfident",
    "over_asked": "over-\nasked",
}


@dataclass(frozen=True)
class Plot:
    """What `draw` puts on one pair of axes, labeled `x` and `y`.

    `key` (letters, digits, hyphens, underscores) starts every id in it, so give each plot of a page its own. `title`
    stands above it and is read out in its place.
    """

    key: str
    title: str
    draw: "Callable[[Axes], None]"
    x: str = ""
    y: str = ""
    note: str = ""
    size: tuple[float, float] = (4.0, 3.0)  # inches

    def svg(self) -> str:
        """The <svg> element for the page."""
        return _inline(render([self], "svg").decode(), self.key, self.title)


def save(name: str, plots: Sequence[Plot], folder: Path) -> None:
    """One figure of several plots, as <name>.svg and <name>.pdf."""
    for form in ("svg", "pdf"):
        (folder / f"{name}.{form}").write_bytes(render(plots, form))


def render(plots: Sequence[Plot], form: str) -> bytes:
    """One figure of several plots, at most three side by side; each with its title where there are several."""
    import matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    first, columns = plots[0], min(3, len(plots))
    rows = -(-len(plots) // columns)
    settings = {"svg.fonttype": "none", "svg.hashsalt": first.key, "pdf.fonttype": 42, "font.size": 8}
    settings |= {"path.simplify": True, "text.parse_math": False, "text.color": INK}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(columns * first.size[0], rows * first.size[1]), layout="constrained")
        figure.patch.set_visible(False)
        for number, plot in enumerate(plots, start=1):
            axes = figure.add_subplot(rows, columns, number)
            axes.patch.set_visible(False)
            plot.draw(axes)
            axes.set_xlabel(plot.x, color=SOFT)
            axes.set_ylabel(plot.y, color=SOFT)
            axes.tick_params(colors=SOFT, width=0.5)
            for side, spine in axes.spines.items():
                spine.set(color=SOFT, linewidth=0.5, visible=side in ("left", "bottom"))
            if len(plots) > 1:
                axes.set_title(plot.title, fontsize=8, loc="left")
        lines, labels = axes.get_legend_handles_labels()
        if labels:
            where = {"loc": "outside upper center", "ncol": min(4, len(labels)), "labelcolor": INK}
            figure.legend(lines, labels, frameon=False, handlelength=1.2, **where)
        file = io.BytesIO()
        if form == "svg":
            FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
        else:
            FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None})
    return file.getvalue()


def _inline(text: str, key: str, title: str) -> str:
    text = text[text.index("<svg") :]
    # matplotlib's style sheet would hold for the whole page; its two properties are inherited from the root instead.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    used = set(re.findall(r"#([\w.-]+)\"|url\(#([\w.-]+)\)", text))
    used = {name for pair in used for name in pair if name}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'href="#', f'href="#{key}-', text).replace("url(#", f"url(#{key}-")
    for color, variable in VARIABLES.items():
        text = text.replace(color, variable)
    text = re.sub(r"\s*\n\s*", "\n", text).replace("font: 8px", "font: 8px system-ui")
    label = f'<svg role="img" aria-label="{html.escape(title)}" stroke-linejoin="round" stroke-linecap="butt"'
    return text.replace("<svg", label, 1).strip()


def story(models: dict[str, dict], names: Sequence[str]) -> Plot:
    """What changed from one of `names` to the next, in the metrics of STORY; `models`: those of metrics.json."""
    order, width = list(models), 0.8 / len(names)

    def draw(axes: "Axes") -> None:
        for i, name in enumerate(names):
            x = [j + (i - (len(names) - 1) / 2) * width for j in range(len(STORY))]
            rows = [models[name][key] for key in STORY]
            values = [100 * (row["value"] or 0) for row in rows]
            color = MODELS[order.index(name) % len(MODELS)]
            axes.bar(x, values, 0.9 * width, color=color, label=title(name))
            for at, row, value in zip(x, rows, values, strict=True):
                if row["value"] is not None:
                    axes.vlines(at, 100 * row["low"], 100 * row["high"], INK, linewidth=0.6)
                shown = "n/a" if row["value"] is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"
                above = 100 * row["high"] if row["value"] is not None else 0
                axes.text(at, above + 1.5, shown, ha="center", va="bottom", fontsize=7, color=INK)
        axes.axvline(1.5, color=SOFT, linewidth=0.5, dashes=(3, 3))
        for at, words in ((0.5, "higher is better"), (2.5, "lower is better")):
            axes.text(at, 118, words, ha="center", color=SOFT)
        axes.set_xticks(range(len(STORY)), list(STORY.values()))
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(0, 128)
        axes.set_yticks(range(0, 101, 25))

    shown = " to ".join(map(title, names))
    return Plot("story", f"From {shown}" if len(names) > 1 else shown, draw, "", "% of the questions", size=(3.6, 2.5))


def calibration(content: dict) -> list[Plot]:
    """The plots of what calibration.measure returns; those without any line are left out."""
    models = content["models"]
    plots = []
    if any(row["reliability"] for row in models.values()):
        note = "On the dashed line, confidence matches accuracy; below it, the model is overconfident."
        draw = partial(_reliability, models=models)
        plots.append(Plot("reliability", "Reliability", draw, "confidence", "share right", note))
        note = "Share of wrong responses among the most confident ones. Flat: confidence says nothing about errors."
        draw = partial(_risk, content=content, models=models)
        plots.append(Plot("risk", "Risk and coverage", draw, "coverage", "share wrong", note))
    if any(row["utility"]["n"] for row in models.values()):
        note = (
            "Dotted: the same model with its questions counted as wrong. Where the two lines meet, asking stops paying."
        )
        draw = partial(_utility, content=content, models=models)
        plots.append(
            Plot("utility", "Utility and the price of a question", draw, "price of a question", "utility", note)
        )
    return plots


def _reliability(axes: "Axes", models: dict[str, dict]) -> None:
    start = min(0.9, *(b["confidence"] for row in models.values() for b in row["reliability"]), 1.0)
    start = int(10 * start) / 10
    axes.plot([start, 1], [start, 1], color=SOFT, linewidth=0.8, dashes=(4, 3))
    for i, (name, row) in enumerate(models.items()):
        bins = row["reliability"]
        x, y = [b["confidence"] for b in bins], [b["right"]["value"] for b in bins]
        color = MODELS[i % len(MODELS)]
        axes.vlines(x, [b["right"]["low"] for b in bins], [b["right"]["high"] for b in bins], color, linewidth=0.8)
        axes.plot(x, y, color=color, linewidth=1.2, marker="o", markersize=3, label=title(name))
    axes.set_xlim(start - 0.01, 1.01)
    axes.set_ylim(-0.02, 1.02)


def _risk(axes: "Axes", content: dict, models: dict[str, dict]) -> None:
    for i, (name, row) in enumerate(models.items()):
        if row["risk"]["n"]:
            _line(axes, content["coverages"], row["risk"], MODELS[i % len(MODELS)], name)
    axes.set_xlim(0, 1.01)
    axes.set_ylim(bottom=0)


def _utility(axes: "Axes", content: dict, models: dict[str, dict]) -> None:
    for policy, curve in content["policies"].items():
        axes.plot(content["prices"], curve["value"], color=SOFT, linewidth=0.9, dashes=(4, 3))
        at = 14 if policy == "always_ask" else 17  # beside the falling line, clear of the models'
        where = {"xytext": (-5, -3), "ha": "right", "va": "top"} if policy == "always_ask" else {"xytext": (0, 4)}
        point = (content["prices"][at], curve["value"][at])
        axes.annotate(policy.replace("_", " "), point, textcoords="offset points", color=SOFT, **where)
    for i, (name, row) in enumerate(models.items()):
        if row["utility"]["n"]:
            color = MODELS[i % len(MODELS)]
            _line(axes, content["prices"], row["utility"], color, name)
            axes.plot([0, 1], [row["never_ask"]["value"]] * 2, color=color, linewidth=0.9, dashes=(1, 2))
    axes.set_xlim(0, 1)
    axes.set_ylim(top=1.05)


def _line(axes: "Axes", x: list[float], curve: dict, color: str, name: str) -> None:
    axes.fill_between(x, curve["low"], curve["high"], color=color, alpha=0.15, linewidth=0)
    axes.plot(x, curve["value"], color=color, linewidth=1.3, label=title(name))
