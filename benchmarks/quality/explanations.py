"""Do explanations explain, and how many right answers have a rule?

    python -m benchmarks.quality.explanations --evidence --graph umls --answers 100
    python -m benchmarks.quality.explanations --rules --graph wn18rr
    python -m benchmarks.quality.explanations --table          the tables again, from the records

Evidence: for a test fact that a model ranks among the first ten in both directions, the training facts that its
explanation names are removed, and the model is trained again with the same seed and epochs. In a control, as many other
facts are removed: for each one, a fact of the same relation that has the same entity of the explained fact, or one
entity in common where it has none. The fall is that of the log rank, filtered, embeddings only, the mean over both
directions. Every answer has two trainings of its own. The same command continues.

Rules: time, peak memory, and the share of test facts that some rule predicts; beside it the share of facts with a
drawn wrong tail. Writes ``results/explanations/``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import kge_data
import mulde
from benchmarks.harness import records
from kge_data.filters import KnownAnswers
from kge_data.keys import Ids
from kge_data.tripleset import TripleSet
from mulde.kge.evaluation.link_prediction import evaluate, known_answers
from mulde.kge.inference.explain import explain
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.rules.grounding import fired
from mulde.kge.rules.links import Links
from mulde.kge.rules.mining import mine
from mulde.kge.rules.rule import Rule

TRAINING: dict[str, Any] = {"dim": 8, "epochs": 60, "eval_every": 60, "seed": 0, "graph_prior": False, "compile": "off"}
AMONG, DRAWS = 10, 10_000
GRAPHS = {"evidence": ("umls", "kinships"), "rules": ("umls", "kinships", "wn18rr", "fb15k-237")}


def trained(graph: TripleSet) -> KGEModel:
    """RotH after a fixed number of epochs."""
    return mulde.train("roth", graph, threads=1, **TRAINING)


def log_ranks(model: KGEModel, graph: TripleSet, facts: Ids, known: KnownAnswers) -> Any:
    """Mean log rank (n,) over both directions of facts (n, 3)."""
    found = evaluate(model, replace(graph, test=facts), "test", known, embeddings_only=True)
    return np.log(found.ranks.ranks()).reshape(2, -1).mean(0)


def matched(train: Ids, named: Ids, fact: Sequence[int], draw: np.random.Generator) -> tuple[Ids, Counter[str]]:
    """Positions in train of as many other facts as are named, and how they match."""
    free, chosen, kinds = np.ones(len(train), dtype=bool), list[int](), Counter[str]()
    free[named] = False
    for number in named:
        ends = train[number, [0, 2]]
        inside = [end for end in ends if end in (fact[0], fact[2])]
        entity = draw.choice(inside or ends)
        incident = free & (train[:, [0, 2]] == entity).any(1)
        same = train[:, 1] == train[number, 1]
        for kind, some in (("relation and entity", incident & same), ("entity", incident), ("relation", free & same)):
            if some.any():
                chosen.append(int(draw.choice(np.flatnonzero(some))))
                free[chosen[-1]] = False
                kinds[kind] += 1
                break
    return np.array(chosen), kinds


def evidence(name: str, answers: int, folder: Path) -> None:
    """Append a record for each answer that has none."""
    graph = kge_data.load(name)
    done = {(it["graph"], it["number"]) for it in records.read(folder) if it["part"] == "evidence"}
    if all((name, number) in done for number in range(answers)):
        return
    known, model, rules = known_answers(graph), trained(graph), mine(graph, seconds=0)
    ranks = evaluate(model, graph, "test", known, embeddings_only=True).ranks.ranks().reshape(2, -1)
    right = np.flatnonzero((ranks <= AMONG).all(0))
    order = np.random.default_rng(0).permutation(right)
    before = log_ranks(model, graph, graph.test, known)
    train = {tuple(fact): number for number, fact in enumerate(graph.train.tolist())}
    for number, place in enumerate(order[:answers].tolist()):
        if (name, number) in done:
            continue
        began = time.monotonic()
        fact = graph.test[place].tolist()
        names = {"head": graph.entities[fact[0]], "relation": graph.relations[fact[1]], "tail": graph.entities[fact[2]]}
        facts = explain(model, graph, rules, **names).facts()
        ids = [(graph.entity_id(h), graph.relation_id(r), graph.entity_id(t)) for h, r, t in facts]
        named = np.array([train[each] for each in ids], dtype=np.int64)
        control, kinds = matched(graph.train, named, fact, np.random.default_rng(number))
        falls = {}
        for arm, positions in (("named", named), ("control", control)):
            without = replace(graph, train=np.delete(graph.train, positions, axis=0))
            after = log_ranks(trained(without), graph, graph.test[[place]], known)[0]
            falls[arm] = float(after - before[place])
        records.append(folder, {
            "part": "evidence", "run": f"evidence/{name}/{number}", "graph": name, "checksum": graph.checksum,
            "number": number, "fact": list(names.values()), "log_rank": float(before[place]), "removed": len(named),
            "matched": dict(kinds), "fall": falls, "among": len(right), "training": TRAINING, "seed": TRAINING["seed"],
            "seconds": time.monotonic() - began, "command": command("--evidence", "--graph", name),
            **records.environment(),
        })  # fmt: skip
        print(name, number, len(named), falls, flush=True)


def rules_of(name: str, sample: int) -> records.Record:
    """Mining and its reach on a graph, measured in this process."""
    graph = kge_data.load(name)
    loaded, began, used = peak(), time.monotonic(), time.process_time()
    rules = mine(graph)
    seconds, used, most = time.monotonic() - began, time.process_time() - used, peak()
    draw, links = np.random.default_rng(0), Links(graph)
    facts = graph.test[np.sort(draw.permutation(len(graph.test))[:sample])]
    wrong = facts.copy()
    wrong[:, 2] = draw.integers(graph.num_entities, size=len(facts))
    known = known_answers(graph)
    wrong = wrong[~known.contains(wrong[:, 0], 2 * wrong[:, 1], wrong[:, 2])]
    lengths = Counter(int(n) for n in (rules.table[:, 1:4] >= 0).sum(1))
    return {
        "part": "rules", "run": f"rules/{name}", "graph": name, "checksum": graph.checksum, "rules": len(rules),
        "by_atoms": dict(sorted(lengths.items())), "seconds": seconds, "processor_seconds": used, "peak_MB": most,
        "peak_MB_before": loaded, "sample": len(facts), "right": reach(rules, links, facts),
        "wrong": reach(rules, links, wrong), "seed": 0, **records.environment(),
    }  # fmt: skip


def reach(rules: Any, links: Links, facts: Ids) -> dict[str, float]:
    """Shares of facts that a rule predicts: any; a closed one; any of confidence .1 and more."""
    found: Counter[str] = Counter()
    for fact in facts.tolist():
        some = fired(rules, links, tuple(fact), top=20, paths=1)
        found["any"] += bool(some)
        found["closed"] += any(isinstance(each.rule, Rule) for each in some)
        found["confident"] += any(each.rule.counts.confidence >= 0.1 for each in some)
    return {name: found[name] / len(facts) for name in ("any", "closed", "confident")}


def peak() -> float:
    """Peak resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def command(*words: str) -> str:
    """The command of a record."""
    return " ".join(["python -m benchmarks.quality.explanations", *words])


