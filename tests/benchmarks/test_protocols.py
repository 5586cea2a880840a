"""Published figures are shown beside those of the same graph and protocol."""

from __future__ import annotations

from pathlib import Path

from benchmarks.harness import records
from benchmarks.quality import protocols
from mulde.kge.evaluation.protocols import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_is_sorted_by_graph_and_protocol(tmp_path: Path) -> None:
    found = [it for it in records.read(ROOT / "results/protocols") if it["data"]["name"] == "wn18rr"]
    records.write(tmp_path, found)
    protocols.write_table(tmp_path)
    _, _, head, _, *rows = (tmp_path / "table.md").read_text().splitlines()
    columns = [name.strip() for name in head.split("|")]
    cells = [dict(zip(columns, (cell.strip() for cell in row.split("|")), strict=True)) for row in rows]
    assert {row["data"] for row in cells} == {"wn18rr"}  # published figures of a graph without a model are left out
    order = [list(PROTOCOLS).index(row["protocol"]) for row in cells]
    assert order == sorted(order)
    own = {row["protocol"]: row["MRR"] for row in cells if row["source"] == "here, wn18rr-32"}
    assert own == {name: f"{found[0]['metrics'][name]['mrr']:.4f}" for name in PROTOCOLS}
    [roth] = [row for row in cells if row["model"] == "RotH"]
    assert (roth["protocol"], roth["MRR"], roth["Hits@1"]) == ("pessimistic", "0.473", "-")


def test_published_figures_name_a_protocol_and_a_source() -> None:
    for each in protocols.PUBLISHED:
        assert each.protocol in PROTOCOLS and each.source and 0 < float(each.mrr) < 1
