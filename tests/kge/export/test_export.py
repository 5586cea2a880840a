"""Exports: the same scores without torch, measured losses, names beside every vector."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mulde import catalogue
from mulde.errors import UsageError
from mulde.kge.export.bundle import Original, Packed, assemble, pack
from mulde.kge.export.onnx import OnnxRanker, largest_difference, pack_onnx, to_onnx
from mulde.kge.inference import latency, onnx_runtime
from mulde.kge.inference.best import Best
from mulde.kge.inference.known import Known
from mulde.kge.inference.probability import calibration_in_memory
from mulde.kge.inference.query import predict
from mulde.kge.inference.top_k import TorchPredictor
from mulde.kge.model.config import ModelConfig
from mulde.kge.model.graph_prior import GraphPrior
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.model.scorer import Scorer
from mulde.kge.scorers.complex import ComplEx
from mulde.kge.scorers.hyperbolic_transe import HyperbolicTransE
from mulde.kge.scorers.rote import RotE
from mulde.kge.storage.quantisation import rows_to_int8
from mulde.kge.storage.run_folder import find_scorer, graph_of
from tests.kge.export.conftest import spread

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
ROOT = Path(__file__).resolve().parents[3]
SCORERS = [name for name, _ in catalogue.names("scorers")]


@pytest.fixture(scope="module")
def content(original: Original) -> bytes:
    return to_onnx(original.model)


@pytest.fixture(scope="module")
def place(original: Original, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "toy.zip"
    metrics = original.measure(OnnxRanker(content))
    assemble(original, "toy", "onnx", "onnx", files(content, original.model), metrics, metrics).write(path)
    return path


def files(content: bytes, model: KGEModel) -> dict[str, bytes]:
    """What a bundle holds of an ONNX model."""
    return {onnx_runtime.ONNX: content, onnx_runtime.RANKING: onnx_runtime.ranking(TorchPredictor(model).terms)}


def queries(model: KGEModel, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(count)
    return (
        torch.randint(model.num_entities, (count,), generator=draw),
        torch.randint(2 * model.num_relations, (count,), generator=draw),
    )


@pytest.mark.parametrize("batch", [1, 2, 7, 100])
def test_scores_are_torchs_for_any_batch(batch: int, original: Original, content: bytes) -> None:
    heads, relations = queries(original.model, batch)
    session = onnx_runtime.session(content)
    (scores,) = session.run(None, {"heads": heads.numpy(), "relations": relations.numpy()})
    np.testing.assert_allclose(scores, original.model.score_all(heads, relations).numpy(), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCORERS)
def test_every_scorer(name: str) -> None:
    manifold = ModelConfig(dim=6, init_scale=0.3, parametrization="manifold", curvature="fixed")
    configs = [
        ModelConfig(dim=6, init_scale=0.3),
        ModelConfig(dim=6, init_scale=0.3, curvature="global", bias="shared", artanh_limit=0.996),
        ModelConfig(dim=6, init_scale=0.3, bias="none"),
        *([manifold] if find_scorer(name).hyperbolic() else []),
    ]
    for config in configs:
        model = spread(KGEModel(find_scorer(name), 40, 3, config))
        assert largest_difference(to_onnx(model), model, *queries(model, 100)) < 1e-4


@pytest.mark.parametrize(("scorer", "bias"), [(ComplEx, "separate"), (RotE, "none")])
def test_flat_spaces(scorer: type[Scorer], bias: Any) -> None:
    model = spread(KGEModel(scorer, 25, 3, ModelConfig(dim=6, init_scale=0.3, bias=bias)))
    assert largest_difference(to_onnx(model), model, *queries(model, 50)) < 1e-4


def test_small_vectors_keep_their_digits(original: Original) -> None:
    model = KGEModel(HyperbolicTransE, 25, 3, ModelConfig(dim=6, init_scale=1e-4)).eval()
    heads, relations = queries(model, 50)
    expected = model.double().score_all(heads, relations)
    single = model.float()
    scores = torch.cat([scores for _, scores in OnnxRanker(to_onnx(single)).blocks(heads, relations)])
    assert ((scores - expected).abs() / expected.abs().clamp_min(1e-30)).median() < 1e-5


def test_the_file_holds_no_paths_of_this_machine(content: bytes) -> None:
    assert str(ROOT).encode() not in content and sys.prefix.encode() not in content
    assert b"to_onnx.py" not in content


def test_no_torch_where_it_answers(place: Path, original: Original) -> None:
    query = {"relation": "r1", "head": "e03", "top": 4}
    code = (
        "import sys, json, numpy as np\n"
        "from mulde.kge.inference.onnx_runtime import OnnxScorer\n"
        f"scorer = OnnxScorer({str(place)!r})\n"
        f"answers = scorer.predict(**{query})\n"
        "scores = scorer.score_all(np.array([3]), np.array([2]))\n"
        "assert 'torch' not in sys.modules and 'pykeen' not in sys.modules\n"
        "print(json.dumps([[vars(answer) for answer in answers], scores.tolist()]))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    answers, scores = json.loads(run.stdout)
    expected = predict(original.model, original.graph, **query)  # type: ignore[arg-type]
    assert [answer["identifier"] for answer in answers] == [answer.identifier for answer in expected]
    assert [answer["known_in"] for answer in answers] == [answer.known_in for answer in expected]
    torch_scores = original.model.score_all(torch.tensor([3]), torch.tensor([2]))
    np.testing.assert_allclose(scores, torch_scores.numpy(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("query", [{"head": "e03"}, {"tail": "e03"}, {"tail": "e07", "exclude_known": True}])
def test_answers_are_those_of_predict(query: dict[str, Any], place: Path, original: Original) -> None:
    answers = onnx_runtime.OnnxScorer(place).predict(relation="r0", top=8, **query)
    expected = predict(original.model, original.graph, relation="r0", top=8, **query)
    for ours, theirs in zip(answers, expected, strict=True):
        assert replace(ours, score=0) == replace(theirs, score=0)
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)
    with pytest.raises(UsageError, match="exactly two of head, relation and tail"):
        onnx_runtime.OnnxScorer(place).predict(relation="r0")


def test_a_masked_entity_is_not_an_answer(original: Original, content: bytes, tmp_path: Path) -> None:
    model = copy.deepcopy(original.model)
    model.mask_self_loops(original.graph.train[:0])
    model.set_graph_prior(GraphPrior(torch.full((6,), 3.0), original.graph.train))
    own = files(content, model)
    assemble(original, "toy", "onnx", "onnx", own, original.metrics, {}).write(tmp_path / "toy.zip")
    scorer = onnx_runtime.OnnxScorer(tmp_path / "toy.zip")
    answers = scorer.predict(relation="r0", head="e03", top=25)
    assert len(answers) == 24 and "e03" not in {answer.identifier for answer in answers}
    assert len(scorer.predict(relation="r0", head="e03", top=25, embeddings_only=True)) == 25


@pytest.mark.parametrize("embeddings_only", [False, True])
def test_onnx_ranks_and_scores_as_torch_does(
    embeddings_only: bool, original: Original, content: bytes, tmp_path: Path
) -> None:
    """Tails, relations and triples, with masked self-loops and a graph prior."""
    graph, model = original.graph, copy.deepcopy(original.model)
    model.mask_self_loops(graph.train).set_graph_prior(GraphPrior(torch.linspace(-3, 3, 6), graph.train))
    assemble(original, "toy", "onnx", "onnx", files(content, model), {}, {}).write(tmp_path / "toy.zip")
    ours, theirs = onnx_runtime.OnnxScorer(tmp_path / "toy.zip"), TorchPredictor(model)
    heads, relations, tails = np.random.default_rng(0).integers(0, (25, 3, 25), (200, 3)).T
    tails[:20] = heads[:20]
    hidden = Known(graph).answers
    for known in (None, hidden):
        how = 7, known, embeddings_only
        same(ours.best_tails(heads, 2 * relations + 1, *how), theirs.best_tails(heads, 2 * relations + 1, *how))
        same(ours.best_relations(heads, tails, *how), theirs.best_relations(heads, tails, *how))
    expected = model.answers if not embeddings_only else model.blocks
    both = theirs.embedding_scores if embeddings_only else theirs.scores
    own = ours.embedding_scores if embeddings_only else ours.scores
    np.testing.assert_allclose(own(heads, relations, tails), both(heads, relations, tails), rtol=1e-5, atol=1e-4)
    scores = np.empty((200, 25), np.float32)
    extra = {"embeddings_only": True} if embeddings_only else {}
    for rows, block_ in expected(torch.from_numpy(heads), torch.from_numpy(2 * relations), **extra):
        scores[rows] = block_
    found = both(heads, relations, tails)[:, 0]
    np.testing.assert_allclose(found, scores[np.arange(200), tails], rtol=1e-5, atol=1e-4)


def same(ours: Best, theirs: Best) -> None:
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    np.testing.assert_array_equal(ours.ranks, theirs.ranks)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5, atol=1e-4)


def test_a_calibration_is_exported(
    original: Original, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mulde.kge.export.onnx.to_onnx", lambda *_: content)
    graph, model = original.graph, original.model
    graph = replace(graph, valid=np.concatenate([graph.train, graph.valid, graph.test]))  # 100 are needed
    pack_onnx(replace(original, graph=graph), "toy").write(tmp_path / "toy.zip")
    scorer, fitted = onnx_runtime.OnnxScorer(tmp_path / "toy.zip"), calibration_in_memory(model, graph)
    found = scorer.calibration()
    assert found is not None and fitted is not None and found.weights == fitted.weights
    answers = scorer.predict(relation="r0", head="e03", top=5)
    expected = predict(model, graph, relation="r0", head="e03", top=5, calibration=fitted)
    assert [answer.probability for answer in answers] == pytest.approx([it.probability for it in expected], abs=1e-3)


def test_integers_score_as_the_quantised_table() -> None:
    model = spread(KGEModel(RotE, 25, 3, ModelConfig(dim=6, init_scale=0.3)))
    heads_relations = queries(model, 30)
    quantised = KGEModel(RotE, 25, 3, model.config)
    quantised.load_state_dict(model.state_dict())
    whole, scale = rows_to_int8(model.entity.detach())
    with torch.no_grad():
        quantised.entity.copy_(whole * scale.unsqueeze(1))
    content = to_onnx(model, int8=True)
    assert largest_difference(content, quantised.eval(), *heads_relations) < 1e-4
    assert largest_difference(content, model, *heads_relations) > 1e-4
    tables = {table.name: table for table in onnx.load_from_string(content).graph.initializer}
    assert tables["model.entity.int8"].data_type == onnx.TensorProto.INT8 and "model.entity" not in tables


def test_the_loss_is_measured_on_what_is_written(original: Original, tmp_path: Path) -> None:
    packed = pack(original, "toy", "int8")
    packed.write(tmp_path / "toy")
    opened = Original.open(tmp_path / "toy")
    for split in ("valid", "test"):
        now = opened.metrics[split]["realistic"]["mrr"]
        before = original.metrics[split]["realistic"]["mrr"]
        assert packed.loss(split) == pytest.approx(before - now)
    packed.refuse_above(packed.loss("valid"))
    packed.refuse_above(None)


def test_too_large_a_loss_is_refused() -> None:
    def ranked(mrr: float) -> dict[str, Any]:
        return {"valid": {"realistic": {"mrr": mrr}}}

    packed = Packed({"stored": "int8", "metrics_before": ranked(0.5), "metrics": ranked(0.47)}, {})
    packed.refuse_above(0.031)
    with pytest.raises(UsageError) as caught:
        packed.refuse_above(0.02)
    assert str(caught.value) == (
        "int8 loses 0.0300 of the valid MRR (0.5000 to 0.4700), more than --max-loss 0.02; nothing was written; allow "
        "more, or keep more bits"
    )


def test_an_onnx_file_of_another_version_is_reported(content: bytes) -> None:
    model = onnx.load_from_string(content)
    model.ir_version = 99
    with pytest.raises(
        UsageError, match=r"model\.onnx: onnxruntime .* cannot open it \(.*Unsup.* 99.*export the model again"
    ):
        onnx_runtime.session(model.SerializeToString())
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {"mulde": "mulde onnx 3"})
    with pytest.raises(UsageError) as caught:
        onnx_runtime.session(model.SerializeToString())
    assert str(caught.value) == (
        "model.onnx: expected an ONNX model of format 'mulde onnx 2', found 'mulde onnx 3'; export it again"
    )


def test_what_is_no_onnx_bundle_is_reported(place: Path, original: Original, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder; expected a bundle of `mulde export --to onnx`"):
        onnx_runtime.OnnxScorer(tmp_path / "none.zip")
    pack(original, "toy").write(tmp_path / "toy.zip")
    with pytest.raises(
        UsageError, match=r"expected a bundle with model\.onnx, found README\.md, .* --to onnx` makes a bundle"
    ):
        onnx_runtime.OnnxScorer(tmp_path / "toy.zip")
    with pytest.raises(
        UsageError,
        match=r"expected a bundle with model\.json, found README\.md, .*; it holds an ONNX",
    ):
        graph_of(place)
    damaged = bytearray(place.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(UsageError, match="the bundle is damaged or was changed; copy it again"):
        onnx_runtime.OnnxScorer(tmp_path / "damaged.zip")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_reported(
    package: str, original: Original, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs {package}, which is not installed; `pip install "):
        onnx_runtime.session(content) if package == "onnxruntime" else to_onnx(original.model)


def test_engines_take_turns_on_the_same_queries(original: Original, content: bytes) -> None:
    calls: list[tuple[str, int, int]] = []
    engines = {
        "torch": latency.torch_engine(original.model),
        "ONNX": latency.onnx_engine(content, 1),
        "first": lambda head, relation: calls.append(("first", head, relation)),
        "second": lambda head, relation: calls.append(("second", head, relation)),
    }
    best = engines["torch"](3, 2)
    assert set(best[0].tolist()) == set(engines["ONNX"](3, 2).tolist()) and len(best[0]) == latency.TOP
    informed = copy.deepcopy(original.model)
    informed.set_graph_prior(GraphPrior(torch.linspace(-3, 3, 6), original.graph.train))
    expected = predict(informed, original.graph, relation="r1", head="e03")
    names = [original.graph.entities[number] for number in latency.torch_engine(informed)(3, 2)[0]]
    assert names == [answer.identifier for answer in expected]
    found = latency.measure(engines, latency.random_queries(original.model, 5))
    assert list(found) == list(engines)
    assert all(0 < times.p50 <= times.p95 for times in found.values())
    assert len(calls) == 2 * (5 + 5)  # a round that is not counted, and one that is
    assert all(one[1:] == other[1:] for one, other in zip(calls[::2], calls[1::2], strict=True))
