"""Result of a run: models, metrics and folder; prints as a table in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from kge_data.tripleset import TripleSet
from mulde.engine import Record
from mulde.kge.model.kge_model import KGEModel
from mulde.report.tables import data_frame, html_table, table

COLUMNS = ("model", "dim", "kB", "MRR", "MRR with prior", "Hits@1", "Hits@10", "seconds")  # 80 columns


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
    """Folders of Junior and baseline."""
    summary: Mapping[str, Any]
    """Content of summary.json."""

    @property
    def valid(self) -> dict[str, float]:
        """MRR on the validation split of Junior and baseline."""
        return {name: self.records[name].best_metrics["valid/mrr"] for name in self.folders}

    @property
    def best(self) -> str:
        """ "Junior" or "baseline", whichever has the higher MRR on the validation split; of equals, the Junior."""
        return max(self.valid, key=lambda name: self.valid[name])

    @property
    def model(self) -> KGEModel:
        """The better of the two."""
        return self.baseline if self.best == "baseline" and self.baseline is not None else self.junior

    def to_pandas(self) -> Any:
        """The metrics as a pandas.DataFrame, indexed by model."""
        return data_frame(list(self.rows)).set_index("model")

    def table(self) -> str:
        """The metrics as a table for a terminal."""
        return table(self._narrow())

    def __repr__(self) -> str:
        return f"Run on {self.graph.name} in {self.folder}\n{self.table()}"

    def _repr_html_(self) -> str:
        return html_table(self._narrow(), f"Run on {self.graph.name} in {self.folder}")

    def _narrow(self) -> list[dict[str, Any]]:
        """The rows with few columns, and small sizes readable."""
        sizes = [{"kB": round(1000 * row["MB"])} if "MB" in row else {} for row in self.rows]
        return [
            {name: {**row, **size}.get(name) for name in COLUMNS} for row, size in zip(self.rows, sizes, strict=True)
        ]
