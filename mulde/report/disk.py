"""Entities in the Poincaré disk: a projection of the embeddings to a plane through the origin.

Tangent vectors at the origin are projected to their first two principal axes (uncentred, so that the origin is kept).
The exponential map at the origin carries them to the disk and keeps directions: the radius is tanh(√c |projection|),
with c the median curvature of the relations. If all entities are near the origin, all disks of a figure are cut at the
same radius, which is written below them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kge_data.entity_files import EntityTypes, read_types
from kge_data.inverse import num_internal
from kge_data.tripleset import TripleSet
from mulde.kge.model.kge_model import KGEModel
from mulde.report.drawing import Drawing
from mulde.report.figure import Figure
from mulde.report.lettering import shortened
from mulde.report.runs import Stage

MOST = 2500  # entities in a drawing; a fixed random subset of larger graphs
NAMED, APART = 10, 0.12  # number of named entities, those with most triples, and their smallest distance
STEPS = 5  # colours of the scale of degrees
TYPES = 8  # colours of types; all further types share one
NAME = 160.0  # width of a name, in pixels
RADIUS, ROOM = 200.0, 18.0  # of the disk, and around it, in pixels


@dataclass(frozen=True)
class Projection:
    """Entities projected to the unit disk."""

    points: NDArray[np.float64]
    """(e, 2)"""
    kept: float
    """Fraction of the vectors' squared length that the projection keeps."""
    curvature: float
    """Curvature of the ball; 0 in flat space, where points are scaled to fit."""


def project(model: KGEModel) -> Projection:
    """The projection of a model's entities."""
    with torch.no_grad():
        vectors = model.entity.detach().double()
        curvature = model.curvature(torch.arange(num_internal(model.num_relations)))
        c = 0.0 if curvature is None else float(curvature.double().median())
        if c:
            vectors = model.space.tangents(vectors, torch.tensor(c, dtype=torch.float64))
    array = vectors.numpy()
    _, lengths, axes = np.linalg.svd(array, full_matrices=False)
    flat = array @ axes[:2].T
    if flat.shape[1] < 2:  # one coordinate in all
        flat = np.hstack([flat, np.zeros_like(flat)])
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    squares = np.square(lengths)
    kept = float(squares[:2].sum() / max(squares.sum(), 1e-300))
    if not c:
        return Projection(flat / max(1.05 * float(norm.max()), 1e-300), kept, 0.0)
    return Projection(np.tanh(np.sqrt(c) * norm) * flat / np.maximum(norm, 1e-300), kept, c)


def disks(stages: list[Stage], graph: TripleSet, types: Path | None = None) -> Figure | None:
    """A disk for each stage, coloured by degree, or by the types in a file. All stages need a model."""
    if not stages:
        return None
    degree = np.bincount(graph.train[:, [0, 2]].ravel(), minlength=graph.num_entities)
    colours, keys = _by_degree(degree) if types is None else _by_type(read_types(types, graph), graph.num_entities)
    drawn = _subset(degree)
    drawings, findings = [], []
    projections = [project(stage.model) for stage in stages if stage.model is not None]
    cut = cut_at([projection.points[drawn] for projection in projections])
    for stage, projection in zip(stages, projections, strict=True):
        drawings.append(_disk(stage, projection, graph, degree, colours, drawn, cut))
        findings.append(
            f"{stage.name}: the projection keeps {100 * projection.kept:.0f} % of the vectors' squared length"
            + (f", curvature {projection.curvature:.2f}" if projection.curvature else ", Euclidean space scaled to fit")
            + _trend(projection, degree)
        )
    about = (
        "Each point is an entity. Tangent vectors at the origin are projected to their first two principal axes and "
        "mapped to the disk by the exponential map. Hyperbolic distances grow towards the rim, so points there are "
        "farther apart than they look."
    )
    if cut < 1:
        about += f" All points are near the centre, so the drawings show {cut:g} of the disk's radius only."
    if len(drawn) < graph.num_entities:
        about += f" Shown: a fixed random subset of {len(drawn):,} of {graph.num_entities:,} entities."
    found = ". ".join(findings) + "."
    legend = "Training triples of an entity" if types is None else "Type of an entity"
    return Figure("Entities in the Poincaré disk", about, found, drawings, keys, legend, beside=True)


def cut_at(disks: list[NDArray[np.float64]]) -> float:
    """Smallest multiple of a tenth of the radius that contains the points (e, 2) of all disks."""
    farthest = max(float(np.linalg.norm(points, axis=1).max(initial=0)) for points in disks)
    return min(1.0, max(1, int(np.ceil(10 * farthest))) / 10)


