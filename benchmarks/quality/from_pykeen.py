"""Two models that PyKEEN trained become one small Junior: what is won and lost against other ways to be as small.

    KGE_DATA_HOME=... python benchmarks/from_pykeen.py            (hours; given again, it continues)

PyKEEN trains two teachers (MuRE with 200 and with 256 dimensions), and what its users have for small models: MuRE with
32 dimensions, MuRE whose entities are of low rank, and NodePiece. `mulde distil` takes both teachers' result
folders as they are and teaches RotH 32-d, over seeds; `mulde train` trains the same RotH alone for as many epochs. At
equal bytes stand the better teacher reduced by PCA, and by PCA and 8 bits.

PyKEEN's models: 20 corruptions per triple, Adam, `EPOCHS` epochs of its sLCWA loop, with binary loss, or cross
entropy for NodePiece, which learned slower by the other; its epochs take a minute, so it gets 20 of them (``--only
"NodePiece 64-d" --epochs 20``). The state with the best MRR on 500 validation triples, looked at every 10 epochs, is
kept. All figures are of the full test split, filtered, both directions, realistic, by vectors alone; the column
`closed world` adds what the Juniors learn of it (docs/measured.md), which PyKEEN's models do not know. MB: what has
to be stored to answer, float32 unless said. Writes ``results/from_pykeen/``.
"""

from __future__ import annotations

import argparse
import copy
import json
import shlex
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recorded
import torch
from pykeen.models import ERModel, Model, MuRE, NodePiece
from pykeen.nn.representation import LowRankRepresentation
from pykeen.training import SLCWATrainingLoop
from pykeen.triples import TriplesFactory

import kge_data
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.engine.provenance import environment
from mulde.files import write_atomically
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.storage.quantisation import rows_to_int8
from mulde.kge.teachers.ensemble import Ensemble
from mulde.pykeen import factories, open_teacher
from mulde.pykeen.folders import PICKLE, TRIPLES
from mulde.pykeen.teachers import PyKEENTeacher
from mulde.report.tables import table

Row = dict[str, Any]
EPOCHS, EVERY, BATCH, NEGATIVES = 80, 10, 1024, 20
TEACHERS = ("MuRE 200-d", "MuRE 256-d")
JUNIOR = "--preset recommended --lr 0.002 --batch-size 500 --dim 32 --epochs 60 --threads 1 --no-mask-self-loops"
TAUGHT = "--top-k 100 --teacher-query-fraction 0.1"


def mure(training: TriplesFactory, dim: int, seed: int = 0) -> Model:
    return MuRE(triples_factory=training, embedding_dim=dim, loss="bcewithlogits", random_seed=seed)


def low_rank(training: TriplesFactory) -> Model:
    """MuRE with 200 dimensions whose entities are mixtures of 32 learned vectors: 32 numbers and two biases each."""
    model = mure(training, 200)
    vectors = LowRankRepresentation(
        max_id=training.num_entities, shape=200, num_bases=32, base_kwargs={"initializer_kwargs": {"std": 0.05}},
        weight_kwargs={"initializer_kwargs": {"std": 0.05}},
    )  # fmt: skip
    model.entity_representations[0] = vectors
    return model


