"""Knowledge graphs for link prediction: which triples, which names, which answers are known to be true.

    >>> import kge_data
    >>> graph = kge_data.load("umls")

Needs numpy only; RDF, Parquet and Zstandard files need rdflib, pyarrow and zstandard.
"""

from kge_data.errors import AmbiguousName, DataError, UnknownName
from kge_data.loading import load
from kge_data.published.catalogue import names
from kge_data.tripleset import TripleSet, from_labels

__all__ = ["AmbiguousName", "DataError", "TripleSet", "UnknownName", "from_labels", "load", "names"]
