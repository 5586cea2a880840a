"""The model card of a bundle, as Markdown: the model, its use, its quality, its data and its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kge_data.tripleset import TripleSet
from mulde.shell import command

COLUMNS = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10"}
BESIDE = ("mrr", "hits@10")  # also shown with the graph prior
SELF_LOOPS = (
    "Self-loops that no training triple has are masked in the columns that say so; others are of the embeddings only."
)
PRIOR = (
    "The graph prior is a per-relation local closed-world prior: it raises or lowers candidates that answer the "
    "relation in the training graph; self-loops that no training triple has are masked. Other columns are of the "
    "embeddings only."
)


def card(manifest: Mapping[str, Any], graph: TripleSet) -> str:
    """The model card of a bundle with this manifest and graph."""
    return "\n\n".join([_title(manifest, graph), _use(manifest, graph), _quality(manifest), _data(manifest),
                        _training(manifest)]) + "\n"  # fmt: skip


def _title(manifest: Mapping[str, Any], graph: TripleSet) -> str:
    model = manifest["model"]
    return (
        f"# {manifest['name']}\n\n"
        f"A link-prediction model for the graph {graph.name}: `{model['scorer']}` with {model['model']['dim']} "
        f"coordinates per entity, {model['parameters']:,} parameters, stored as {manifest['stored']}. It ranks the "
        f"{graph.num_entities:,} entities as answers to (head, relation, ?) and (?, relation, tail) for "
        f"{graph.num_relations:,} relations. Its scores are not probabilities, and its answers are predictions from "
        "the graph only."
    )


def _use(manifest: Mapping[str, Any], graph: TripleSet) -> str:
    place = f"{manifest['name']}.zip"
    head, relation, _ = (graph.test if len(graph.test) else graph.train)[0] if manifest["triples"] else (0, 0, 0)
    predict = command("predict", place, head=graph.entities[head], relation=graph.relations[relation])
    if manifest["kind"] == "onnx":
        install = "pip install numpy onnxruntime\npip install --no-deps mulde  # no torch"
        return f"## Use\n\n```\n{install}\n{predict}\n```"
    evaluate = command("evaluate", place, **({} if manifest["triples"] else {"data": "GRAPH"}))
    return f"## Use\n\n```\n{predict}\n{evaluate}\n```"


def _quality(manifest: Mapping[str, Any]) -> str:
    """Metrics of the embeddings only, and beside them those with the graph prior."""
    with_prior = manifest["graph_prior"]
    only = manifest["embeddings_only"] if with_prior else manifest["metrics"]
    condition = manifest["condition"]
    columns = [*COLUMNS.values(), *(f"{COLUMNS[name]} with {condition}" for name in BESIDE if with_prior)]
    lines = ["| split | ties | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]
    for split, policies in manifest["metrics"].items():
        for policy, metrics in policies.items():
            found = only.get(split, {}).get(policy)
            values = ["-" if found is None else f"{found[name]:.4f}" for name in COLUMNS]
            values += [f"{metrics[name]:.4f}" for name in BESIDE if with_prior]
            lines.append(f"| {split} | {policy} | " + " | ".join(values) + " |")
    before = [f"{split} {policies['realistic']['mrr']:.4f}" for split, policies in manifest["metrics_before"].items()]
    prior = f" with {condition}" if with_prior else ""
    about = f" {PRIOR if condition == 'graph prior' else SELF_LOOPS}" if with_prior else ""
    return (
        f"## Quality\n\nLink prediction with the files of this bundle, {manifest['protocol']}. Ties with the right "
        "answer count half (realistic), not at all (optimistic) or fully (pessimistic)."
        + about
        + "\n\n"
        + "\n".join(lines)
        + f"\n\nRealistic MRR{prior} before it was stored as {manifest['stored']}: "
        + f"{', '.join(before) or 'not measured'}."
    )


def _data(manifest: Mapping[str, Any]) -> str:
    data = manifest["data"]
    contents = (
        "All of them are in `known.npz`, so the licence of the data applies to this bundle."
        if manifest["triples"]
        else "None of them is in this bundle, only the names of entities and relations: known answers are not "
        "filtered, there is no graph prior, and an evaluation needs the graph (--data)."
    )
    return (
        f"## Data\n\n{data['name']}: {data['train']:,} train, {data['valid']:,} valid and {data['test']:,} test "
        f"triples; checksum `{data['checksum']}`. {contents}\n\n"
        f"- Citation: {data['citation']}\n- Licence: {data['licence']}"
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
