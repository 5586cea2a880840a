"""Labels that differ only in blanks, quotes, case or Unicode form, and probably mean the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kge_data.labels import composed, normal, stripped, unquoted

STEPS = {"Unicode form": composed, "blanks": stripped, "quotes": unquoted, "case": str.casefold}
SHOWN = 3  # groups in a sentence


@dataclass(frozen=True)
class NearEqual:
    """Entities, or relations, that differ only in form.

    Attributes
    ----------
    kind
        "entities" or "relations".
    difference
        What differs: "Unicode form", "blanks", "quotes" or "case", or several of these, separated by commas.
    labels
        The labels, in ascending order.
    """

    kind: str
    difference: str
    labels: tuple[str, ...]

    @property
    def merges(self) -> bool:
        """Whether normalizing merges some of the labels."""
        return self.difference != "case"


def near_equal(entities: Iterable[str], relations: Iterable[str]) -> list[NearEqual]:
    """The groups of labels that differ only in form, ascending."""
    kinds = (("entities", entities), ("relations", relations))
    return [
        NearEqual(kind, ", ".join(_differences(group)), tuple(group))
        for kind, labels in kinds
        for group in groups(labels)
    ]


def groups(labels: Iterable[str]) -> list[list[str]]:
    """The groups of labels with one normal form in any case."""
    first: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for label in labels:
        key = _key(label)
        if key in first:
            found.setdefault(key, [first[key]]).append(label)
        else:
            first[key] = label
    return sorted(map(sorted, found.values()))


def sentences(found: Sequence[NearEqual]) -> list[str]:
    """A sentence on the groups that normalizing merges, and one on those that differ in case only."""
    advice = {
        True: "merge them with --normalize (normalize=True in Python)",
        False: "if they mean the same, write them alike in the file",
    }
    texts = []
    for merges, advised in advice.items():
        those = [group for group in found if group.merges is merges]
        if not those:
            continue
        counts = [
            f"{sum(len(group.labels) for group in those if group.kind == kind):,} {kind}"
            for kind in ("entities", "relations")
            if any(group.kind == kind for group in those)
        ]
        differences = list(dict.fromkeys(part for group in those for part in group.difference.split(", ")))
        shown = "; ".join(" | ".join(map(repr, group.labels[:4])) for group in those[:SHOWN])
        more = f" and {len(those) - SHOWN:,} more groups" if len(those) > SHOWN else ""
        texts.append(f"{' and '.join(counts)} differ only in {' or '.join(differences)}: {shown}{more}; {advised}.")
    return texts


def _key(label: str) -> str:
    return normal(label).lower() if label.isascii() else composed(normal(label).casefold())


def _differences(labels: Sequence[str]) -> list[str]:
    """The steps of the normal form without which the labels are not equal."""
    found = []
    for name in STEPS:
        texts = {*labels}
        for other, step in STEPS.items():
            texts = texts if other == name else {step(text) for text in texts}
        if len(texts) > 1:
            found.append(name)
    return found or ["form"]