def interval(values: Any) -> tuple[float, float]:
    """95 % bootstrap interval of a mean."""
    draw = np.random.default_rng(0)
    means = values[draw.integers(len(values), size=(DRAWS, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def write_tables(folder: Path) -> None:
    """Write ``table.md`` from the records."""
    found = records.read(folder)
    rows = []
    for name in GRAPHS["evidence"]:
        own = [it for it in found if it["part"] == "evidence" and it["graph"] == name]
        if own:
            falls = np.array([[it["fall"]["named"], it["fall"]["control"]] for it in own])
            low, high = interval(falls[:, 0] - falls[:, 1])
            rows.append({
                "graph": name, "answers": len(own), "facts removed": float(np.mean([it["removed"] for it in own])),
                "fall, named": falls[:, 0].mean(), "fall, control": falls[:, 1].mean(),
                "difference, 95 %": f"{(falls[:, 0] - falls[:, 1]).mean():+.3f}, {low:+.3f} to {high:+.3f}",
            })  # fmt: skip
    for it in found:
        if it["part"] == "rules":
            rows.append({
                "graph": it["graph"], "rules": it["rules"], "s": round(it["processor_seconds"], 1),
                "peak MB": round(it["peak_MB"]), "test facts": it["sample"],
                **{f"{kind}, {of}": f"{it[of][kind]:.1%}" for kind in it["right"] for of in ("right", "wrong")},
            })  # fmt: skip
    title = (
        "Fall of the log rank of an answer after the training facts that its explanation names were removed, and "
        "after as many matched facts were; embeddings only. Rules: processor seconds of mining, peak memory, and the "
        "share of test facts (right) and of facts with a drawn tail (wrong) that a rule predicts: any, a closed one, "
        "one of confidence .1."
    )
    records.write_table(folder, title, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidence", action="store_true", help="only the first part")
    parser.add_argument("--rules", action="store_true", help="only the second part")
    parser.add_argument("--graph", action="append", help="(default: all)")
    parser.add_argument("--answers", type=int, default=100, help="answers of each graph (default: 100)")
    parser.add_argument("--sample", type=int, default=1_000, help="test facts of each graph (default: 1,000)")
    parser.add_argument("--measure", help="the second part for one graph, printed as JSON")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    parser.add_argument("--out", type=Path, default=records.RESULTS / "explanations", help="folder of the result")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(rules_of(options.measure, options.sample)))
        return
    both = options.evidence == options.rules
    for name in () if options.table or not (both or options.rules) else options.graph or GRAPHS["rules"]:
        words = ["--measure", name, "--sample", str(options.sample)]
        run = [sys.executable, "-m", "benchmarks.quality.explanations", *words]  # a process of its own, for the memory
        made = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
        made["command"] = command("--rules", "--graph", name, "--sample", str(options.sample))
        others = [it for it in records.read(options.out) if it["run"] != made["run"]]
        records.write(options.out, [*others, made])
    for name in () if options.table or not (both or options.evidence) else options.graph or GRAPHS["evidence"]:
        evidence(name, options.answers, options.out)
    write_tables(options.out)


if __name__ == "__main__":
    main()
