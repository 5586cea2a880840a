"""Every error message for users, raised once and compared word by word.

A good message has what was expected, what was found and what to do. Messages of the engine are in tests/engine, of
data files in tests/kge_data, of options in tests/config/test_command_line.py. The file is long because it holds the
text of each message.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import kge_data
import mulde
from mulde import catalogue, cli
from mulde.files import read_json, write_json
from mulde.kge.inference import query
from mulde.kge.storage.run_folder import DESCRIPTION, WEIGHTS

SMALL = ["--data", "nations", "--dim", "4", "--epochs", "1", "--eval-every", "1", "--negatives", "2", "--threads", "1"]
Failure = Callable[..., tuple[int, str]]


@pytest.fixture(autouse=True)
def _own_data_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGE_DATA_CACHE", str(tmp_path_factory.getbasetemp() / "kge_data"))
    monkeypatch.delenv("KGE_DATA_HOME", raising=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "roth"
    assert cli.main(["train", "roth", *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with a copy of the trained model in "model"."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "model")
    yield tmp_path


@pytest.fixture
def failure(capsys: pytest.CaptureFixture[str]) -> Failure:
    """The exit code of a command line and the last message on stderr; stdout stays empty."""

    def run(line: str) -> tuple[int, str]:
        code = cli.main(line.split())
        captured = capsys.readouterr()
        assert captured.out == ""
        sentence = captured.err.rpartition("\nmulde: ")[2].removeprefix("mulde: ").removesuffix("\n")
        return code, sentence

    return run


LISTED = "all are listed by `mulde list scorers`"
ALL_SCORERS = ", ".join(name for name, _ in catalogue.names("scorers"))

QUERY = (
    "predict needs two of --head, --relation and --tail (the third is predicted), or all three (the triple is "
    "scored), or --neighbors ENTITY, or --queries FILE"
)

WORDS = {
    "train rothh": f'no scorer called "rothh"; nearest: roth, rote; {LISTED}',
    "run --teacher rothh": f'no scorer called "rothh"; nearest: roth, rote; {LISTED}',
    "distil --junior x --teacher model": f'no scorer called "x"; there are {ALL_SCORERS}; {LISTED}',
    "trian roth": 'no verb called "trian"; nearest: train; all are listed by `mulde --help`',
    "train roth --data natoins": 'no graph is called "natoins", and there is no such file or folder; nearest: nations; '
    "all are listed by `python -m kge_data list`.",
    "train roth --preset papre": "mulde train: --preset: should be one of recommended, best, kgemb, paper, got 'papre'",
    "train roth --config none.toml": "none.toml: expected a settings file, but it cannot be read "
    "([Errno 2] No such file or directory: 'none.toml')",
    "train roth --dim 33": "RotH pairs coordinates, so `dim` must be even; got 33; use 32 or 34",
    "run --teacher-dim 33": "RotH pairs coordinates, so `dim` must be even; got 33; use 32 or 34",
    "train roth --dim 0": "mulde train: --dim: should be a whole number of at least 1 and at most 100,000, got 0",
    "train roth --epochs 0": "mulde train: --epochs: should be a whole number of at least 1, got 0",
    "train roth --lr -1": "mulde train: --lr: should be a number above 0 or empty, got '-1'",
    "train complex --n3 0.1": "n3 belongs to the loss 1vsall; got loss binary; leave n3 at 0, or --loss 1vsall",
    "train complex --relation-weight 1": "relation_weight belongs to the loss 1vsall; got loss binary; leave "
    "relation_weight at 0, or --loss 1vsall",
    "train complex --matmul-precision bfloat16": "matmul_precision belongs to the loss 1vsall; got loss binary; "
    "leave matmul_precision at float32, or --loss 1vsall",
    "train rote --data nations --loss 1vsall --relation-weight 1": "relation_weight needs a scorer that can predict "
    "relations, as complex can; got rote; leave relation_weight at 0",
    "run --preset best --teacher rote --relation-weight 1": "relation_weight needs a scorer that can predict "
    "relations, as complex can; got rote, roth; leave relation_weight at 0",
    "distil --data nations --teacher model --preset best --relation-weight 1": 'no option called "--relation-weight"; '
    "nearest: --rotation-init; all are listed by `mulde distil --help-all`",
    "distil --teacher model --preset best --teacher-query-fraction 0.5": 'no option called "--teacher-query-fraction"; '
    "nearest: --teacher-queries; all are listed by `mulde distil --help-all`",
    "distil --teacher model --method kd": "kd is a method for images; methods for graphs are "
    f"{', '.join(path.stem for path in catalogue.shelf_files(catalogue.GRAPH_METHODS))}",
    "distil --teacher model --method muldee": 'no method called "muldee"; nearest: mulde; all are listed by '
    "`mulde list methods`",
    "distil --teacher model --loss 1vsall": "loss should be binary or cross-entropy with this method, which uses "
    "random corruptions; got 1vsall, which compares all entities",
    "train roth --data nations --loss 1vsall": "a loss over all entities needs one curvature for all queries; give "
    "--curvature global or fixed",
    "run --top-k 0": "mulde run: --top-k: should be a whole number of at least 1, got 0",
    "run --temperature 0": "mulde run: --temperature: should be a number above 0, got '0'",
    "train roth --threads 0": "mulde train: --threads: should be a whole number of at least 1 and at most 1,024 or "
    "empty, got 0",
    "train roth --budget soon": "mulde train: --budget: should be a duration such as 90s, 10m or 2h or empty, "
    "got 'soon'",
    "train roth --parametrization manifold": "parametrization 'manifold' needs a hyperbolic scorer and "
    "curvature 'fixed', because its points belong to one ball; got RotH with curvature 'per-relation'; use "
    "parametrization 'tangent', or fix the curvature",
    "train roth --initial-curvature 0": "initial_curvature must be above 0.0001, the floor of learned ones; got "
    "0.0; for flat space take a Euclidean scorer (rote, refe, atte, ...)",
    "distil": "expected at least one teacher; got none; pass --teacher RUN for each run folder that `mulde train` "
    "made",
    "distil --preset best": "expected at least one teacher; got none; pass --teacher RUN for each run folder that "
    "`mulde train` made",
    "distil --teacher model --teacher ./model": "model is given twice as a teacher, and would count twice; "
    "train another one with another seed, or name it once",
    "distil --teacher none": "none: no such folder or file; expected a run folder "
    "(of `mulde train` or `mulde distil`), a bundle (of `mulde pack`), or a name of `mulde list models`",
    "distil --teacher model --data kinships": "teacher model does not know 104 of the graph's 104 entities: person0, "
    "person1, person10, person100, person101, person102, person103, person11, person12, person13, …; train it on this "
    "graph, with the same names",
    "evaluate": "mulde evaluate needs MODEL: Run folder, bundle (`mulde pack`), name of a pretrained model (`mulde "
    "list models`), or, with --data, ultra:PATH for a checkpoint of ULTRA. See `mulde evaluate --help`.",
    "evaluate umls-9": "umls-9: no such folder or file; expected a run folder (of `mulde train` or `mulde distil`), a "
    "bundle (of `mulde pack`), or a name of `mulde list models`",
    "evaluate file": "file: expected a bundle in a zip, but File is not a zip file; the bundle is damaged or was "
    "changed; copy it again",
    "pack model --out file": "file: exists already; choose another name, or remove it",
    "pack model --data kinships": "kinships: expected a graph with the names of model model, but 10,686 of its "
    "10,686 triples have an entity or relation that the model does not know; give a graph of which it knows at least "
    "half, or leave out --data",
    "evaluate empty": "empty: expected a run folder with model.json, found none; finish the training first",
    "evaluate .": ".: expected a single model, found several: model; name one",
    "show none": "none: no such folder; expected a run folder or a bundle",
    "show empty": "empty: expected a run folder, found no model.json, fit/config.json, fit/record.json, valid.json, "
    "test.json, summary.json in it",
    "predict model --head uk": QUERY,
    "predict model --relation embassy": QUERY,
    "predict model --neighbors uk --head uk --relation embassy": QUERY,
    "predict model --queries file": "--queries FILE and --out FILE belong together; give both",
    "predict model --queries file --out x.csv --chunk 0": "mulde predict: --chunk: should be a whole number of at "
    "least 1, got 0",
    "predict model --queries none.csv --out x.csv": "none.csv: cannot be read (No such file or directory); check the "
    "path and its permissions.",
    "evaluate model --sample 0": "mulde evaluate: --sample: should be a whole number of at least 1 or empty, got 0",
    "run --parallel 0": "mulde run: --parallel: should be a whole number of at least 1 and at most 100,000, got 0",
    "train roth --sparse --data nations --out x": "sparse updates need the optimizer adagrad and tangent entities; got "
    "adam and tangent: other optimizers move every entity at every step",
    "predict model --neighbors uk --curvature 0": "mulde predict: --curvature: should be a number above 0 "
    "or empty, got '0'",
    "predict model --neighbors uks": 'no entity is called "uks"; nearest: uk; usa.',
    "evaluate model --task classification --valid-negatives x": "--valid-negatives and --test-negatives belong "
    "together; give both",
    "predict model --head uk --relation embassy --top 0": "mulde predict: --top: should be a whole number of at "
    "least 1, got 0",
    "predict model --head uks --relation embassy": 'no entity is called "uks"; nearest: uk; usa.',
    "predict model --head uk --relation embasy": 'no relation is called "embasy"; nearest: embassy; attackembassy.',
    "evaluate model --data kinships": "kinships: expected a graph with the names of model model, but 10,686 of its "
    "10,686 triples have an entity or relation that the model does not know; give a graph of which it knows at least "
    "half, or leave out --data",
    "train roth --device cuda --data nations --out x": 'device is "cuda", but torch finds no CUDA device; '
    'use device="cpu"',
    "train roth --data nations --out file/run": "file/run: Not a directory; name another path",
}  # fmt: skip


@pytest.mark.parametrize("line", WORDS)
def test_bad_input(line: str, here: Path, failure: Failure) -> None:
    if "cuda" in line and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    (here / "empty").mkdir()
    (here / "file").touch()
    assert failure(line) == (2, WORDS[line].replace("{here}", str(here)))


def test_a_teacher_whose_names_are_not_known_cannot_teach(here: Path, failure: Failure) -> None:
    change(here / "model" / DESCRIPTION, data={"source": "gone.tsv", "name": "nations", "checksum": ""})
    assert failure("distil --data kinships --threads 1 --teacher model") == (
        2,
        "model model was trained on another list of names (14 entities and 55 relations of nations, here 104 and 25 of "
        "kinships); its scores would belong to the wrong entities; pass the right graph",
    )


def test_an_impossible_teacher_is_refused_before_another_is_trained(here: Path, failure: Failure) -> None:
    line = " ".join(["run", *SMALL, "--teacher diste --teacher roth --teacher-dim 33 --out whole"])
    assert failure(line) == (2, WORDS["run --teacher-dim 33"])
    assert not (here / "whole").exists()


def test_an_ambiguous_name(here: Path, failure: Failure, capsys: pytest.CaptureFixture[str]) -> None:
    graph = here / "graph"
    graph.mkdir()
    for split in ("train", "valid", "test"):
        (graph / f"{split}.txt").write_text("a1\tknows\tb2\nb2\tknows\ta1\n")
    (graph / "entity2text.txt").write_text("a1\tbank\nb2\tbank\n")
    assert cli.main(["train", "rote", *SMALL, "--data", "graph", "--out", "banks"]) == 0
    capsys.readouterr()
    assert failure("predict banks --head bank --relation knows") == (
        2, 'entity "bank" could be any of 2: a1 (bank); b2 (bank). Give the identifier, a1 for instance.',
    )  # fmt: skip


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def change(path: Path, **values: object) -> None:
    write_json(path, {**read_json(path), **values})


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights flipped": (
        lambda model: flip(model / WEIGHTS, -5),
        "model/model.safetensors: its checksum is not the one in model.json; the file is damaged or belongs to another "
        "model; copy both files again, or remove both and repeat the training command",
    ),
    "no weights": (
        lambda model: (model / WEIGHTS).unlink(),
        "model: expected model.safetensors in it, found none; copy it again, all files together",
    ),
    "description cut": (
        lambda model: (model / DESCRIPTION).write_text("{"),
        "model/model.json: expected JSON, but Expecting property name enclosed in double quotes: line 1 column 2 "
        "(char 1); the file is damaged or was changed",
    ),
    "another format": (
        lambda model: change(model / DESCRIPTION, format="mulde model 1"),
        "model/model.json: expected format 'mulde model 2', found 'mulde model 1'; it was written by another version "
        "of mulde; open it with that version, or train the model again",
    ),
    "incomplete": (
        lambda model: (model / DESCRIPTION).write_text('{"format": "mulde model 2"}'),
        "model/model.json: expected the key scorer, found none; the file is damaged or was changed",
    ),
    "odd options": (
        lambda model: change(model / DESCRIPTION, model={"dim": 5}),
        "model/model.safetensors: expected weights of 14 entities with 5 dimensions and 55 relations, found (14, 4) "
        "for entities and [(110,)] for relations in both directions; the file is damaged or was changed",
    ),
    "a scorer that is gone": (
        lambda model: change(model / DESCRIPTION, scorer="gone"),
        f'no scorer called "gone"; there are {ALL_SCORERS}; {LISTED}; pass your own scorer as a class',
    ),
    "data that are gone": (
        lambda model: (
            (model / "known.npz").unlink(),
            change(model / DESCRIPTION, data={"source": "gone.tsv", "name": "gone", "checksum": ""}),
        ),
        "model model was trained on gone.tsv, which is not found; pass the graph with --data (gone.tsv: no "
        "such file or folder; check the path, or give a name from `python -m kge_data list`.)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(damage: str, here: Path, failure: Failure) -> None:
    do, sentence = DAMAGES[damage]
    do(here / "model")
    assert failure("evaluate model --threads 1") == (2, sentence)


def test_a_run_with_other_settings(here: Path, failure: Failure) -> None:
    line = " ".join(["train", "roth", *SMALL, "--out model --seed 3 --bias shared"])
    assert failure(line) == (
        2,
        "model holds a run with other settings; give another --out, --restart, or the old settings:\n"
        '  bias: was "separate", is "shared"\n  seed: was 0, is 3',
    )


def test_a_graph_without_valid(here: Path, failure: Failure) -> None:
    (here / "graph").mkdir()
    for split in ("train", "test"):
        (here / f"graph/{split}.tsv").write_text("a\tr\tb\nb\tr\ta\n")
    assert failure("train roth --data graph") == (
        2,
        "graph: no file for the split valid; expected valid.txt (or .tsv, .csv, .nt, .ttl, .parquet, each also with "
        ".gz or .zst), found test.tsv, train.tsv.",
    )


def test_the_same_names_but_other_triples(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a run folder of an earlier version, which has no graph."""
    (here / "model/known.npz").unlink()
    change(here / "model" / DESCRIPTION, data={"source": "nations", "name": "nations", "checksum": "sha256:0"})
    assert cli.main(["evaluate", "model", "--threads", "1"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "mulde: nations has other triples than the graph of the training; nations is used",
        "mulde: running on cpu, 1 thread",
        "mulde: nations has the names, but not the triples that model model was trained on, and its graph prior "
        "depends on them; pass the right graph",
    ]


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk(wrapped: bool, here: Path, failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "x")
        except OSError as error:
            if wrapped:
                raise RuntimeError("unexpected pos 64 vs 0") from error
            raise

    monkeypatch.setattr("mulde.engine.checkpoint.save_weights", full)
    assert failure(" ".join(["train", "roth", *SMALL, "--out new"])) == (
        1, "x: no space left on the device; free some space, and the same command continues",
    )  # fmt: skip


@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.EDQUOT, "disk quota exceeded; free some space of your quota, and the same command continues"),
        (errno.EFBIG, "larger than the limit for files; raise it (`ulimit -f`), and the same command continues"),
        (errno.EROFS, "the file system is read-only; make it writable, or name another path"),
        (errno.EIO, "input or output error of the disk; check the disk, and the same command continues"),
    ],
)
def test_errors_of_the_disk(
    code: int, sentence: str, library: bool, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the system, or of a library that keeps its text only."""

    def broken(words: list[str]) -> int:
        raise RuntimeError(f"I/O: {os.strerror(code)} (os error {code})") if library else OSError(code, "")

    monkeypatch.setattr(cli, "_dispatch", broken)
    found = failure("pack umls-8")
    assert found[0] == 1 and found[1] == sentence


def test_scores_that_are_no_numbers(here: Path, failure: Failure) -> None:
    code, sentence = failure(" ".join(["train", "rote", *SMALL, "--lr 1e38 --optimizer sgd --epochs 20 --out new"]))
    assert code == 1
    assert sentence.startswith(('"model/hard" became ', "scores contain "))


def test_python_gets_the_same_sentences() -> None:
    graph = kge_data.load("nations")
    with pytest.raises(mulde.UsageError) as error:
        mulde.train("roth", graph, dmi=8)
    assert str(error.value) == 'no option called "dmi"; nearest: dim; all are listed by `mulde distil --help-all`'
    with pytest.raises(mulde.UsageError) as error:
        mulde.train("rothh", graph)
    assert str(error.value) == (
        f'no scorer called "rothh"; nearest: roth, rote; {LISTED}; pass your own scorer as a class'
    )
    model = mulde.KGEModel(mulde.Scorer, 1, 1, mulde.ModelConfig())
    with pytest.raises(mulde.UsageError) as error:
        mulde.predict(model, graph, relation="embassy")
    assert str(error.value) == "predict needs exactly two of head, relation and tail, and predicts the third one"


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("loss", "bce", "`loss` should be one of binary, cross-entropy, 1vsall, got 'bce'"),
        ("corrupt", "head", "`corrupt` should be one of tail, both, got 'head'"),
        ("compile", True, "`compile` should be one of auto, on, off, got True"),
        ("dtype", "float16", "`dtype` should be one of float32, float64, got 'float16'"),
        ("bias", "both", "`bias` should be one of separate, shared, none, got 'both'"),
        ("rotation_init", "gaussian", "`rotation_init` should be one of uniform, normal, got 'gaussian'"),
        ("parametrization", "ball", "`parametrization` should be one of tangent, manifold, got 'ball'"),
        ("mask_self_loops", "none", "`mask_self_loops` should be true or false, got 'none'"),
        ("dim", 8.0, "`dim` should be a whole number of at least 1 and at most 100,000, got 8.0"),
        ("lr", math.nan, "`lr` should be a number above 0 or empty, got nan"),
    ],
)
def test_python_cannot_misspell_an_option(option: str, value: object, sentence: str) -> None:
    graph = kge_data.load("nations")
    for call in (mulde.train, partial(mulde.distil, teachers=[])):
        with pytest.raises(mulde.UsageError) as error:
            call("roth", graph=graph, **{option: value})
        assert str(error.value).removeprefix("options: ") == sentence


def test_an_option_belongs_to_its_method() -> None:
    graph = kge_data.load("nations")
    with pytest.raises(mulde.UsageError, match=r"`n3` should be a number of at least 0, got -0\.1"):
        mulde.train("roth", graph, n3=-0.1)
    with pytest.raises(mulde.UsageError, match='no option called "n3"'):
        mulde.distil("roth", [], graph, n3=0.1)


def test_python_refuses_another_graph() -> None:
    model, kinships = mulde.load("umls-8"), kge_data.load("kinships")
    wrong: list[Callable[[], object]] = [
        lambda: mulde.evaluate(model, kinships),
        lambda: mulde.predict(model, kinships, head="person1", relation="term1"),
        lambda: query.score(model, kinships, head="person1", relation="term1", tail="person2"),
        lambda: query.neighbours(model, kinships, "person1"),
    ]
    for call in wrong:
        with pytest.raises(mulde.UsageError) as error:
            call()
        assert str(error.value) == (
            "expected the graph that this model was trained on, of 135 entities and 46 relations; got kinships, of "
            "104 and 25; pass the right graph"
        )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "dev"}, "split should be one of train, valid, test; got 'dev'"),
        ({"sample": 0}, "`sample` should be a whole number of at least 1 or empty, got 0"),
    ],
)
def test_an_evaluation_of_nothing(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(mulde.UsageError) as error:
        mulde.evaluate(mulde.load("umls-8"), kge_data.load("umls"), **options)
    assert str(error.value) == sentence


def test_nothing_is_drawn_where_stderr_is_no_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stderr.isatty()
    assert cli.main(["train", "rote", *SMALL, "--out", "quiet"]) == 0
    assert all(line.startswith("mulde: ") for line in capsys.readouterr().err.splitlines())
