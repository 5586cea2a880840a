"""Two models trained by PyKEEN distilled into one small Junior, against other ways to get a model of its size.

    KGE_DATA_HOME=... python -m benchmarks.quality.from_pykeen            (hours; the same command continues)

PyKEEN trains two teachers (MuRE with 200 and with 256 dimensions) and what it offers for small models: MuRE with 32
dimensions, MuRE with entities of low rank, and NodePiece. `mulde distil` reads both teachers' result folders and trains
RotH 32-d; `mulde train` trains the same RotH as baseline for as many epochs. The better teacher is also reduced by PCA,
and by PCA and 8 bits.

PyKEEN's models: 20 corruptions per triple, Adam, `EPOCHS` epochs of its sLCWA loop with binary loss, or cross entropy
for NodePiece, which learned more slowly with the other; its epochs take a minute, so it gets 20 of them (``--only
"NodePiece 64-d" --epochs 20``). The state with the best MRR on 500 validation triples, evaluated every 10 epochs, is
kept. MB is what has to be stored to answer, float32 unless stated. Writes ``results/from_pykeen/<data>/``.
"""

from __future__ import annotations

import argparse
import copy
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from pykeen.models import ERModel, Model, MuRE, NodePiece
from pykeen.nn.representation import LowRankRepresentation
from pykeen.training import SLCWATrainingLoop
from pykeen.triples import TriplesFactory

import kge_data
from benchmarks.harness import records
from benchmarks.harness.trained import train
from kge_data.tripleset import TripleSet
from mulde.engine import process
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.storage.quantisation import rows_to_int8
from mulde.kge.teachers.ensemble import Ensemble
from mulde.pykeen import factories, open_teacher
from mulde.pykeen.folders import PICKLE, TRIPLES
from mulde.pykeen.teachers import PyKEENTeacher

Row = records.Record
EPOCHS, EVERY, BATCH, NEGATIVES = 80, 10, 1024, 20
TEACHERS = ("MuRE 200-d", "MuRE 256-d")
JUNIOR = "--preset recommended --lr 0.002 --batch-size 500 --dim 32 --epochs 60 --threads 1 --no-mask-self-loops"
DISTIL = "--top-k 100 --teacher-query-fraction 0.1"


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


@process.threads(1)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="wn18rr", help="graph (default: wn18rr)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the Juniors (default: 3)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"epochs of PyKEEN's models (default: {EPOCHS})")
    parser.add_argument("--only", action="append", help="only these models (repeats); `Junior` is one")
    parser.add_argument("--runs", type=Path, default=Path("runs/from_pykeen"), help="(default: runs/from_pykeen)")
    parser.add_argument(
        "--out", type=Path, default=records.RESULTS / "from_pykeen", help="(default: results/from_pykeen)"
    )
    options = parser.parse_args()
    process.start()
    graph = kge_data.load(options.data)
    runs, out = options.runs / options.data, options.out / options.data
    for name in MODELS:
        if options.only is None or name in options.only:
            trained(name, graph, runs / _slug(name), out, options.epochs)
    if options.only is None or "Junior" in options.only:
        reduced(graph, runs, out)
        for seed in range(options.seeds):
            juniors(options.data, seed, runs, out)
    write_table(options.data, out)


def trained(name: str, graph: TripleSet, folder: Path, out: Path, epochs: int) -> None:
    """Train a model by PyKEEN's loop, save it as its pipeline does, and measure it."""
    if _recorded(out, name):
        return
    training = factories(graph)[0]
    build, lr = MODELS[name]
    model = build(training)
    loop = SLCWATrainingLoop(
        model=model, triples_factory=training, optimizer=torch.optim.Adam(model.parameters(), lr=lr, fused=True),
        negative_sampler_kwargs={"num_negs_per_pos": NEGATIVES},
    )  # fmt: skip
    known, seconds = known_answers(graph), 0.0
    curve: Row = {"epoch": [], "seconds": [], "valid_mrr": []}  # of 500 validation triples
    best = copy.deepcopy(model.state_dict())
    for done in range(EVERY, epochs + 1, EVERY):
        start = time.perf_counter()
        loop.train(training, num_epochs=done, batch_size=BATCH, use_tqdm=False, continue_training=done > EVERY)
        seconds += time.perf_counter() - start
        ensemble = Ensemble([PyKEENTeacher(copy.deepcopy(model), training, graph)])  # it freezes its members
        mrr = evaluate(ensemble, graph, "valid", known, sample=500).metrics()["mrr"]
        if mrr > max(curve["valid_mrr"], default=0.0):
            best = copy.deepcopy(model.state_dict())
        for key, value in (("epoch", done), ("seconds", seconds), ("valid_mrr", mrr)):
            curve[key].append(value)
        print(name, done, seconds, mrr, flush=True)
        if mrr < max(curve["valid_mrr"][-3:]) and len(curve["epoch"]) > 3:
            break
    model.load_state_dict(best)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model, folder / PICKLE)
    training.to_path_binary(folder / TRIPLES)
    metrics = evaluate(Ensemble([PyKEENTeacher(model, training, graph)]), graph, "test", known).metrics()
    stored = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    row = {"run": name, "settings": {"lr": lr, "batch_size": BATCH, "negatives": NEGATIVES}, "MB": stored / 1e6}
    row |= {"metrics": {"embeddings_only": metrics}, "seconds": seconds, "curve": curve, "epochs": curve["epoch"][-1]}
    records.append(out, row | _about(graph))


