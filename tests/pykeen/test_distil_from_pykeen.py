"""`mulde distil --teacher DIR` with result folders of PyKEEN's pipeline: eight kinds of models, single and mixed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pykeen.pipeline import pipeline

import kge_data
import mulde
from kge_data.tripleset import TripleSet
from mulde import cli
from mulde.errors import UsageError
from mulde.kge.export.bundle import Original, pack
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.scorers.roth import RotH
from mulde.kge.storage.run_folder import describe, save_model
from mulde.kge.teachers.ensemble import Renumbered, match
from mulde.kge.teachers.opening import of_pykeen, open_teacher, seen_test_triples
from mulde.pykeen import factories, open_for_pykeen
from mulde.pykeen import open_teacher as open_theirs
from tests.pykeen.test_pykeen_teachers import NEEDS_INVERSES, OPTIONS

QUICK = {
    "epochs": 1,
    "eval_every": 1,
    "negatives": 4,
    "dim": 4,
    "top_k": 5,
    "teacher_query_fraction": 0.1,
    "batch_size": 2000,
}
WORDS = [word for name, value in QUICK.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def trained(
    graph: TripleSet, name: str, inverses: bool, folder: Path, epochs: int = 1, loop: str = "slcwa", **options: Any
) -> Path:
    """What PyKEEN's pipeline saves of a model trained on a graph."""
    training, validation, testing = factories(graph)
    training = training.clone_and_exchange_triples(training.mapped_triples, create_inverse_triples=inverses)
    result = pipeline(
        model=name, model_kwargs=options or OPTIONS[name], training=training, validation=validation, testing=testing,
        training_loop=loop, loss="marginranking" if loop == "slcwa" else "crossentropy", random_seed=0,
        training_kwargs={"num_epochs": epochs, "batch_size": 1024 if loop == "slcwa" else 128, "use_tqdm": False},
        evaluation_kwargs={"use_tqdm": False, "batch_size": 256}, optimizer_kwargs={"lr": 0.01},
    )  # fmt: skip
    result.save_to_directory(folder, save_metadata=False)
    return folder


