"""Result of a run: models, metrics and folder; prints as a table in a terminal and in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from kge_data.tripleset import TripleSet
from mulde.engine import Record
from mulde.kge.model.kge_model import KGEModel
from mulde.kge.training.verdict import Verdict
from mulde.report.tables import data_frame, html_table, in_one_unit, table

COLUMNS = ("model", "dim", "kB", "MB", "MRR", "MRR with prior", "Hits@1", "Hits@10", "seconds")  # 80 columns


@dataclass(frozen=True, repr=False)
class Result:
    """Models and metrics of a run."""

    graph: TripleSet
    """The data."""
    folder: Path
    """Run folder."""
    junior: KGEModel
    """The distilled model."""
    baseline: KGEModel | None
    """The same model without distillation."""
    teachers: Mapping[str, KGEModel]
    """Teachers by name."""
    networks: Mapping[str, nn.Module]
    """Other networks of the method by name, for example MulDE's ``senior``."""
    rows: tuple[Mapping[str, Any], ...]
    """Metrics on the test split, a row for each model: embeddings only, and the MRR with the graph prior beside it."""
    records: Mapping[str, Record]
    """Record of the training of each stage."""
    folders: Mapping[str, Path]
    """Folders of the trained models, by their names in ``rows``."""
    verdict: Verdict
    """Which model to take, and what distillation gained."""
    summary: Mapping[str, Any]
    """Content of summary.json."""

    @property
    def model(self) -> KGEModel:
        """The recommended model: the smallest within 2 % of the best validation MRR, embeddings only."""
        name = self.verdict.recommended.model
        if name == "Junior":
            return self.junior
        if name == "baseline" and self.baseline is not None:
            return self.baseline
        return self.teachers[name.removeprefix("teacher ")]

    def to_pandas(self) -> Any:
        """The metrics as a pandas.DataFrame, indexed by model."""
        return data_frame(list(self.rows)).set_index("model")

    def table(self) -> str:
        """The metrics as a table for a terminal."""
        return table(self._narrow())

    def __repr__(self) -> str:
        return f"Run on {self.graph.name} in {self.folder}\n{self.table()}\n\n{self.verdict}"

    def _repr_html_(self) -> str:
        page = html_table(self._narrow(), f"Run on {self.graph.name} in {self.folder}")
        return f"{page}<pre>{html.escape(str(self.verdict))}</pre>"

    def _narrow(self) -> list[dict[str, Any]]:
        """The rows with few columns."""
        rows = in_one_unit(self.rows)
        columns = [name for name in COLUMNS if any(name in row for row in rows)]
        return [{name: row.get(name) for name in columns} for row in rows]
