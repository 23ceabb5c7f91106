"""Plots for the page as inline SVG: small, in the page's own colours (light and dark), the same bytes every time."""

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The page's variables are put in afterwards: matplotlib knows only colours, so it draws with these.
INK, SOFT = "#010203", "#040506"
MODELS = [f"#0b000{i}" for i in range(6)]
VARIABLES = {INK: "var(--ink)", SOFT: "var(--soft)"} | {color: f"var(--m{i})" for i, color in enumerate(MODELS)}


def svg(key: str, draw: "Callable[[Axes], None]", x: str, y: str, title: str) -> str:
    """What `draw` puts on one pair of axes, labelled `x` and `y`, as an <svg> element.

    `key` (letters, digits, hyphens) starts every id in it, so give each plot of a page its own. `title` is read out in
    its place. Text that others wrote must not be drawn: the page takes the element as it is.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "font.size": 8, "path.simplify": True}):
        figure = Figure(figsize=(4.0, 3.0), layout="constrained")
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw(axes)
        axes.set_xlabel(x, color=SOFT)
        axes.set_ylabel(y, color=SOFT)
        axes.tick_params(colors=SOFT, width=0.5)
        for side, spine in axes.spines.items():
            spine.set(color=SOFT, linewidth=0.5, visible=side in ("left", "bottom"))
        file = io.StringIO()
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return _inline(file.getvalue(), key, title)


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
    label = f'<svg role="img" aria-label="{title}" stroke-linejoin="round" stroke-linecap="butt"'
    return text.replace("<svg", label, 1).strip()


def calibration(content: dict) -> list[dict]:
    """[{"title", "note", "svg"}] for what calibration.measure returns; plots without any line are left out."""
    rows = list(content["models"].values())
    plots = []
    if any(row["reliability"] for row in rows):
        plots.append(
            {
                "title": "Reliability",
                "note": "On the dashed line a model is right as often as it is sure; below it, it is too sure.",
                "svg": svg(
                    "reliability", lambda axes: _reliability(axes, rows), "confidence", "share right", "Reliability"
                ),
            }
        )
        plots.append(
            {
                "title": "Risk and coverage",
                "note": "The share of wrong responses among the most confident. Flat: the confidence tells nothing.",
                "svg": svg(
                    "risk", lambda axes: _risk(axes, content, rows), "coverage", "share wrong", "Risk against coverage"
                ),
            }
        )
    if any(row["utility"]["n"] for row in rows):
        plots.append(
            {
                "title": "Utility and the price of a question",
                "note": "Dotted: each model with what it asked counted as wrong; where its line meets that one, its "
                "asking stops paying.",
                "svg": svg(
                    "utility", lambda axes: _utility(axes, content, rows), "price of a question", "utility", "Utility"
                ),
            }
        )
    return plots


def _reliability(axes: "Axes", rows: list[dict]) -> None:
    start = min(0.9, *(b["confidence"] for row in rows for b in row["reliability"]), 1.0)
    start = int(10 * start) / 10
    axes.plot([start, 1], [start, 1], color=SOFT, linewidth=0.8, dashes=(4, 3))
    for i, row in enumerate(rows):
        bins = row["reliability"]
        x, y = [b["confidence"] for b in bins], [b["right"]["value"] for b in bins]
        color = MODELS[i % len(MODELS)]
        axes.vlines(x, [b["right"]["low"] for b in bins], [b["right"]["high"] for b in bins], color, linewidth=0.8)
        axes.plot(x, y, color=color, linewidth=1.2, marker="o", markersize=3)
    axes.set_xlim(start - 0.01, 1.01)
    axes.set_ylim(-0.02, 1.02)


def _risk(axes: "Axes", content: dict, rows: list[dict]) -> None:
    for i, row in enumerate(rows):
        if row["risk"]["n"]:
            _line(axes, content["coverages"], row["risk"], MODELS[i % len(MODELS)])
    axes.set_xlim(0, 1.01)
    axes.set_ylim(bottom=0)


def _utility(axes: "Axes", content: dict, rows: list[dict]) -> None:
    for name, curve in content["policies"].items():
        axes.plot(content["prices"], curve["value"], color=SOFT, linewidth=0.9, dashes=(4, 3))
        at = 14 if name == "always_ask" else 17  # beside the falling line, clear of the models'
        where = {"xytext": (-5, -3), "ha": "right", "va": "top"} if name == "always_ask" else {"xytext": (0, 4)}
        point = (content["prices"][at], curve["value"][at])
        axes.annotate(name.replace("_", " "), point, textcoords="offset points", color=SOFT, **where)
    for i, row in enumerate(rows):
        if row["utility"]["n"]:
            color = MODELS[i % len(MODELS)]
            _line(axes, content["prices"], row["utility"], color)
            axes.plot([0, 1], [row["never_ask"]["value"]] * 2, color=color, linewidth=0.9, dashes=(1, 2))
    axes.set_xlim(0, 1)
    axes.set_ylim(top=1.05)


def _line(axes: "Axes", x: list[float], curve: dict, color: str) -> None:
    axes.fill_between(x, curve["low"], curve["high"], color=color, alpha=0.15, linewidth=0)
    axes.plot(x, curve["value"], color=color, linewidth=1.3)
