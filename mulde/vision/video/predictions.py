"""Results of a stream: a class map for every frame, and a record of every query to the teacher."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mulde.files import make_folder, read_json, write_atomically, write_json
from mulde.vision.video.reading import ClassMap, read_class_map


class Predictions:
    """Class maps in memory, or as 000000.png, 000001.png, ... with queries.json in a folder.

    A stream that continues from a checkpoint computes some frames again, with the same result.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._maps: dict[int, ClassMap] = {}
        self._queries: list[dict[str, Any]] = []
        if folder is not None:
            make_folder(folder)

    def put(self, number: int, classes: ClassMap) -> None:
        """Store the class map (h, w) of a frame; at most 256 classes."""
        if self.folder is None:
            self._maps[number] = classes
            return
        from PIL import Image as Pictures

        file = io.BytesIO()
        Pictures.fromarray(classes.astype(np.uint8)).save(file, "PNG", compress_level=1)
        write_atomically(self._file(number), file.getvalue())

    def finish(self, queries: Sequence[Mapping[str, Any]]) -> None:
        """End the stream; queries: one record for each query to the teacher."""
        if self.folder is None:
            self._queries = [dict(query) for query in queries]
        else:
            write_json(self.folder / "queries.json", {"queries": [dict(query) for query in queries]})

    def __len__(self) -> int:
        return len(self._maps) if self.folder is None else len(list(self.folder.glob("*.png")))

    def __getitem__(self, number: int) -> ClassMap:
        return self._maps[number] if self.folder is None else read_class_map(self._file(number), void=None)

    @property
    def queries(self) -> list[dict[str, Any]]:
        """The records of `finish`."""
        if self.folder is None:
            return self._queries
        return list((read_json(self.folder / "queries.json") or {"queries": []})["queries"])

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:06d}.png"
