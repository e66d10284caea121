"""The figures of a report, each as inline SVG; a figure without data is an empty string."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import NullFormatter

from dpfedsyn.report import wording
from dpfedsyn.report.svg import INK, QUIET, SERIES, draw
from dpfedsyn.report.tables import worst
from dpfedsyn.report.wording import Json

_WIDTH = 4.6  # inches; narrow, so that text stays readable when a phone shrinks the drawing
_DASHES = ("-", "--", "-.", ":")
_STYLES = {"record": (SERIES[0], "-"), "answers": (SERIES[1], "--"), "silo": (SERIES[2], ":")}


def shares(statement: Json) -> str:
    """Stacked bars: each mechanism's share of a silo's mu^2."""
    silos = [s for s in statement["silos"] if s.get("shares_mu2")]
    parts = list(dict.fromkeys(name for s in silos for name in s["shares_mu2"]))

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        left = [0.0] * len(silos)
        places = range(len(silos))
        for place, part in enumerate(parts):
            widths = [100 * (s["shares_mu2"].get(part) or 0.0) for s in silos]
            colour = SERIES[place % len(SERIES)]
            axes.barh(places, widths, left=left, height=0.55, color=colour, label=part)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(places, [wording.plain(s["name"]) for s in silos], color=INK)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of \u03bc\u00b2, percent")
        figure.legend(loc="outside upper left", ncols=len(parts), handlelength=0.8)

    alt = "Stacked bars of the shares of mu squared per silo; the table below has the numbers."
    return draw("shares", (_WIDTH, 1.2 + 0.36 * len(silos)), alt, paint) if silos else ""


def spending(statement: Json, passes: Mapping[str, Sequence[Json]]) -> str:
    """Lines: how much of its cap on answers each silo has spent, after each round of all passes."""
    caps = {
        str(s["name"]): cap**2
        for s in statement["silos"]
        if (cap := ((s.get("charged") or {}).get("B") or {}).get("cap_mu"))
    }
    records = [record for rounds in passes.values() for record in rounds]
    lines = {name: _spent(records, name, cap) for name, cap in caps.items()}
    lines = {name: points for name, points in lines.items() if points}

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        named = len(lines) <= len(_DASHES)
        for place, (name, points) in enumerate(lines.items()):
            style = _DASHES[place % len(_DASHES)] if named else "-"
            colour, label = SERIES[place % len(SERIES)], wording.plain(name) if named else None
            axes.plot(*_columns(points), color=colour, linestyle=style, linewidth=2, label=label,
                      marker=_marker(points))  # fmt: skip
        axes.axhline(100, color=INK, linewidth=1.2, linestyle="--")
        axes.annotate("cap", (0, 100), xytext=(2, 3), textcoords="offset points", color=INK)
        done = 0
        for rounds in list(passes.values())[:-1]:
            done += len(rounds)
            axes.axvline(done, color=QUIET, linewidth=0.8, linestyle=":")
        axes.set_ylim(0, 112)
        axes.set_xlim(0, max(len(records), 1))
        axes.set_xlabel("round, all passes")
        axes.set_ylabel("of the cap on \u03bc\u00b2, percent")
        if named:
            figure.legend(loc="outside upper left", ncols=2, handlelength=2.4)

    ends = ", ".join(f"{name} {points[-1][1]:.1f} percent" for name, points in lines.items())
    alt = wording.plain(f"Spent of each silo's cap on answers over the rounds. At the end: {ends}.")
    return draw("spending", (_WIDTH, 3.3), alt, paint) if lines else ""


def _spent(records: Sequence[Json], silo: str, cap: float) -> list[tuple[int, float]]:
    """(round, percent of the cap) after every round in which the silo is named."""
    return [
        (k, 100 * mu**2 / cap)
        for k, record in enumerate(records, 1)
        if (mu := (record["silos"].get(silo) or {}).get("answers_mu")) is not None
    ]


def epsilon_over_rounds(name: str, records: Sequence[Json], unit: str, place: int) -> str:
    """Upper bounds of the three readings after each round of one pass; worst silo drawn bold.

    Args:
        name: of the pass.
        records: its rounds, oldest first.
        unit: of the claim.
        place: number of the drawing on the page.
    """

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(_power)
        axes.yaxis.set_minor_formatter(NullFormatter())
        drawn = ((label, _reading(axes, records, key)) for key, label in named.items())
        ends = [(label, end) for label, end in drawn if end is not None]
        _name_lines(axes, ends, records[-1]["round"])
        axes.set_xlim(0, max(records[-1]["of"], 1))
        axes.set_xlabel("round")
        axes.set_ylabel("epsilon, upper bound")
        axes.set_title(wording.plain(f"Pass {name}"))

    named = wording.readings(unit)
    lasts = (f"{label} {wording.number(worst(records[-1], key))}"
             for key, label in named.items())  # fmt: skip
    alt = wording.plain(f"Epsilon over the rounds of pass {name}. At the end: {', '.join(lasts)}.")
    return draw(f"epsilon{place}", (_WIDTH, 3.0), alt, paint)


def _reading(axes: Any, records: Sequence[Json], key: str) -> float | None:
    """Draw one reading; return its last value, or None where it has none."""
    colour, style = _STYLES[key]
    for silo in records[0]["silos"]:
        points = [
            (r["round"], upper)
            for r in records
            if _drawable(upper := wording.upper_of((r["silos"].get(silo) or {}).get(key)))
        ]
        axes.plot(*_columns(points), color=colour, linewidth=0.7, alpha=0.6)
    bold = [(r["round"], upper) for r in records if _drawable(upper := worst(r, key))]
    axes.plot(*_columns(bold), color=colour, linestyle=style, linewidth=2.2, marker=_marker(bold))
    return float(bold[-1][1] or 0.0) if bold else None


def _name_lines(axes: Any, ends: Sequence[tuple[str, float]], at: float) -> None:
    """Write each line's name and value above its end; lines that meet share one label."""
    axes.margins(y=0.22)
    low, high = (math.log(value) for value in axes.get_ylim())
    height = 0.09 * (high - low)  # of a label, in units of the logarithmic axis
    labels: list[tuple[str, float]] = []
    for name, value in sorted(ends, key=lambda end: end[1]):
        label = f"{name} {wording.number(value)}"
        if labels and math.log(value / labels[-1][1]) < height:
            label = f"{labels.pop()[0]}, {label}"
        labels.append((label, value))
    offset = {"xytext": (0, 5), "textcoords": "offset points"}
    for label, value in labels:
        axes.annotate(label, (at, value), ha="right", va="bottom", color=INK, **offset)


