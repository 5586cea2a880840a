"""Files of names and of types, and the classes of RDF."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from kge_data import from_triples
from kge_data.entity_files import RDF_TYPE, EntityTypes, read_entities, read_types, types_in, types_of_graph
from kge_data.errors import DataError

GRAPH = from_triples([("a", "r", "b"), ("c", "r", "d")], [], [])


def test_types(tmp_path: Path) -> None:
    path = tmp_path / "types.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tcity\nb\triver\r\n\na\tport\nd\tport\n"))
    types = read_types(path, GRAPH)
    assert {name: types.members(name).tolist() for name in types.names} == {"city": [0], "port": [0, 3], "river": [1]}
    assert types.members("Port").tolist() == [0, 3]
    assert types.sharing(types.members("city")).tolist() == [0, 3]
    again = types_in(types.lines(GRAPH).decode(), GRAPH, "again")
    assert again.lines(GRAPH) == types.lines(GRAPH)
    with pytest.raises(DataError, match=r"no entity has the type 'lake' in .*; the largest of 3 types are port \(2\)"):
        types.members("lake")


def test_classes_of_rdf() -> None:
    graph = from_triples([("a", RDF_TYPE, "City"), ("b", RDF_TYPE, "City"), ("City", RDF_TYPE, "Class")], [], [])
    types: EntityTypes = types_of_graph(graph)
    assert [graph.entities[each] for each in types.members("City")] == ["a", "b"]
    with pytest.raises(DataError, match="no entity has the type 'a'"):  # an entity that nothing is an instance of
        types.members("a")
    with pytest.raises(DataError, match="no training triple has the relation rdf:type"):
        types_of_graph(GRAPH)


def test_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("c\n\na\nc\n")
    assert read_entities(tmp_path / "names.txt", GRAPH).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tcity\nb river\n", r"x.tsv, line 2: expected an entity, a tab and its type, found 'b river'"),
        (b"a\tcity\n\nnobody\tcity\n", r'x.tsv, line 3: no entity is called "nobody"'),
        (b"\n", "x.tsv: expected lines `entity TAB type`, found an empty file"),
        (b"a\t\xff\n", "x.tsv: expected lines `entity TAB type` in UTF-8"),
        (None, "x.tsv: cannot be read"),
    ],
)
def test_other_content_is_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_types(tmp_path / "x.tsv", GRAPH)
