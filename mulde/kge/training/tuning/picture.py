"""Picture of a search as SVG: validation MRR of each trial, and the best so far against time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from mulde.kge.training.tuning.result import OBJECTIVE, Trial, Tuned, duration, short
from mulde.report.drawing import Axis, Drawing, around
from mulde.report.lettering import text_width

WIDTH, HEIGHT, TOP, BOTTOM = 880.0, 420.0, 84.0, 346.0
LEFT, GAP = 56.0, 28.0
MIDDLE = 450.0
KEY = {
    "junior": "best", "baseline": "preset (dashed line)", "trial": "finished trial",
    "stopped": "stopped early, with its last MRR",
}  # fmt: skip
UNITS = ((2 * 3600, 3600, "hours"), (120, 60, "minutes"), (0, 1, "seconds"))
STYLE = """
svg { --paper: #ffffff; --ink: #1d2329; --soft: #555e68; --rule: #dcdedb; --grid: #e9ebe8; --best: #c04a00;
  --trial: #2b6ca8; font: 13px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
@media (prefers-color-scheme: dark) { svg { --paper: #1c2227; --ink: #e8eaec; --soft: #a7b0b8; --rule: #343c43;
  --grid: #2a3137; --best: #ff9a57; --trial: #7ab8ee; } }
.paper { fill: var(--paper); } text { fill: var(--ink); } .title { font-size: 15px; font-weight: 600; }
.tick, .name { fill: var(--soft); } .tick { font-size: 11px; } .grid { stroke: var(--grid); }
.axis { stroke: var(--rule); } .leader { stroke: var(--soft); stroke-opacity: .55; }
.reference { stroke: var(--soft); stroke-dasharray: 4 3; }
.curve { fill: none; stroke-width: 2; stroke: var(--best); stroke-linejoin: round; }
.m { fill: var(--trial); stroke: var(--paper); stroke-width: 1; }
.m.stopped { fill: var(--paper); stroke: var(--trial); stroke-width: 1.6; }
.m.junior { fill: var(--best); } .m.baseline { fill: var(--soft); }
"""


def picture(result: Tuned) -> str:
    """The picture as the text of an SVG file, in light or dark colours as the reader prefers."""
    drawing = Drawing(WIDTH, HEIGHT, f"{result.title}: validation MRR of {len(result.trials)} trials")
    drawing.add("rect", width=WIDTH, height=HEIGHT, class_="paper")
    drawing.text(16, 26, result.title, "title")
    drawing.text(16, 44, OBJECTIVE, "name")
    y = Axis(*around([trial.mrr for trial in result.trials if trial.mrr is not None]), BOTTOM, TOP)
    total = sum(trial.seconds for trial in result.trials)
    seconds, unit = next((seconds, unit) for least, seconds, unit in UNITS if total >= least)
    ends = list(accumulate(trial.seconds / seconds for trial in result.trials))
    _panel(drawing, result, Axis(0.4, len(ends) + 0.6, LEFT, MIDDLE - GAP), y, range(1, len(ends) + 1), "trial")
    _panel(drawing, result, Axis(0, ends[-1] * 1.03, MIDDLE + GAP, WIDTH - 16), y, ends, f"{unit} of training")
    _key(drawing)
    head, _, rest = drawing.svg().partition(">")
    head = head.replace("<svg ", f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH:g}" height="{HEIGHT:g}" ', 1)
    return f"{head}><style>{STYLE}</style>{rest}\n"


def _panel(drawing: Drawing, result: Tuned, x: Axis, y: Axis, positions: Sequence[float], name: str) -> None:
    """A mark for each trial, a step line of the best MRR so far, and a horizontal line at the preset."""
    drawing.x_axis(x, BOTTOM, TOP, name, count=5)
    drawing.y_axis(y, x.start, x.end, "MRR on valid")
    if result.preset.mrr is not None:
        drawing.line(x.start, y(result.preset.mrr), x.end, y(result.preset.mrr), "reference")
    steps: list[tuple[float, float]] = []
    for position, trial in zip(positions, result.trials, strict=True):
        better = trial.state == "finished" and (not steps or y(trial.mrr or 0.0) < steps[-1][1])
        height = y(trial.mrr or 0.0) if better else steps[-1][1] if steps else None
        steps += [(x(position), level) for level in ([steps[-1][1]] if steps else []) + [height] if level is not None]
    drawing.curve([*steps, (x.end, steps[-1][1])], "best", "best so far")
    for position, trial in zip(positions, result.trials, strict=True):
        if trial.mrr is not None:
            values = ", ".join(f"{option} {short(value)}" for option, value in trial.settings.items())
            about = f"trial {trial.number}, {trial.state}: MRR {trial.mrr:.4f}, {duration(trial.seconds)}; {values}"
            drawing.mark(x(position), y(trial.mrr), _role(trial, result), about, 4.5)


def _role(trial: Trial, result: Tuned) -> str:
    """Class of a mark; two of them give it a shape of its own."""
    if trial.number == result.best.number:
        return "junior"
    return "stopped" if trial.state != "finished" else "baseline" if trial.number == 1 else "trial"


def _key(drawing: Drawing) -> None:
    x = LEFT
    for role, meaning in KEY.items():
        drawing.mark(x, HEIGHT - 16, role, size=4.5)
        drawing.text(x + 11, HEIGHT - 12, meaning, "name")
        x += 32 + text_width(meaning)