def node_piece(training: TriplesFactory) -> Model:
    """64 dimensions of 4 anchors and 4 relations each: every batch mixes the tokens of its entities anew, and with 200
    dimensions ten epochs take more than 20 minutes here."""
    return NodePiece(
        triples_factory=training, tokenizers=["AnchorTokenizer", "RelationTokenizer"], num_tokens=[4, 4],
        tokenizers_kwargs=[
            {"selection": "degree", "selection_kwargs": {"num_anchors": 1000}, "searcher": "ScipySparse"}, {},
        ],
        embedding_dim=64, aggregation="mlp", interaction="distmult", loss="crossentropy", random_seed=0,
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[TriplesFactory], Model], float]] = {
    "MuRE 200-d": (lambda training: mure(training, 200), 2e-3),
    "MuRE 256-d": (lambda training: mure(training, 256, seed=1), 2e-3),
    "MuRE 32-d": (lambda training: mure(training, 32), 2e-3),
    "MuRE 200-d, rank 32": (low_rank, 2e-3),
    "NodePiece 64-d": (node_piece, 5e-3),
}
"""What builds each model, and its learning rate."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="wn18rr", help="graph (default: wn18rr)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the Juniors (default: 3)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"epochs of PyKEEN's models (default: {EPOCHS})")
    parser.add_argument("--only", action="append", help="only these models (repeats); `Junior` is one")
    parser.add_argument("--runs", type=Path, default=Path("runs/from_pykeen"), help="(default: runs/from_pykeen)")
    parser.add_argument("--out", type=Path, default=Path("results/from_pykeen"), help="(default: results/from_pykeen)")
    options = parser.parse_args()
    process.start(threads=1)
    graph = kge_data.load(options.data)
    runs, out = options.runs / options.data, options.out / options.data
    for name in MODELS:
        if options.only is None or name in options.only:
            trained(name, graph, runs / _slug(name), out / f"{_slug(name)}.json", options.epochs)
    if options.only is None or "Junior" in options.only:
        reduced(graph, runs, out)
        for seed in range(options.seeds):
            juniors(options.data, seed, runs, out)
    write_table(options.data, out)


def trained(name: str, graph: TripleSet, folder: Path, record: Path, epochs: int) -> None:
    """Train a model by PyKEEN's loop, save it as its pipeline does, and measure it."""
    if record.exists():
        return
    training = factories(graph)[0]
    build, lr = MODELS[name]
    model = build(training)
    loop = SLCWATrainingLoop(
        model=model, triples_factory=training, optimizer=torch.optim.Adam(model.parameters(), lr=lr, fused=True),
        negative_sampler_kwargs={"num_negs_per_pos": NEGATIVES},
    )  # fmt: skip
    known, seconds = known_answers(graph), 0.0
    course: list[Row] = []
    best = copy.deepcopy(model.state_dict())
    for done in range(EVERY, epochs + 1, EVERY):
        start = time.perf_counter()
        loop.train(training, num_epochs=done, batch_size=BATCH, use_tqdm=False, continue_training=done > EVERY)
        seconds += time.perf_counter() - start
        asked = Ensemble([PyKEENTeacher(copy.deepcopy(model), training, graph)])  # an ensemble freezes its members
        mrr = evaluate(asked, graph, "valid", known, sample=500).metrics()["mrr"]
        if mrr > max((row["valid MRR of 500"] for row in course), default=0.0):
            best = copy.deepcopy(model.state_dict())
        course.append({"epoch": done, "valid MRR of 500": mrr, "seconds": seconds})
        print(name, course[-1], flush=True)
        if mrr < max(row["valid MRR of 500"] for row in course[-3:]) and len(course) > 3:
            break
    model.load_state_dict(best)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model, folder / PICKLE)
    training.to_path_binary(folder / TRIPLES)
    metrics = evaluate(Ensemble([PyKEENTeacher(model, training, graph)]), graph, "test", known).metrics()
    stored = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    row = {"model": name, "lr": lr, "MB": stored / 1e6, "seconds": seconds, "course": course, "test": metrics}
    _write(record, row)


def reduced(graph: TripleSet, runs: Path, out: Path) -> None:
    """The better teacher (on validation) with fewer bytes per entity: its main directions, and these in 8 bits."""
    if (record := out / "reduced.json").exists():
        return
    courses = {name: json.loads((out / f"{_slug(name)}.json").read_text())["course"] for name in TEACHERS}
    name = max(courses, key=lambda name: max(row["valid MRR of 500"] for row in courses[name]))
    known = known_answers(graph)
    rows = []
    for directions, bits in ((32, 32), (128, 8), (200, 8)):
        teacher = open_teacher(runs / _slug(name), graph, allow_pickle=True)
        rows.append({"model": f"{name}, {_said(directions, bits)}", **_reduce(teacher.model, directions, bits)})
        rows[-1]["test"] = evaluate(Ensemble([teacher]), graph, "test", known).metrics()
        print(rows[-1], flush=True)
    _write(record, {"rows": rows})


