"""Imports go downwards only, and light modules stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path

import pytest

from mulde import catalogue

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "kge_data": 0,
    "mulde.errors": 1,
    "mulde.files": 1,
    "mulde.differences": 1,
    "mulde.worker": 1,
    "mulde.user_code": 2,
    "mulde.config": 2,
    "mulde.pretrained": 2,
    "mulde.geometry": 2,
    "mulde.losses": 2,
    "mulde.metrics": 2,
    "mulde.report.tables": 2,
    "mulde.report.drawing": 2,
    "mulde.schema": 1,
    "mulde.storage": 2,
    "mulde.shell": 0,
    "mulde.report.lettering": 1,
    "mulde.engine": 2,
    "mulde.catalogue": 3,
    "mulde.additions": 3,
    "mulde.watermark": 3,
    "mulde.federated": 3,
    "mulde.run_folders": 3,
    "mulde.kge.model": 3,
    "mulde.kge.options": 4,  # below feeds and methods, whose arguments and Configs are made of these options
    "mulde.kge.scorers": 4,
    "mulde.kge.feeds": 5,
    "mulde.kge.losses": 6,
    "mulde.ultra": 3,
    "mulde.kge.storage": 7,
    "mulde.kge.rules": 8,
    "mulde.kge.teachers": 8,
    "mulde.kge.methods": 9,
    "mulde.kge.evaluation": 10,
    "mulde.kge.inference": 11,
    "mulde.kge.export": 12,
    "mulde.kge.training": 13,
    "mulde.vision.pictures": 2,
    "mulde.vision.data": 3,
    "mulde.vision.models": 4,
    "mulde.vision.video": 4,
    "mulde.vision.storage": 5,
    "mulde.vision.sources": 6,
    "mulde.vision.training": 7,
    "mulde.vision.ablation": 8,
    "mulde.vision.methods": 9,
    "mulde.vision.inference": 9,
    "mulde.vision.export": 10,
    "mulde.vision.distillation": 10,
    "mulde.vision": 11,
    "mulde.pykeen": 14,
    "mulde.report": 14,
    "mulde.prediction": 14,
    "mulde.api": 15,
    "mulde": 16,
    "mulde.cli": 17,
    "mulde.__main__": 18,
}
"""Part of the package -> floor, counted from below. Parts on one floor do not import each other."""
ENGINE_MAY_IMPORT = {"torch", "lightning_fabric", "safetensors", "numpy", "tqdm", "tensorboard", "flwr", "mulde"}
FILES = sorted([*(ROOT / "mulde").rglob("*.py"), *(ROOT / "kge_data").rglob("*.py")])


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(module: str) -> str:
    """The longest entry of FLOORS that contains a module; packages that are only a docstring have none."""
    if module == "mulde.__version__":
        return "mulde"
    inside = [name for name in FLOORS if f"{module}.".startswith(f"{name}.") and (name != "mulde" or module == name)]
    assert inside, f"{module} has no floor; give it one in FLOORS"
    return max(inside, key=len)


def imported(source: str, whole: Container[str] = ("mulde", "mulde.kge", "mulde.vision", "kge_data")) -> Iterator[str]:
    """Every module that a file imports anywhere; `from a import b` counts as `a.b` for the packages in ``whole``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            assert node.module is not None
            inside = node.module in whole
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if inside else (node.module,)


def offences(module: str, source: str) -> list[str]:
    """Imports that go up, or sideways."""
    targets = [target for target in imported(source) if target.split(".")[0] in ("mulde", "kge_data")]
    if not targets:
        return []
    here = part(module)
    return [
        f"{module} (floor {FLOORS[here]}) imports {target} (floor {FLOORS[part(target)]})"
        for target in targets
        if part(target) != here and FLOORS[part(target)] >= FLOORS[here]
    ]


def test_imports_only_go_down() -> None:
    found = [offences(module_name(path), path.read_text(encoding="utf-8")) for path in FILES]
    assert not [offence for of_one in found for offence in of_one]


def test_imports_that_go_up_or_sideways_are_found() -> None:
    assert offences("mulde.kge.scorers.x", "from mulde.kge.methods import mulde")
    assert offences("mulde.geometry.x", "import mulde.losses.features")
    assert offences("mulde.kge.evaluation.x", "def f():\n    from mulde.kge.inference import query")
    assert not offences("mulde.kge.methods.x", "from mulde.kge.teachers import senior\nimport kge_data")


METHODS = {module_name(path): path for path in FILES if path in set(catalogue.entries("methods").values())}


def methods_imported(source: str) -> set[str]:
    """The methods that a file imports, in either spelling."""
    return METHODS.keys() & {*imported(source), *imported(source, ("mulde.kge.methods", "mulde.vision.methods"))}


@pytest.mark.parametrize("name", METHODS)
def test_methods_never_import_methods(name: str) -> None:
    assert methods_imported(METHODS[name].read_text(encoding="utf-8")) == set()


def test_an_imported_method_is_found_in_either_spelling() -> None:
    assert {"mulde.kge.methods.mulde", "mulde.vision.methods.kd"} <= METHODS.keys()
    assert methods_imported("from mulde.vision.methods import kd") == {"mulde.vision.methods.kd"}
    assert methods_imported("def f():\n    import mulde.kge.methods.mulde") == {"mulde.kge.methods.mulde"}
    assert methods_imported("from mulde.vision.training.session import train_on_labels") == set()


def files_in(folder: str) -> list[Path]:
    return [path for path in FILES if path.is_relative_to(ROOT / folder)]


@pytest.mark.parametrize("path", files_in("mulde/engine"), ids=module_name)
def test_the_engine_is_general(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    words = [word for word in ("teacher", "triple") if word in source.lower()]
    tops = {name.split(".")[0] for name in imported(source)}
    assert words == []
    assert tops - ENGINE_MAY_IMPORT - sys.stdlib_module_names == set()


def test_only_mulde_pykeen_imports_pykeen() -> None:
    elsewhere = [path for path in FILES if not path.is_relative_to(ROOT / "mulde/pykeen")]
    users = [module_name(path) for path in elsewhere if "pykeen" in tops_of(path)]
    assert users == []


def test_kge_data_needs_no_torch_anywhere() -> None:
    heavy = {"torch", "pykeen", "mulde", "lightning_fabric", "geoopt"}
    assert [module_name(path) for path in files_in("kge_data") if tops_of(path) & heavy] == []


def tops_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"))}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages outside the standard library that a statement loads in a new interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()} - sys.stdlib_module_names


def test_importing_mulde_loads_nothing_else() -> None:
    assert loaded_by("import mulde") == {"mulde"}


def test_processes_that_read_pictures_start_without_torch() -> None:
    assert "torch" not in loaded_by("import mulde.vision.pictures.workers")


def test_importing_kge_data_loads_numpy_only() -> None:
    loaded = loaded_by("import kge_data")
    assert "kge_data" in loaded
    assert loaded.isdisjoint({"torch", "pykeen", "mulde", "pandas", "pyoxigraph", "pyarrow", "zstandard"})


def test_public_names_are_lazy_and_exist() -> None:
    import mulde

    for name in mulde.__all__:
        assert getattr(mulde, name) is not None
    with pytest.raises(AttributeError, match="'mulde' has no attribute 'Teecher'"):
        _ = mulde.Teecher


def test_type_checkers_see_the_same_public_names() -> None:
    import mulde

    tree = ast.parse((ROOT / "mulde/__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == mulde._HOMES
    assert set(mulde.__all__) == {*mulde._HOMES, "__version__"}
