"""The model card in a bundle, as Markdown: what the model is, how good, on which data, and how to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kge_data.tripleset import TripleSet

COLUMNS = ("mrr", "hits@1", "hits@3", "hits@10")


def card(manifest: Mapping[str, Any], graph: TripleSet) -> str:
    """The card of a bundle with this manifest."""
    return "\n\n".join([_title(manifest, graph), _use(manifest, graph), _quality(manifest), _data(manifest),
                        _training(manifest)]) + "\n"  # fmt: skip


def _title(manifest: Mapping[str, Any], graph: TripleSet) -> str:
    model = manifest["model"]
    return (
        f"# {manifest['name']}\n\n"
        f"A link-prediction model for the graph {graph.name}: `{model['scorer']}` with {model['model']['dim']} "
        f"coordinates per entity, {model['parameters']:,} parameters, stored as {manifest['stored']}. It ranks the "
        f"{graph.num_entities:,} entities as answers to (head, relation, ?) and (?, relation, tail) for "
        f"{graph.num_relations:,} relations. Its scores are no probabilities, and its answers are guesses from the "
        "graph alone."
    )


def _use(manifest: Mapping[str, Any], graph: TripleSet) -> str:
    name = manifest["name"]
    head, relation, _ = (graph.test if len(graph.test) else graph.train)[0]
    question = f"--head {graph.entities[head]!r} --relation {graph.relations[relation]!r}"
    if manifest["kind"] == "onnx":
        asked = f"head={graph.entities[head]!r}, relation={graph.relations[relation]!r}"
        code = (
            "from mulde.kge.inference.onnx_runtime import OnnxScorer  # numpy and onnxruntime, no torch\n"
            f'scorer = OnnxScorer("{name}.zip")\nscorer.predict({asked})'
        )
        return f"## Use\n\n```python\n{code}\n```"
    lines = [f"mulde predict {name}.zip {question}", f"mulde evaluate {name}.zip"]
    return "## Use\n\n```\n" + "\n".join(lines) + "\n```"


def _quality(manifest: Mapping[str, Any]) -> str:
    rows = ["| split | ties | " + " | ".join(COLUMNS) + " |", "|---|---|" + "---:|" * len(COLUMNS)]
    for split, policies in manifest["metrics"].items():
        for policy, metrics in policies.items():
            rows.append(f"| {split} | {policy} | " + " | ".join(f"{metrics[name]:.4f}" for name in COLUMNS) + " |")
    before = [f"{split} {policies['realistic']['mrr']:.4f}" for split, policies in manifest["metrics_before"].items()]
    return (
        f"## Quality\n\nLink prediction with what is in this bundle, {manifest['protocol']}. Ties with the right "
        "answer count half (realistic), not at all (optimistic) or fully (pessimistic).\n\n"
        + "\n".join(rows)
        + f"\n\nRealistic MRR before it was stored as {manifest['stored']}: {', '.join(before) or 'not measured'}."
    )


def _data(manifest: Mapping[str, Any]) -> str:
    data = manifest["data"]
    return (
        f"## Data\n\n{data['name']}: {data['train']:,} train, {data['valid']:,} valid and {data['test']:,} test "
        f"triples; checksum `{data['checksum']}`. All of them are in `known.npz`, with the names, so their licence "
        f"holds for this bundle too.\n\n- Citation: {data['citation']}\n- Licence: {data['licence']}"
    )


def _training(manifest: Mapping[str, Any]) -> str:
    training = manifest["training"]
    if not training:
        return "## Training\n\nNot recorded."
    lines = [f"- {name}: {value}" for name, value in _flat(training)]
    return "## Training\n\n" + "\n".join(lines)


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return found
