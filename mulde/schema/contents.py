"""What each JSON file holds: those of bundles, of run folders, of ONNX bundles, and the headers of weights."""

from __future__ import annotations

from mulde.schema import SMALL
from mulde.schema.kinds import Digest, Fields, Flag, Items, Kind, Maybe, Named, Number, Plain, Text, Whole

CHECKSUM = Digest("sha256:")  # of a graph
SHARE = Number(0, 1)
ANY = Number(finite=False)

# model.json
OPTIONS = Fields(
    {"dim": Whole(1)},
    {
        "dims": Items(Whole(1)),
        "curvature": Text(("per-relation", "global", "fixed")),
        "initial_curvature": Number(0, 1e6),
        "distance": Text(("geodesic", "lorentz")),
        "bias": Text(("separate", "shared", "none")),
        "dtype": Text(("float32", "float64")),
        "init_scale": Number(),
        "rotation_init": Text(("uniform", "normal")),
        "parametrization": Text(("tangent", "manifold")),
        "mask_self_loops": Flag(),
        "graph_prior": Flag(),
        "artanh_limit": Maybe(SHARE),
    },
)
SIZES: dict[str, Kind] = {"scorer": Text(), "model": OPTIONS, "num_entities": Whole(1), "num_relations": Whole(1),
         "parameters": Whole(0, 2**63 - 1)}  # fmt: skip
SOURCE = Fields({"source": Text(), "name": Text(), "checksum": Text()}, {"reading": Named(Plain())})
DESCRIPTION = Fields({**SIZES, "names": Digest(), "data": SOURCE, "weights": Digest()})

# model.json of a model of images
TASKS = ("classify", "detect", "segment", "embed")
IMAGES = Fields(
    {
        "kind": Text(("images",)),
        "task": Text(TASKS),
        "method": Text(),
        "architecture": Fields({"made_by": Text(most=100)}, others=Plain()),
        "classes": Items(Text(most=1000)),
        "input": Fields({"channels": Whole(1, 1024), "size": Maybe(Items(Whole(1, 1 << 16), 2))}),
        "normalisation": Fields({"mean": Items(Number(-1e6, 1e6)), "deviation": Items(Number(1e-12, 1e6))}),
        "parameters": Whole(0, 2**63 - 1),
        "data": SOURCE,
        "weights": Digest(),
    },
    {"settings": Named(Plain()), "metrics": Named(Plain())},
    others=Plain(),
)

# summary.json and the logs of methods for images
IMAGES_SUMMARY = Fields({}, {"rows": Items(Fields({"model": Text()}, others=Plain()))}, others=Plain())
IMAGES_LINE = Fields({"step": Whole(), "epoch": Whole()}, others=Number(finite=False))

# bundle.json
METRICS = Fields(
    {"mrr": SHARE, "hits@1": SHARE, "hits@3": SHARE, "hits@10": SHARE, "mr": ANY}, {"amr": ANY, "triples": Whole()}
)
POLICIES = Fields({"realistic": METRICS, "optimistic": METRICS, "pessimistic": METRICS}, others=METRICS)
SPLITS = Named(POLICIES)
MANIFEST = Fields(
    {
        "name": Text(),
        "kind": Text(("model", "onnx")),
        "summary": Text(),
        "stored": Text(),
        "model": Fields(SIZES),
        "data": Fields(
            {"name": Text(), "checksum": CHECKSUM, "train": Whole(), "valid": Whole(), "test": Whole()},
            {"citation": Text(), "licence": Text()},
        ),
        "protocol": Text(),
        "graph_prior": Flag(),
        "metrics": SPLITS,
        "embeddings_only": SPLITS,
        "metrics_before": SPLITS,
        "training": Fields({}, {"config": Fields({}, {"stage": Text()})}),
        "versions": Named(Text()),
        "files": Named(Fields({"bytes": Whole(0, 2**63 - 1), "sha256": Digest()})),
    },
    {"triples": Flag(), "condition": Text(), "types": Text()},  # not in bundles of earlier versions
)

IMAGES_MANIFEST = Fields(
    {
        "name": Text(),
        "kind": Text(("images", "images-onnx")),
        "summary": Text(),
        "stored": Text(("float32", "float16", "int8")),
        "metrics": Named(Plain()),
        "metrics_before": Named(Plain()),
        "versions": Named(Text()),
        "files": Named(Fields({"bytes": Whole(0, 2**63 - 1), "sha256": Digest()})),
    }
)

# calibration.json, and ranking.json of ONNX bundles; the reader compares the lengths with the graph
CALIBRATION = Fields(
    {
        "format": Text(),
        "weights": Items(Number(), 2),
        "bias": Number(),
        "offsets": Items(Number()),
        "slopes": Items(Number()),
        "model": Digest(),
        "negatives": Text(),
    },
    {"odds": Number(1e-12, 1e12)},
)
COVERAGE = Fields(
    {
        "format": Text(),
        "levels": Items(SHARE),
        "tops": Items(Whole(1)),
        "groups": Named(
            Fields({"triples": Whole(), "quantiles": Items(Maybe(Number())), "top": Items(SHARE)}),
        ),
        "graph_prior": Maybe(Items(Number())),
        "filtered": Flag(),
        "model": Digest(),
    }
)
ADDED = Fields({"weights": Named(Number()), "model": Digest(), "source": Digest()})  # added.json
RANKING = Fields({"masked": Items(Whole()), "graph_prior": Maybe(Items(Number()))})