def reduced(graph: TripleSet, runs: Path, out: Path) -> None:
    """The better teacher (on validation) with fewer bytes per entity: its principal components, and these in 8 bits."""
    curves = {it["run"]: it["curve"] for it in records.read(out) if it["run"] in TEACHERS}
    name = max(curves, key=lambda name: max(curves[name]["valid_mrr"]))
    known = known_answers(graph)
    for directions, bits in ((32, 32), (128, 8), (200, 8)):
        run = f"{name}, {_reduced(directions, bits)}"
        if not _recorded(out, run):
            teacher = open_teacher(runs / _slug(name), graph, allow_pickle=True)
            row = {"run": run, **_reduce(teacher.model, directions, bits)}
            metrics = evaluate(Ensemble([teacher]), graph, "test", known).metrics()
            records.append(out, {**row, "metrics": {"embeddings_only": metrics}, **_about(graph)})


@torch.no_grad()
def _reduce(model: Model, directions: int, bits: int) -> Row:
    """Replace the entities of a model by their reduced form; returns the MB that have to be stored."""
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


def _reduced(directions: int, bits: int) -> str:
    return {32: f"PCA to {directions}", 8: f"int8, PCA to {directions}" if directions < 200 else "int8"}[bits]


def juniors(data: str, seed: int, runs: Path, out: Path) -> None:
    """The Junior without distillation and distilled from both result folders."""
    teachers = [word for name in TEACHERS for word in ("--teacher", str(runs / _slug(name)))]
    words = {
        "baseline": ["train", "roth", *shlex.split(JUNIOR)],
        "distilled": ["distil", "--junior", "roth", *shlex.split(f"{JUNIOR} {DISTIL}"), "--allow-pickle", *teachers],
    }
    for variant, own in words.items():
        name = f"{variant}-{seed}"
        train([*own, "--data", data, "--seed", str(seed)], runs / name, out, name, variant=variant)


def write_table(data: str, out: Path) -> None:
    """All recorded models; means over seeds for the Juniors."""
    found, rows = records.read(out), []
    for it in (it for it in found if "variant" not in it):
        row = {"model": it["run"], "trained by": "PyKEEN", "MB": it["MB"], **records.means([it])}
        seconds = round(it["seconds"]) if "seconds" in it else None
        rows.append(row | {"seconds": seconds, "epochs": it.get("epochs"), "seeds": 1})
    for variant, name in (("baseline", "RotH 32-d, baseline"), ("distilled", "RotH 32-d, distilled from both MuRE")):
        if own := [it for it in found if it.get("variant") == variant]:
            row = {"model": name, "trained by": "mulde", "MB": own[0]["MB"], **records.means(own)}
            rows.append(row | {"seconds": records.seconds(own), "epochs": own[0]["epochs"], "seeds": len(own)})
    title = f"{data}: full test split, filtered, both directions, realistic ranks; embeddings only; one thread"
    records.write_table(out, title, rows)


def _recorded(out: Path, run: str) -> bool:
    return any(it["run"] == run for it in records.read(out))


def _about(graph: TripleSet) -> Row:
    command = " ".join(["python", "-m", "benchmarks.quality.from_pykeen", *sys.argv[1:]])
    return {"command": command, "data": {"name": graph.name, "checksum": graph.checksum}, **records.environment()}


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


if __name__ == "__main__":
    main()