@pytest.fixture(scope="module")
def results(nations: TripleSet, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Result folder of each model, made when it is first used."""

    class Results(dict[tuple[str, bool], Path]):
        def __missing__(self, kind: tuple[str, bool]) -> Path:
            self[kind] = trained(nations, *kind, tmp_path_factory.mktemp(f"{kind[0]}-{kind[1]}") / "result")
            return self[kind]

    return Results()


CASES = [(name, True) for name in OPTIONS] + [("TransE", False), ("ConvE", False)]


@pytest.mark.parametrize(("name", "inverses"), CASES)
def test_each_kind_teaches_alone_and_beside_a_hyperbolic_one(
    name: str, inverses: bool, results: Any, nations: TripleSet, tmp_path: Path
) -> None:
    folder = results[name, inverses]
    assert of_pykeen(folder)
    teacher = open_theirs(folder, nations, allow_pickle=True)
    assert teacher.model.use_inverse_triples == inverses or name in NEEDS_INVERSES
    hyperbolic = KGEModel(RotH, nations.num_entities, nations.num_relations, ModelConfig(dim=6, init_scale=0.2))
    for ensemble in ([teacher], [teacher, hyperbolic]):
        junior = mulde.distil("refh", ensemble, nations, folder=tmp_path / str(len(ensemble)), **QUICK)
        assert junior.score_all(torch.tensor([0]), torch.tensor([0])).isfinite().all()


def test_the_command(results: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = results["RotatE", True]
    words = ["distil", "--data", "nations", *WORDS, "--teacher", str(folder), "--out", str(tmp_path / "junior")]
    assert cli.main(words) == 2
    assert "a pickle can run any program when it is opened; give allow_pickle=True" in capsys.readouterr().err
    assert not (tmp_path / "junior").exists()
    assert cli.main([*words, "--allow-pickle", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["fit"]["epochs"] == 1
    assert "was trained on" not in printed.err  # neither on other data nor on test triples
    config = json.loads((tmp_path / "junior/fit/config.json").read_text())
    assert cli.main([*words, "--allow-pickle", "--json"]) == 0  # the same teacher: finished and reused
    assert "finished before and reused" in capsys.readouterr().err
    assert config["frozen"].keys() == {"ensemble"}


def test_a_teacher_on_other_data_is_refused_with_what_it_lacks(
    results: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = results["TransE", True]
    words = ["--teacher", str(folder), "--allow-pickle", "--out", str(tmp_path / "junior")]
    assert cli.main(["distil", "--data", "kinships", *WORDS, *words]) == 2
    printed = capsys.readouterr().err
    assert (
        f"mulde: teacher {folder} does not know 104 of the graph's 104 entities: person0, person1, person10" in printed
    )
    assert printed.endswith("…; train it on this graph, with the same names\n")


def test_a_refusal_is_all_that_is_said(results: Any, tmp_path: Path) -> None:
    """In a new process, which imports geoopt: no warning of a library precedes it."""
    words = [
        "distil",
        "--data",
        "nations",
        "--teacher",
        str(results["TransE", True]),
        "--out",
        str(tmp_path / "junior"),
    ]
    done = subprocess.run([sys.executable, "-m", "mulde", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert all(line.startswith("mulde: ") for line in done.stderr.splitlines()), done.stderr


def test_a_damaged_pickle_is_reported(results: Any, nations: TripleSet, tmp_path: Path) -> None:
    shutil.copytree(results["TransE", True], tmp_path / "result")
    (tmp_path / "result/trained_model.pkl").write_bytes(b"hello")
    with pytest.raises(UsageError, match=r"trained_model\.pkl: cannot be opened \(.*or needs the packages it was"):
        open_theirs(tmp_path / "result", nations, allow_pickle=True)


def reversed_graph(graph: TripleSet) -> TripleSet:
    """The same triples, numbered backwards; half of the test triples are in train as well."""
    last = (graph.num_entities - 1, graph.num_relations - 1)

    def turned(triples: Any) -> Any:
        return [last[0], last[1], last[0]] - triples

    train = np.concatenate([graph.train, graph.test[: len(graph.test) // 2]])
    return TripleSet(
        "backwards", turned(train), turned(graph.valid), turned(graph.test), graph.entities[::-1], graph.relations[::-1]
    )


def test_our_own_teachers_are_matched_by_name_too(
    nations: TripleSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = reversed_graph(nations)
    model = KGEModel(RotH, 14, 55, ModelConfig(dim=6, init_scale=0.3)).eval()
    save_model(tmp_path / "run", model, theirs, "gone.tsv")
    pack(Original(tmp_path / "run", model, theirs, describe(tmp_path / "run")), "back").write(tmp_path / "back.zip")
    heads, relations = torch.tensor([0, 5, 13]), torch.tensor([0, 7, 109])
    ids = 13 - heads, 2 * (54 - relations // 2) + relations % 2
    expected = model.score_all(*ids).flip(1)
    for name in ("run", "back.zip"):
        teacher = open_teacher(tmp_path / name, nations)
        assert isinstance(teacher, Renumbered)
        assert torch.equal(teacher.score_all(heads, relations), expected)
    ids = torch.tensor([[1, 2], [3, 4], [0, 13]])
    torch.testing.assert_close(teacher.score(heads, relations, ids), expected.gather(1, ids))
    torch.testing.assert_close(teacher.score(heads, relations, ids[:, 0]), expected.gather(1, ids)[:, 0])
    assert seen_test_triples(teacher, nations) == 100
    place = tmp_path / "back.zip"
    words = ["distil", "--data", "nations", *WORDS, "--teacher", str(place), "--out", str(tmp_path / "junior")]
    assert cli.main(words) == 0
    printed = capsys.readouterr().err
    assert f"mulde: teacher {place} was trained on other triples than those of nations" in printed
    assert f"mulde: teacher {place} was trained on 100 of the 201 test triples of nations\n" in printed
    assert match("entities", ("b", "a"), {"a": 0, "b": 1, "c": 2}).tolist() == [1, 0]


def test_plain_pykeen_folders_are_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", "umls-8", "--to", "pykeen", "--out", str(tmp_path / "out")]) == 0
    assert "trained_model.pkl" in capsys.readouterr().out
    network, training = open_for_pykeen(tmp_path / "out")
    ours, heads = mulde.load("umls-8"), torch.arange(5)
    rows, scores = next(ours.blocks(heads, 2 * heads))
    theirs = network.predict_t(torch.stack([heads, heads], 1)).detach()[rows]
    torch.testing.assert_close(theirs, scores, rtol=1e-4, atol=1e-5)
    assert training.num_entities == 135
    assert not of_pykeen(tmp_path / "out")  # opened as ours, without the pickle


LARGER: dict[str, dict[str, Any]] = {
    "ConvE": {"embedding_height": 4, "embedding_width": 8, "output_channels": 8},
    "TuckER": {"relation_dim": 16},
    "NodePiece": {"num_tokens": 4},
    "CompGCN": {"encoder_kwargs": {"num_layers": 1}},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_umls_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight models trained by PyKEEN on UMLS are distilled by the command line, each by itself and all together."""

    def distilled(name: str, *teachers: str | Path) -> float:
        words = [word for teacher in teachers for word in ("--teacher", str(teacher))]
        place = [
            "--out",
            str(tmp_path / "juniors" / name),
            "--data",
            "umls",
            "--allow-pickle",
            "--json",
            "--threads",
            "1",
        ]
        capsys.readouterr()
        assert cli.main(["distil", *place, *words, "--dim", "8", "--epochs", "10", "--top-k", "50"]) == 0
        mrr: float = json.loads(capsys.readouterr().out)["test"]["realistic"]["mrr"]
        print(f"Junior distilled from {name}: test MRR {mrr:.4f}", file=sys.__stdout__)
        return mrr

    graph = kge_data.load("umls")
    folders = [
        trained(graph, name, True, tmp_path / name, 20, "lcwa", embedding_dim=32, **LARGER.get(name, {}))
        for name in OPTIONS
    ]
    for folder in folders:
        theirs = json.loads((folder / "results.json").read_text())["metrics"]["both"]["realistic"]
        print(f"{folder.name}: test MRR {theirs['inverse_harmonic_mean_rank']:.4f}", file=sys.__stdout__)
        assert distilled(folder.name, folder) > 0.1  # random scores reach 0.04
    assert distilled("all of them and two hyperbolic models", *folders, "umls-8", _hyperbolic(tmp_path)) > 0.1


def _hyperbolic(folder: Path) -> Path:
    words = ["--data", "umls", "--threads", "1", "--dim", "32", "--epochs", "10", "--out", str(folder / "roth")]
    assert cli.main(["train", "roth", *words]) == 0
    return folder / "roth"