def utility(results: Json) -> str:
    """Dots: AUC of models trained on each data set, tested on real rows; best on top."""
    lines = [u for u in results.get("utility", ()) if _auc(u) is not None]
    lines.sort(key=lambda u: _auc(u) or 0.0)

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, line in enumerate(lines):
            ours = line.get("kind") == "ours"
            colour = SERIES[0] if ours else QUIET
            logistic, mlp = _auc(line), _auc(line, "mlp")
            axes.plot(logistic, place, "o", color=colour, markersize=7)
            if mlp is not None:
                axes.plot(mlp, place, "D", color=colour, markersize=5, fillstyle="none")
        labels = [textwrap.fill(wording.plain(u["name"]), 24) for u in lines]
        ticks = axes.set_yticks(range(len(lines)), labels)
        for tick, line in zip(ticks, lines, strict=True):
            if line.get("kind") == "ours":
                tick.label1.set_color(SERIES[0])
                tick.label1.set_fontweight("bold")
        axes.set_ylim(-0.6, len(lines) - 0.4)
        axes.set_xlabel("AUC (\u25cf logistic, \u25c7 MLP)")

    alt = "AUC on held-out real rows by training data; the table below has the numbers."
    return draw("utility", (_WIDTH, 0.9 + 0.38 * len(lines)), alt, paint) if lines else ""


def similarity(results: Json) -> str:
    """Dots: similarity of each column's margin to the real one, per pass."""
    passes: Json = results.get("similarity") or {}
    columns = list(dict.fromkeys(c for p in passes.values() for c in p.get("marginals") or {}))

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for place, (name, entry) in enumerate(passes.items()):
            margins = entry.get("marginals") or {}
            points = [(v, k) for k, c in enumerate(columns) if _drawable(v := margins.get(c))]
            marker, colour = "oDs^"[place % 4], SERIES[place % len(SERIES)]
            axes.plot(*_columns(points), marker, color=colour, label=wording.plain(name))
        axes.set_yticks(range(len(columns)), [wording.plain(c) for c in columns], color=INK)
        axes.invert_yaxis()
        axes.set_xlabel("similarity of the margin, 1 is equal")
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.2)

    alt = "Similarity of each column's margin, per pass; the table below has the numbers."
    return draw("similarity", (_WIDTH, 1.2 + 0.26 * len(columns)), alt, paint) if columns else ""


def denoising(results: Json) -> str:
    """Small panels, one per silo: denoising error of base and network over the noise level."""
    silos: dict[str, list[Mapping[str, Any]]] = {}
    for entry in results.get("denoising", ()):
        silos.setdefault(str(entry["silo"]), []).append(entry)

    def paint(figure: Any) -> None:
        rows = math.ceil(len(silos) / 2)
        panels = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False).flat
        for axes, (silo, entries) in zip(panels, silos.items(), strict=False):
            entries.sort(key=lambda e: e["noise_level"])
            for key, colour, style in (("base", SERIES[1], "--o"), ("network", SERIES[0], "-o")):
                points = [(e["noise_level"], v) for e in entries if _drawable(v := e.get(key))]
                axes.plot(*_columns(points), style, color=colour, markersize=3, label=key)
            axes.set_title(wording.plain(silo))
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(_power)
            axes.xaxis.set_minor_formatter(NullFormatter())
        for axes in list(panels):
            axes.set_visible(False)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2)
        figure.supxlabel("noise level", color=QUIET, fontsize=10)
        figure.supylabel("mean squared error", color=QUIET, fontsize=10)

    alt = "Denoising error of base and network by noise level, one panel per silo."
    size = (_WIDTH, 0.9 + 1.5 * math.ceil(len(silos) / 2))
    return draw("denoising", size, alt, paint) if silos else ""


def _power(value: float, _: object) -> str:
    """Label a logarithmic axis without the mathematics that a silo's name must not reach."""
    return f"{value:g}"


def _auc(line: Json, model: str = "logistic") -> float | None:
    value = (line.get(model) or {}).get("auc")
    return None if value is None else float(value)


def _drawable(value: float | None) -> bool:
    """A logarithmic axis holds finite positive values only."""
    return value is not None and math.isfinite(value) and value > 0


def _columns(points: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [x for x, _ in points], [y for _, y in points]


def _marker(points: Sequence[object]) -> str:
    """A line of one point is invisible without a marker."""
    return "o" if len(points) == 1 else ""
