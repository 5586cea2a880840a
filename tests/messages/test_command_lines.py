"""Every error message about the words of a command line, raised once and compared word by word.

A good message has what was expected, what was found and what to do. Messages of the engine are in tests/engine, of
data files in tests/kge_data, of options in tests/config/test_command_line.py. The file is long because it holds the
text of each message.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from mulde import catalogue, cli
from tests.messages.conftest import ALL_SCORERS, LISTED, SMALL, Failure

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
    "run --method kd": "kd is a method for images; methods for graphs are "
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
    "evaluate model --protocol no_loops": 'no protocol called "no_loops"; there are no-self, optimistic, pessimistic, '
    "pykeen-wn18rr, seen, seen-no-self, strict; all are listed by `mulde evaluate --help`",
    "evaluate model --protocol no-self --task classification": "--protocol is for ranking; leave out --task "
    "classification",
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


def test_nothing_is_drawn_where_stderr_is_no_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stderr.isatty()
    assert cli.main(["train", "rote", *SMALL, "--out", "quiet"]) == 0
    assert all(line.startswith("mulde: ") for line in capsys.readouterr().err.splitlines())
