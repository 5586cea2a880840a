"""Numbers for labels: triples of text become triples of ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kge_data.keys import distinct_triples
from kge_data.labels import normal
from kge_data.splitting import split
from kge_data.tripleset import TripleSet

Columns = tuple[Sequence[str], Sequence[str], Sequence[str]]  # heads, relations and tails of a block of triples
Ids = NDArray[np.int64]


class Vocabulary(dict[str, int]):
    """Label -> number, in order of first appearance; looking up a new label adds it."""

    def __missing__(self, label: str) -> int:
        number = self[label] = len(self)
        return number


def encode(blocks: Iterable[Columns], entities: Vocabulary, relations: Vocabulary) -> Ids:
    """Numbers for the labels, (n, 3) int64; new labels are added to the vocabularies."""
    parts = [np.empty((0, 3), dtype=np.int64)]
    for heads, kinds, tails in blocks:
        part = np.empty((len(heads), 3), dtype=np.int64)
        for place, (labels, vocabulary) in enumerate(((heads, entities), (kinds, relations), (tails, entities))):
            part[:, place] = np.fromiter(map(vocabulary.__getitem__, labels), np.int64, len(labels))
        parts.append(part)
    return np.concatenate(parts)


def numbered(
    name: str,
    splits: Sequence[Ids],
    entities: Vocabulary,
    relations: Vocabulary,
    entity_text: Mapping[str, str],
    relation_text: Mapping[str, str],
) -> TripleSet:
    """The TripleSet of encoded splits. Ids follow the ascending order of the labels; nothing is checked.

    Parameters
    ----------
    name
        Name of the graph.
    splits
        Train, valid and test as `encode` returns them; renumbered in place.
    entities, relations
        The vocabularies of `encode`.
    entity_text, relation_text
        Label -> readable name; others than the graph's are ignored.
    """
    entity_labels, new_entity = _sorted(entities)
    relation_labels, new_relation = _sorted(relations)
    for triples in splits:
        triples[:, [0, 2]] = new_entity[triples[:, [0, 2]]]
        triples[:, 1] = new_relation[triples[:, 1]]
    train, valid, test = splits
    return TripleSet(
        name,
        train,
        valid,
        test,
        entity_labels,
        relation_labels,
        {number: entity_text[label] for number, label in enumerate(entity_labels) if label in entity_text},
        {number: relation_text[label] for number, label in enumerate(relation_labels) if label in relation_text},
    )


def numbered_and_split(
    name: str, triples: Ids, entities: Vocabulary, relations: Vocabulary, text: Mapping[str, str], seed: int
) -> TripleSet:
    """The TripleSet of encoded triples, split into train, valid and test by `kge_data.splitting.split`."""
    whole = numbered(name, [triples, triples[:0], triples[:0]], entities, relations, text, text)
    train, valid, test = split(whole.train, seed)
    return replace(whole, train=train, valid=valid, test=test)


def merged(
    entities: Vocabulary, relations: Vocabulary, splits: Sequence[Ids]
) -> tuple[Vocabulary, Vocabulary, list[Ids], str]:
    """Vocabularies and triples with labels in normal form (`kge_data.labels.normal`), and a sentence on the changes."""
    new_entities, entity_map = _normalised(entities)
    new_relations, relation_map = _normalised(relations)
    maps = (entity_map, relation_map, entity_map)
    new = [np.stack([of[ids] for of, ids in zip(maps, triples.T, strict=True)], axis=1) for triples in splits]
    before, after = (len(distinct_triples(np.concatenate(parts))) for parts in (splits, new))
    changed = sum(len(old.keys() - kept.keys()) for old, kept in ((entities, new_entities), (relations, new_relations)))
    fewer = len(entities) - len(new_entities), len(relations) - len(new_relations)
    sentence = (
        f"normalized {changed:,} labels: {fewer[0]:,} fewer entities, {fewer[1]:,} fewer relations; {before - after:,} "
        "triples became equal to others"
    )
    return new_entities, new_relations, new, sentence


def _normalised(vocabulary: Vocabulary) -> tuple[Vocabulary, Ids]:
    """The vocabulary of normal forms, and the new number for each old one."""
    new = Vocabulary()
    return new, np.fromiter((new[normal(label)] for label in vocabulary), np.int64, len(vocabulary))


def _sorted(vocabulary: Vocabulary) -> tuple[tuple[str, ...], Ids]:
    """The labels in ascending order, and the new number for each old one."""
    labels = tuple(sorted(vocabulary))
    new = np.empty(len(labels), dtype=np.int64)
    new[[vocabulary[label] for label in labels]] = np.arange(len(labels))
    return labels, new
