"""Goals, and which of them were met.

    python -m benchmarks.quality.goals            (or: make results)

The goals were set before the first measurement and not changed afterwards. Times were set on a quieter machine of the
same kind as that of the records (``docs/results.md``); ratios do not depend on it. Quality is test MRR on full splits,
embeddings only; a goal that is met only with self-loop mask and graph prior is marked so. Goals without a record are
left out. Writes ``results/goals.md``.
"""

from __future__ import annotations

from benchmarks.harness import records
from benchmarks.quality.dimensions import NAMES
from benchmarks.quality.time_to_quality import PUBLISHED
from mulde.files import write_atomically
from mulde.report.tables import table

GRAPHS = ("fb15k-237", "wn18rr")
Row = records.Record


def main() -> None:
    rows = [*quality(), *minutes(), *ratios(), *times()]
    title = "Goals set beforehand, and results: embeddings only, and MRR with graph prior"
    write_atomically(records.RESULTS / "goals.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


def quality() -> list[Row]:
    """Test MRR, and gains over the baseline."""
    found = []
    for data, published in zip(GRAPHS, (0.314, 0.473), strict=True):
        for it in _records("fidelity"):
            if it["data"]["name"] == data:
                mrr = it["metrics"]["embeddings_only"]["mrr"]
                about = f"{data}: KGEmb's RotH 32-d by its settings"
                found.append(_row(about, f"{published} ± 0.005", mrr, abs(mrr - published) <= 0.005))
    for what, experiment, baseline, junior, goals in (
        (
            "fb15k-237: AffineH", "distilled/fb15k-237-affineh", "baseline, binary loss, longer",
            "distilled (offline), longer", (0.325, 0.340),
        ),
        ("fb15k-237: RotH, eight minutes", "presets/fb15k-237-8m", "baseline", "recommended", ()),
        ("wn18rr: RotH, six minutes", "presets/wn18rr-6m", "baseline", "recommended", (0.480, 0.490)),
    ):  # fmt: skip
        means = {variant: _mrr_of(experiment, variant) for variant in (baseline, junior)}
        for goal, name, variant in zip(goals, ("baseline", "distilled"), (baseline, junior), strict=False):
            found.append(_mrr(f"{what}, {name}, 32-d, mean of seeds", goal, *means[variant]))
        gains = [own - other for own, other in zip(means[junior], means[baseline], strict=True)]
        found.append(_mrr(f"{what}: gain of distillation", 0.010, *gains))
    goals_by_dimension = {
        ("wn18rr", 16): 0.455, ("wn18rr", 64): 0.500, ("fb15k-237", 16): 0.310, ("fb15k-237", 64): 0.350,
    }  # fmt: skip
    runs = {(it["data"]["name"], it["dim"]): it for it in _records("dimensions")}
    for (data, dim), goal in goals_by_dimension.items():
        if (data, dim) in runs:
            own = records.figures(runs[data, dim])
            found.append(_mrr(f"{data}: {NAMES[data]}, {dim}-d", goal, own["MRR"], own["MRR with prior"]))
    return found


def minutes() -> list[Row]:
    """Quality after a given time, and time of a whole job."""
    found = []
    for it in _records("time_to_quality"):
        most, own = 3 if "WN18RR" in it["run"] else 6, records.figures(it)
        about = f"{it['run']} 32-d within {most} minutes; here {it['total_seconds'] / 60:.1f}"
        line = _mrr(about, PUBLISHED[it["data"]["name"]], own["MRR"], own["MRR with prior"])
        found.append(line if it["total_seconds"] <= 60 * most else line | {"met": "no"})
    for data, most in zip(GRAPHS, (75, 25), strict=True):
        if own_records := _records(f"pipeline/{data}"):
            spent = sum(round(it.get("seconds", 0)) for it in own_records) / 60
            found.append(_row(f"{data}: four 64-d teachers and a Junior, minutes", f"<= {most}", spent, spent <= most))
    return found


def ratios() -> list[Row]:
    """Time of others relative to the fastest of our rows for the same work."""
    steps = (
        ("training_step", "ms", "training step", (
            ("KGEmb, restated, float64", 20), ("KGEmb, restated, float32", 8), ("PyKEEN sLCWA, as shipped", 5),
        )),
        ("one_vs_all", "ms", "step over all entities", (("PyKEEN LCWA, as shipped", 15),)),
        ("evaluation", "seconds", "evaluation", (("KGEmb, restated, float64", 25), ("PyKEEN, as shipped", 25))),
    )  # fmt: skip
    found = []
    for name, unit, what, others in steps:
        for data in GRAPHS:
            rows = {it["candidate"]: it[unit] for it in _records(f"speed/{name}") if it["data"]["name"] == data}
            own = [value for who, value in rows.items() if _ours(who)]
            for other, least in others:
                if own and other in rows:
                    times = rows[other] / min(own)
                    found.append(_row(f"{data}: {what}, {other}, times ours", f">= {least}", times, times >= least))
    for data in GRAPHS:
        steps_of_mulde = [it for it in _records("speed/mulde_step") if it["data"]["name"] == data]
        whole = [it["ms"] for it in steps_of_mulde if it["candidate"] == "whole step"]
        own = [it["ms"] for it in _records("speed/one_vs_all") if it["data"]["name"] == data and _ours(it["candidate"])]
        if whole and own:
            times = whole[0] / min(own)
            found.append(_row(f"{data}: MulDE step, times one over all entities", "<= 4", times, times <= 4))
    return found


def times() -> list[Row]:
    """Milliseconds and seconds."""
    found = []
    for name, unit, what, fb, wn in (
        ("training_step", "ms", "training step, ms", 4.1, 4.1),
        ("one_vs_all", "ms", "step over all entities, ms", 35, 95),
        ("evaluation", "seconds", "evaluation, s", 2, 1),
    ):
        for data, most in zip(GRAPHS, (fb, wn), strict=True):
            own = [it for it in _records(f"speed/{name}") if it["data"]["name"] == data and _ours(it["candidate"])]
            if own:
                least = min(it[unit] for it in own)
                found.append(_row(f"{data}: {what}", f"<= {most}", least, least <= most))
    for what, most in (
        ("import mulde, above import torch", 0.5), ("mulde --help", 0.7), ("load, from text", 1.0),
        ("load, from the cache", 0.1),
    ):  # fmt: skip
        for it in _records("speed/startup"):
            if it["candidate"] == what:
                found.append(_row(f"{what}, s", f"<= {most}", it["seconds"], it["seconds"] <= most))
    return found


def _ours(candidate: str) -> bool:
    """Whether a row of a comparison is ours and does the same work as the others."""
    return candidate.startswith("mulde") and "distilled" not in candidate and "graph prior" not in candidate


def _records(experiment: str) -> list[Row]:
    return records.read(records.RESULTS / experiment)


def _mrr_of(experiment: str, variant: str) -> tuple[float, float]:
    """Mean test MRR of a variant, embeddings only and with graph prior."""
    own = records.means([it for it in _records(experiment) if it["variant"] == variant])
    return own["MRR"], own["MRR with prior"]


def _mrr(about: str, least: float, plain: float, prior: float) -> Row:
    met = "yes" if plain >= least else "with graph prior" if prior >= least else "no"
    return {"what": about, "goal": f">= {least}", "found": plain, "with graph prior": prior, "met": met}


def _row(about: str, goal: str, value: float, met: bool) -> Row:
    return {"what": about, "goal": goal, "found": value, "with graph prior": None, "met": "yes" if met else "no"}


if __name__ == "__main__":
    main()