# the header of safetensors files
HEADER = Named(
    Fields(
        {
            "dtype": Text(),
            "shape": Items(Whole(0, 2**63 - 1)),
            "data_offsets": Items(Whole(0, 2**63 - 1), 2),
        }
    )
)
CACHED_PREDICTIONS = Fields({"bytes": Whole(0, 2**63 - 1)}, others=Plain())  # predictions.json
GATES = Fields({"format": Text(), "teachers": Items(Text())})  # in senior.safetensors

# valid.json, test.json, senior.json, ensemble.json
GROUPS = Named(METRICS)
INTERVAL = Items(SHARE, 2)
BREAKDOWNS = {"by_direction": GROUPS, "by_cardinality": GROUPS, "by_relation": GROUPS}
EMBEDDINGS_ONLY = Fields(
    {**METRICS.required, "optimistic": METRICS, "pessimistic": METRICS, **BREAKDOWNS}, {"mrr_interval_95": INTERVAL}
)
EVALUATION = Fields(
    {
        "data": Text(),
        "checksum": CHECKSUM,
        **POLICIES.required,
        "mrr_interval_95": INTERVAL,
        "graph_prior": Flag(),
        "embeddings_only": EMBEDDINGS_ONLY,
    },
    {"condition": Text()},
)

# summary.json
CANDIDATE = Fields(
    {"model": Text(), "folder": Text(), "dim": Whole(1), "bytes": Whole(0, 2**63 - 1), "valid_mrr": SHARE,
     "test_mrr": SHARE}
)  # fmt: skip
GAIN = Fields({"test_mrr": Number(-1, 1), "interval_95": Items(Number(-1, 1), 2)})
VERDICT = Fields(
    {
        "best": CANDIDATE,
        "recommended": CANDIDATE,
        "small": CANDIDATE,
        "gain": Maybe(GAIN),
        "try_dim": Maybe(Whole(1)),
        "commands": Fields({"predict": Text()}, {"try": Text()}),
    }
)
ROW = Fields(
    {"model": Text()},
    {"folder": Text(), "dim": Whole(1), "parameters": Whole(0, 2**63 - 1), "MB": Number(0, 1e9)},
)
SUMMARY = Fields(
    {"settings": Named(Plain()), "rows": Items(ROW)},
    {"recommended": Text(), "verdict": Maybe(VERDICT), "mrr_interval_95": Named(INTERVAL)},
)

# fit/config.json, fit/record.json and the lines of fit/log.jsonl, of methods for images too
SETTINGS = Fields(
    {},
    {
        "stage": Text(),
        "scorer": Text(),
        "dim": Whole(1),
        "tau_epochs": Number(),
        "data": Plain(),
    },
)
ENVIRONMENT = Fields(
    {"date": Text(), "versions": Named(Text()), "processor": Plain(), "threads": Plain()}, {"accelerator": Plain()}
)
FINISHED = Fields(  # the same of a finished fit on a graph, for records
    {
        "config": Fields({"data": Plain()}),
        "fit": Fields({"epochs": Plain(), "patience": Plain()}),
        "seed": Whole(),
        "environment": ENVIRONMENT,
    }
)
CONFIG = Fields({}, {"config": SETTINGS, "fit": Named(Plain()), "seed": Plain(), "optimizers": Plain()})
RECORD = Fields(
    {"stopped_by": Text(), "epochs": Whole(), "seconds": Number(0), "best_epoch": Maybe(Whole())},
    {"best_metrics": Named(ANY), "metrics": Named(ANY)},
)
LINE = Fields({"step": Whole(), "epoch": Whole(), "seconds": Number(0)}, {"valid/mrr": SHARE}, others=Number())

JSON_FILES: dict[str, Kind] = {
    "model.json": DESCRIPTION,
    "calibration.json": CALIBRATION,
    "coverage.json": COVERAGE,
    "ranking.json": RANKING,
}
NAMES = ("README.md", "entities.tsv", "relations.tsv")
REQUIRED = {"model": (*NAMES, "model.json", "model.safetensors"), "onnx": (*NAMES, "model.onnx", "ranking.json")}
"""Files of a bundle by its kind; with triples also known.npz."""
MOST_BYTES = {"bundle.json": 4 * SMALL, "README.md": SMALL, "NOTICE": SMALL, "model.json": SMALL}
"""Bytes that files of a bundle may have."""

RULES = "rules.npy"


def most_of_rules(relations: int) -> int:
    """Bytes that rules.npy may have, which holds at most 1,000 rules of seven numbers for each relation."""
    return SMALL + 1_000 * 7 * 8 * relations


def most_of_numbers(relations: int) -> int:
    """Bytes that calibration.json and ranking.json may have, which hold two numbers for each relation."""
    return SMALL + 100 * relations


def most_of_quantiles(relations: int) -> int:
    """Bytes that coverage.json may have, which holds some twenty numbers for each relation and direction."""
    return SMALL + 2000 * relations


def most_of_names(count: int) -> int:
    """Bytes that entities.tsv or relations.tsv may have: 4,096 for a name, on average."""
    return SMALL + 4096 * count
