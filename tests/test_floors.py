"""Who may import whom: imports only go down, and light things stay light."""

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
    "mulde.errors": 0,
    "mulde.files": 0,
    "mulde.config": 0,
    "mulde.bundles": 0,
    "mulde.geometry": 0,
    "mulde.losses": 0,
    "mulde.metrics": 0,
    "mulde.engine": 0,
    "mulde.scorers": 1,
    "mulde.vision.models": 1,
    "mulde.parts": 2,
    "mulde.catalogue": 2,
    "mulde.kge": 3,
    "mulde.pykeen": 3,
    "mulde.vision": 3,
    "mulde.process": 4,
    "mulde": 4,
    "mulde.report": 4,
    "mulde.page": 4,
    "mulde.cli": 5,
    "mulde.__main__": 6,
}
ENGINE_MAY_IMPORT = {"torch", "lightning_fabric", "safetensors", "numpy", "tqdm", "tensorboard", "flwr", "mulde"}
FILES = sorted([*(ROOT / "mulde").rglob("*.py"), *(ROOT / "kge_data").rglob("*.py")])


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part(module: str) -> str:
    """The longest entry of FLOORS that the module lies in; "mulde" itself holds only lazy names."""
    if module == "mulde.__version__":
        return "mulde"
    inside = [name for name in FLOORS if module.startswith(name + ".") and name != "mulde"]
    matching = [module] if module in FLOORS else inside
    assert matching, f"{module} has no floor; give it one in FLOORS"
    return max(matching, key=len)


def imported(source: str, whole: Container[str] = ("mulde", "kge_data")) -> Iterator[str]:
    """Every module that a file imports anywhere; `from mulde import x` counts as `mulde.x`, as for all in ``whole``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            assert node.module is not None
            inside = node.module in whole
            yield from (f"{node.module}.{alias.name}" for alias in node.names) if inside else (node.module,)


def offences(module: str, source: str) -> list[str]:
    """Imports that go up, or sideways between strangers."""
    here = part(module)
    wrong = []
    for target in imported(source):
        top = target.split(".")[0]
        if top not in ("mulde", "kge_data"):
            continue
        there = part(target)
        stranger = FLOORS[here] == FLOORS[there] == 0 and there not in ("mulde.errors", "mulde.files")
        if there != here and (FLOORS[there] > FLOORS[here] or stranger):
            wrong.append(f"{module} (floor {FLOORS[here]}) imports {target} (floor {FLOORS[there]})")
    return wrong


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_only_go_down(path: Path) -> None:
    assert offences(module_name(path), path.read_text(encoding="utf-8")) == []


def test_the_rule_can_be_broken() -> None:
    assert offences("mulde.scorers.x", "from mulde.kge import feeds")
    assert offences("mulde.geometry.x", "import mulde.losses")
    assert offences("mulde.kge.x", "def f():\n    from mulde import report")
    assert not offences("mulde.kge.x", "from mulde.parts import senior\nimport kge_data")


FOLDERS = [ROOT / folder for folder in catalogue.FOLDERS["methods"]]
METHODS = {module_name(path): path for path in FILES if path.parent in FOLDERS and catalogue.declared(path, "Method")}


def methods_imported(source: str) -> set[str]:
    """The methods that a file imports, written either way."""
    return METHODS.keys() & {*imported(source), *imported(source, ("mulde.kge", "mulde.vision"))}


@pytest.mark.parametrize("name", METHODS)
def test_methods_never_import_methods(name: str) -> None:
    assert methods_imported(METHODS[name].read_text(encoding="utf-8")) == set()


def test_a_method_imported_either_way_is_found() -> None:
    assert {"mulde.kge.mulde", "mulde.vision.kd"} <= METHODS.keys()
    assert methods_imported("from mulde.vision import kd, training") == {"mulde.vision.kd"}
    assert methods_imported("def f():\n    import mulde.kge.mulde") == {"mulde.kge.mulde"}
    assert methods_imported("from mulde.vision.training import train_on_labels") == set()


def files_in(folder: str) -> list[Path]:
    return [path for path in FILES if path.is_relative_to(ROOT / folder)]


@pytest.mark.parametrize("path", files_in("mulde/engine"), ids=module_name)
def test_the_engine_knows_its_trade_only(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    words = [word for word in ("teacher", "triple") if word in source.lower()]
    tops = {name.split(".")[0] for name in imported(source)}
    assert words == []
    assert tops - ENGINE_MAY_IMPORT - sys.stdlib_module_names == set()


def test_only_the_bridge_imports_pykeen() -> None:
    elsewhere = [path for path in FILES if not path.is_relative_to(ROOT / "mulde/pykeen")]
    users = [module_name(path) for path in elsewhere if "pykeen" in tops_of(path)]
    assert users == []


def test_kge_data_needs_no_torch_anywhere() -> None:
    heavy = {"torch", "pykeen", "mulde", "lightning_fabric", "geoopt"}
    assert [module_name(path) for path in files_in("kge_data") if tops_of(path) & heavy] == []


def tops_of(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path.read_text(encoding="utf-8"))}


def loaded_by(statement: str) -> set[str]:
    """Top-level packages outside the standard library that a statement loads in a fresh interpreter."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()} - sys.stdlib_module_names


def test_importing_mulde_loads_nothing_else() -> None:
    assert loaded_by("import mulde") == {"mulde"}


def test_importing_kge_data_loads_numpy_only() -> None:
    loaded = loaded_by("import kge_data")
    assert "kge_data" in loaded
    assert loaded.isdisjoint({"torch", "pykeen", "mulde", "pandas", "rdflib", "pyarrow", "zstandard"})


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
