"""The most important figures of a page: quality, gain, size and latency of the main model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mulde.report.quality import percent
from mulde.report.runs import Run, Stage, best_teacher, foremost

Card = tuple[str, str, str]
"""(figure, unit, meaning)"""


def cards(runs: Sequence[Run]) -> Iterator[Card]:
    """Cards of the recommended model of the foremost run."""
    run = foremost(runs)
    if run is None or run.main is None:
        return
    main = run.main
    text = f"test MRR of {main.name}, embeddings only"
    if main.interval is not None:
        text += "; 95 % interval {:.3f} to {:.3f}".format(*main.interval)
    yield f"{main.mrr:.3f}", "MRR", text
    if main.prior_mrr is not None:
        yield f"{main.prior_mrr:.3f}", "MRR", f"test MRR of {main.name}, with graph prior"
    yield from _gain(run)
    if main.megabytes:
        yield *size(main.megabytes), _size_of(main, best_teacher(run.stages))
    if main.latency:
        yield f"{main.latency.p50:,.3g}", "ms", "for one query, all entities scored, one processor thread (median)"


def _gain(run: Run) -> Iterator[Card]:
    """What distillation gains over the baseline, with the interval of the run's verdict where there is one."""
    junior, baseline = run.junior, next(iter(run.having("baseline")), None)
    if gain := (run.summary.get("verdict") or {}).get("gain"):
        low, high = gain["interval_95"]
        text = f"test MRR gained by distillation, embeddings only; 95 % interval {low:+.3f} to {high:+.3f}"
        yield f"{gain['test_mrr']:+.3f}", "MRR", text
    elif junior and baseline and junior.mrr is not None and baseline.mrr is not None and junior.dim == baseline.dim:
        text = "test MRR gained by distillation, embeddings only"
        yield f"{junior.mrr - baseline.mrr:+.3f}", "MRR", text


def _size_of(main: Stage, teacher: Stage | None) -> str:
    text = f"on disk, {main.parameters:,} parameters" if main.parameters else "on disk"
    if teacher is None or teacher is main or not teacher.megabytes:
        return text
    whole = " ".join(size(teacher.megabytes))
    return f"{text}; {percent(main.megabytes, teacher.megabytes)} of {teacher.name} ({whole}), the best teacher"


def size(megabytes: float) -> tuple[str, str]:
    """A size with three digits, and its unit."""
    return (f"{megabytes:,.3g}", "MB") if megabytes >= 0.995 else (f"{1000 * megabytes:,.3g}", "kB")