def _disk(
    stage: Stage,
    projection: Projection,
    graph: TripleSet,
    degree: NDArray[np.int64],
    colours: list[str],
    drawn: list[int],
    cut: float,
) -> str:
    size = 2 * (RADIUS + ROOM)
    drawing = Drawing(size, size + 26, f"Entities of {stage.name} in the Poincaré disk")
    middle = RADIUS + ROOM
    drawing.add("circle", cx=middle, cy=middle, r=RADIUS, class_="rim" if cut == 1 else "rim cut")
    drawing.add("circle", cx=middle, cy=middle, r=1.5, class_="origin")
    points = projection.points / cut
    at = middle + RADIUS * points * np.array([1, -1])
    size_of_point = 4.0 if len(drawn) < 300 else 2.4
    for entity in sorted(drawn, key=lambda e: int(degree[e])):
        title = f"{graph.entity_label(entity)}, {degree[entity]:,} training triples"
        drawing.add(
            "circle", title, cx=at[entity, 0], cy=at[entity, 1], r=size_of_point, class_=f"dot {colours[entity]}"
        )
    named = _apart(sorted(drawn, key=lambda e: -int(degree[e])), points)
    drawing.labels(
        [
            (at[e, 0] - 4, at[e, 1], shortened(graph.entity_label(e), NAME), "over")
            for e in named
            if len(graph.entity_label(e))
        ],
        4,
        size - 4,
    )
    name = stage.name if cut == 1 else f"{stage.name}, up to {cut:g} of the radius"
    drawing.text(middle, size + 16, name, "name", "middle")
    return drawing.svg()


def _apart(entities: list[int], points: NDArray[np.float64]) -> list[int]:
    """The first entities of a list that are far enough from each other for their names."""
    chosen: list[int] = []
    for entity in entities:
        if len(chosen) == NAMED:
            break
        if all(np.linalg.norm(points[entity] - points[other]) > APART for other in chosen):
            chosen.append(entity)
    return chosen


def _subset(degree: NDArray[np.int64]) -> list[int]:
    """All entities, or a random subset with those of most triples."""
    if len(degree) <= MOST:
        return list(range(len(degree)))
    most = np.argsort(-degree, kind="stable")[:NAMED]
    drawn = np.random.default_rng(0).permutation(len(degree))[: MOST - NAMED]
    return sorted({*most.tolist(), *drawn.tolist()})


def _by_degree(degree: NDArray[np.int64]) -> tuple[list[str], list[tuple[str, str]]]:
    """A colour for each entity by its number of triples, in steps of equal ratio; and the meaning of the colours."""
    least, most = max(1, int(degree.min())), max(2, int(degree.max()))
    borders = np.unique(np.round(np.geomspace(least, most + 1, STEPS + 1)).astype(int))
    step = np.clip(np.searchsorted(borders, degree, "right") - 1, 0, len(borders) - 2)
    keys = [
        (f"dot d{i}", f"{low:,}" if high - low == 1 else f"{low:,} to {high - 1:,}")
        for i, (low, high) in enumerate(itertools.pairwise(borders))
    ]
    if (degree == 0).any():
        keys[0] = keys[0][0], f"up to {borders[1] - 1:,}"
    return [f"d{i}" for i in step], keys


def _by_type(types: EntityTypes, num_entities: int) -> tuple[list[str], list[tuple[str, str]]]:
    """A colour for each entity by its most frequent type, one for all rare types; and the meaning of the colours."""
    order = np.argsort(-np.bincount(types.types, minlength=len(types.names)), kind="stable")[:TYPES].tolist()
    found = ["other"] * num_entities
    for place in reversed(range(len(order))):
        for entity in types.entities[types.types == order[place]].tolist():
            found[entity] = f"c{place}"
    keys = [(f"dot c{place}", types.names[kind]) for place, kind in enumerate(order)]
    return found, [*keys, ("dot other", "another type, or none")] if "other" in found else keys


def _trend(projection: Projection, degree: NDArray[np.int64]) -> str:
    from scipy.stats import spearmanr  # slow to import

    radius = np.linalg.norm(projection.points, axis=1)
    if np.ptp(degree) == 0 or np.ptp(radius) == 0:
        return ""
    rank = float(spearmanr(degree, radius).statistic)
    where = "nearer the centre" if rank < 0 else "farther out"
    if abs(rank) < 0.2:
        return f"; radius and number of triples are hardly correlated (rank correlation {rank:+.2f})"
    return f"; entities with more triples are {where} (rank correlation {rank:+.2f})"