@torch.no_grad()
def _reduce(model: Model, directions: int, bits: int) -> Row:
    """Replace the entities of a model by what is left of them; returns the MB that have to be stored."""
    assert isinstance(model, ERModel)
    table = model.entity_representations[0]._embeddings.weight
    others = sum(weight.numel() * weight.element_size() for weight in model.state_dict().values())
    others -= table.numel() * table.element_size()
    mean = table.mean(0)
    basis = torch.linalg.svd(table - mean, full_matrices=False).Vh[:directions]
    codes = (table - mean) @ basis.T
    stored = codes.numel() * bits // 8 + 4 * basis.numel() * (directions < table.shape[1])
    if bits == 8:
        whole, scale = rows_to_int8(codes)
        codes = whole.float() * scale.unsqueeze(1)
        stored += 4 * len(scale)
    table.copy_(codes @ basis + mean)
    return {"MB": (stored + others) / 1e6}


def _said(directions: int, bits: int) -> str:
    return {32: f"PCA to {directions}", 8: f"int8, PCA to {directions}" if directions < 200 else "int8"}[bits]


def juniors(data: str, seed: int, runs: Path, out: Path) -> None:
    """The Junior alone and taught by both result folders; what has a record is not trained again."""
    teachers = [word for name in TEACHERS for word in ("--teacher", str(runs / _slug(name)))]
    for arm, words in (
        ("alone", ["train", "roth", *shlex.split(JUNIOR)]),
        (
            "taught",
            ["distil", "--junior", "roth", *shlex.split(JUNIOR), *shlex.split(TAUGHT), "--allow-pickle", *teachers],
        ),
    ):
        name = f"{arm}-{seed}"
        recorded.run([*words, "--data", data, "--seed", str(seed)], runs / name, out / name)


def write_table(data: str, out: Path) -> None:
    """Everything on record, as a table."""
    found: list[Row] = []
    for name in MODELS:
        if (path := out / f"{_slug(name)}.json").exists():
            found.append({**json.loads(path.read_text()), "trained by": "PyKEEN"})
    if (path := out / "reduced.json").exists():
        found += [{**row, "trained by": "PyKEEN"} for row in json.loads(path.read_text())["rows"]]
    rows = [
        {
            "model": row["model"], "trained by": row["trained by"], "MB": row["MB"], "test MRR": row["test"]["mrr"],
            "hits@1": row["test"]["hits@1"], "hits@10": row["test"]["hits@10"], "seconds": row.get("seconds"),
            "epochs": row["course"][-1]["epoch"] if "course" in row else None,
        }
        for row in found
    ]  # fmt: skip
    for arm, said in (("alone", "RotH 32-d alone"), ("taught", "RotH 32-d taught by both")):
        places = sorted(path.parent for path in out.glob(f"{arm}-[0-9]*/summary.json"))
        if places:
            summaries, tests = zip(*(recorded.read(place) for place in places), strict=True)
            own = [summary["rows"][0] for summary in summaries]
            alone = [recorded.by_vectors(test) for test in tests]
            scores = [metrics["mrr"] for metrics in alone]
            rows.append(
                {
                    "model": said, "trained by": "mulde", "MB": own[0]["MB"], "test MRR": statistics.fmean(scores),
                    "sd": statistics.stdev(scores) if len(scores) > 1 else None, "least": min(scores),
                    "hits@1": statistics.fmean(metrics["hits@1"] for metrics in alone),
                    "hits@10": statistics.fmean(metrics["hits@10"] for metrics in alone),
                    "closed world": statistics.fmean(test["realistic"]["mrr"] for test in tests),
                    "seconds": statistics.fmean(row["seconds"] for row in own), "seeds": len(scores),
                }
            )  # fmt: skip
    for row in rows:
        row["seconds"] = None if row["seconds"] is None else round(row["seconds"])
    title = f"{data}: full test split, filtered, both directions, realistic ranks; one thread"
    write_atomically(out / "table.json", (json.dumps({"rows": rows, **environment()}, indent=1) + "\n").encode())
    write_atomically(out / "table.md", f"{title}\n\n{table(rows, markdown=True)}\n".encode())
    print(f"{title}\n{table(rows)}")


def _write(record: Path, row: Row) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(record, (json.dumps({**row, **environment()}, indent=1) + "\n").encode())


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


if __name__ == "__main__":
    main()
