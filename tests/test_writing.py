"""Files are written by `kge_data.files` only, with the exceptions below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    path
    for package in ("mulde", "kge_data")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not path.is_relative_to(ROOT / "kge_data/files")
]
WRITERS = {
    "write_text", "write_bytes", "touch", "mkdir", "makedirs", "mkstemp", "mkdtemp", "NamedTemporaryFile", "savez",
    "TemporaryDirectory", "copy2", "copyfile", "copytree", "savez_compressed", "savetxt", "tofile", "save_file",
    "to_csv", "to_json", "to_parquet", "to_excel", "to_pickle", "write_table", "ParquetWriter", "savefig", "imwrite",
    "SummaryWriter", "FileHandler", "symlink_to", "hardlink_to", "extractall", "extract", "to_path_binary", "dump",
}  # fmt: skip
"""Functions of libraries that write to a file or stream; and `open`, `ZipFile` and `open_memmap` with a mode for it,
`save` of torch and numpy."""
EXCEPTIONS = {
    "mulde/engine/record.py": {"open", "SummaryWriter"},  # the log, to which lines are appended; TensorBoard
    "mulde/kge/training/tuning/journal.py": {"open"},  # cuts the last line of a file to which lines are appended
    "kge_data/printing.py": {"open"},  # the null device
    "kge_data/published/fetching.py": {"open"},  # appends to an unfinished download
    "mulde/vision/video/side_by_side.py": {"open"},  # the video writer, into a temporary file
    "mulde/kge/teachers/cached_predictions.py": {"open_memmap", "open"},  # mapped files in a temporary folder
    "mulde/kge/teachers/unfinished_predictions.py": {"savez"},  # into a stream
    "mulde/engine/checkpoint.py": {"save", "save_file"},  # into a stream and a temporary file
    "mulde/kge/evaluation/split_ranks.py": {"savez_compressed"},  # into a stream, as the following
    "mulde/kge/export/tables.py": {"savez_compressed", "write_table"},
    "mulde/kge/inference/answer_files.py": {"ParquetWriter", "write_table"},
    "mulde/kge/inference/facts.py": {"write_table"},  # of the file above
    "mulde/storage/container.py": {"ZipFile"},
    "mulde/pykeen/folders.py": {"save", "to_path_binary"},  # into a stream, and into a temporary folder
    "mulde/vision/ablation/plot.py": {"savefig"},
    "mulde/vision/training/surface.py": {"savefig"},  # into a stream, as the one before
    "mulde/vision/export/static.py": {"TemporaryDirectory"},  # for ONNX Runtime, which writes to paths only
    "kge_data/cache.py": {"savez"},
    "kge_data/packed.py": {"ZipFile"},
}
"""File -> functions that it may call."""


def calls(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of every call that writes to a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        texts = [
            each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
        ]
        opens = name in ("open", "fdopen", "ZipFile", "GzipFile", "open_memmap") and any(map(is_writing_mode, texts))
        saves = name == "save" and owner in ("torch", "np")
        if opens or saves or (name in WRITERS and owner != "json"):
            yield node.lineno, name


def is_writing_mode(text: str) -> bool:
    return 0 < len(text) < 4 and set(text) <= set("rwabxt+") and bool(set(text) & set("wax+"))


def test_only_the_module_of_files_writes() -> None:
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        file = path.relative_to(ROOT).as_posix()
        for line, name in calls(path.read_text(encoding="utf-8")):
            assert name in EXCEPTIONS.get(file, ()), f"{file}:{line} calls {name}; write through mulde.files"
            found.setdefault(file, set()).add(name)
    assert found == EXCEPTIONS  # no exception is left over


def test_writing_is_recognised() -> None:
    for line in ('open("x", "w")', 'path.open(mode="ab")', "path.write_text(s)", "np.savez(p, a)", "torch.save(s, p)"):
        assert list(calls(line)), line
    for line in ('path.open("rb")', "open(x)", "copy.copy(a)", "model.save(folder)", "json.dumps(x)"):
        assert not list(calls(line)), line
