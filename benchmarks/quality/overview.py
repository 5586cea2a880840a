"""The results table of the README, and the single numbers in its text.

    python -m benchmarks.quality.overview            (or: make results)

Writes ``results/overview.md``.
"""

from __future__ import annotations

import re

from benchmarks.harness import records
from mulde.files import write_atomically
from mulde.report.tables import table

DISTILLED, PIPELINE, PRESETS = "distilled/fb15k-237-affineh", "pipeline/wn18rr-two", "presets/wn18rr-6m"
BASELINE, OFFLINE = "baseline, binary loss, longer", "distilled (offline), longer"
ROWS = (  # graph, model, experiment, variant or run
    ("UMLS", "teacher RotH", "pipeline/umls-8", "umls-8/teachers/roth"),
    ("UMLS", "RotH, baseline", "pipeline/umls-8", "umls-8/baseline"),
    ("UMLS", "RotH, MulDE", "pipeline/umls-8", "umls-8/junior"),
    ("WN18RR", "teacher RotH", PIPELINE, "wn18rr-two/teachers/roth"),
    ("WN18RR", "RotH, baseline", PRESETS, "baseline"),
    ("WN18RR", "RotH, MulDE", PRESETS, "recommended"),
    ("FB15k-237", "teacher ComplEx", DISTILLED, "teacher"),
    ("FB15k-237", "AffineH, baseline", DISTILLED, BASELINE),
    ("FB15k-237", "AffineH, offline distillation", DISTILLED, OFFLINE),
    ("FB15k-237", "RotH, baseline", "presets/fb15k-237-8m", "baseline"),
    ("FB15k-237", "RotH, MulDE", "presets/fb15k-237-8m", "recommended"),
)


def main() -> None:
    text = table([row(*which) for which in ROWS], markdown=True)
    write_atomically(records.RESULTS / "overview.md", f"{text}\n".encode())
    print(text)


def row(graph: str, model: str, experiment: str, which: str) -> records.Record:
    """Means over the seeds of a variant, or one run."""
    own = found(experiment, which)
    means = records.means(own)
    return {
        "graph": graph, "model": model, "dim": own[0]["dim"], "MB": own[0]["MB"],
        "MRR, embeddings only": means["MRR"], "MRR with graph prior": means["MRR with prior"],
        "Hits@10, embeddings only": means["Hits@10"], "minutes": f"{records.seconds(own) / 60:.1f}", "seeds": len(own),
    }  # fmt: skip


def found(experiment: str, which: str) -> list[records.Record]:
    """The records of a variant, or of one run; folders of teachers end in dimension and checksum."""
    names = re.compile(rf"{re.escape(which)}(-\d+-[0-9a-f]{{8}})?")
    own = records.read(records.RESULTS / experiment)
    return [it for it in own if it.get("variant") == which or names.fullmatch(it["run"])]


def numbers() -> dict[str, str]:
    """Numbers in the text of the README by name."""
    small, large = (bits(name) for name in ("AffineH, distilled, 8 bits", "teacher, ComplEx, 32 bits"))
    gain = [records.means(found(DISTILLED, variant))["MRR"] for variant in (OFFLINE, BASELINE)]
    [prior] = [it["metrics"] for it in records.read(records.RESULTS / "graph_prior") if it["run"] == "wn18rr-32"]
    times = {it["candidate"]: it["seconds"] for it in speed("evaluation") if it["data"]["name"] == "fb15k-237"}
    kills = speed("kill_and_resume")
    return {
        "small_mb": f"{small['MB']:.1f}", "small_mrr": mrr(small),
        "large_mb": f"{large['MB']:.0f}", "large_mrr": mrr(large),
        "gain": f"{gain[0] - gain[1]:.3f}".lstrip("0"),
        "prior": " to ".join(f"{prior[kind]['mrr']:.3f}".lstrip("0") for kind in ("embeddings_only", "with_prior")),
        "evaluation": f"{times['PyKEEN, as shipped'] / times['mulde']:.0f}",
        "kills": f"{sum(all(it[name] for name in it if name.endswith('safetensors')) for it in kills)} of {len(kills)}",
    }  # fmt: skip


def bits(run: str) -> records.Record:
    """A record of ``bits.py``."""
    [own] = found("bits", run)
    return own


def speed(name: str) -> list[records.Record]:
    """The records of a measurement of speed."""
    return records.read(records.RESULTS / "speed" / name)


def mrr(record: records.Record) -> str:
    """Test MRR of a record, embeddings only, with three digits."""
    return f"{record['metrics']['embeddings_only']['mrr']:.3f}".lstrip("0")


if __name__ == "__main__":
    main()
