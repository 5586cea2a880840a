"""A reader on files that atheris changes, guided by coverage: python -m tests.fuzz.guided NUMBER SECONDS."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kge_data", "mulde.config", "mulde.kge.inference"]):
    from tests.fuzz.subjects import SUBJECTS, answer


def main() -> None:
    subject = SUBJECTS[int(sys.argv[1])]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as corpus:
        (Path(corpus) / "good").write_bytes(subject.content())
        limits = [f"-max_total_time={sys.argv[2]}", "-max_len=65536", "-rss_limit_mb=4096", "-timeout=30"]
        atheris.Setup([sys.argv[0], *limits, f"-artifact_prefix={folder}/", corpus], lambda content: read(content))

        def read(content: bytes) -> None:
            answer(subject, content, Path(folder))

        atheris.Fuzz()


if __name__ == "__main__":
    main()
