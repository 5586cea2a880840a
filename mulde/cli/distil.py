"""Distil teachers into a small student: knowledge-graph embeddings, or an image network with `--method`.
`mulde distil --method NAME --help` shows the options of a method for images.

Examples:
    mulde train roth --data wn18rr --dim 64
    mulde train refh --data wn18rr --dim 64
    mulde distil --data wn18rr --dim 32 \\
        --teacher runs/wn18rr/roth-64 --teacher runs/wn18rr/refh-64
    mulde distil --data umls --dim 8 --teacher umls-8 \\
        --teacher pykeen-results/transe --allow-pickle
    mulde distil --data umls --method offline --teacher ultra:ultra_3g.pth
    mulde distil --method kd --data folder:photos \\
        --teacher my_models.py:teacher --student resnet20 --out runs/small

Teachers of a graph are matched to it by the names of entities and relations. They may have additional entities and
relations. ULTRA (Galkin et al. 2024) was pre-trained on other graphs and needs no names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mulde import catalogue
from mulde.cli import _distil_images
from mulde.cli._model import chosen as model_chosen
from mulde.cli._output import announce
from mulde.cli._stage import Common, begin, end, print_progress, scorer_called, writing
from mulde.cli._teachers import check_teachers, teacher_at
from mulde.config import extended
from mulde.config.command_line import parse, peek
from mulde.files import file_name
from mulde.kge.model.config import ModelConfig
from mulde.kge.options import Training
from mulde.kge.training.presets import chosen_method, defaults
from mulde.user_code import module_of

if TYPE_CHECKING:
    from kge_data.filters import KnownAnswers
    from kge_data.tripleset import TripleSet

FIRST = ("teacher", "data", "out", "method", "junior", "dim", "epochs", "budget", "device", "preset")


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Teachers and Junior."""

    teacher: tuple[Path, ...] = ()
    """Teacher: a run folder, a bundle, a name of `mulde list models`, a folder that PyKEEN's pipeline saved (with
    --allow-pickle), or ultra:PATH for a checkpoint of ULTRA; repeat the option for several teachers."""
    method: str = "mulde"
    """Method: a name of `mulde list methods`, or the path of a Python file with a function build(config, data,
    networks) that returns a Method, as in examples/my_own_method.py. Its own options are added to this list."""
    junior: str = "roth"
    """Scoring function of the Junior; `mulde list scorers` lists all."""
    allow_pickle: bool = False
    """Load PyKEEN's pickle files, which can execute arbitrary code. Use only for files that you trust."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: Training = field(default_factory=Training)


def compose(chosen: Mapping[str, Any]) -> type[Any]:
    """The options together with those of the method."""
    if is_for_images(chosen):
        return _distil_images.compose(chosen)
    from mulde.kge.training.method_file import open_method

    return extended(Config, options=open_method(chosen_method(chosen)).Config)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What decides about the other options."""

    method: str | None = None
    preset: str | None = None
    data: str | None = None


def main(argv: Sequence[str]) -> int:
    chosen = peek(Choice, argv, "mulde distil")
    return _distil_images.main(argv, chosen) if is_for_images(chosen) else _on_a_graph(argv, chosen.get("method"))


def is_for_images(chosen: Mapping[str, Any]) -> bool:
    """Whether the chosen method, by name or by the path of its file, is trained on images.

    A file without NEEDS is a method for the kind of data that is chosen.
    """
    method = str(chosen.get("method") or "mulde")
    if not method.endswith(".py"):
        return catalogue.path_of("methods", method) in catalogue.shelf_files(catalogue.IMAGE_METHODS)
    path = Path(method)
    needed = _data_of(path, path.read_bytes() if path.is_file() else b"")
    if needed is None and chosen.get("data"):
        from mulde.vision.data.loading import names_images

        return names_images(str(chosen["data"]))
    return needed not in (None, "graph")


@cache
def _data_of(path: Path, content: bytes) -> str | None:
    """Kind of data that a file of the user's declares; it is run once for each content that it has."""
    needs = getattr(module_of(path), "NEEDS", None)
    return None if needs is None else str(needs.data)


def _on_a_graph(argv: Sequence[str], method: str | None) -> int:
    about = __doc__ or ""
    if method is not None:
        about = about.replace("\n\n", f"\nThe file of {method} is {catalogue.file_of_method(method)}.\n\n", 1)
    settings: Any = parse(Config, argv, "mulde distil", about, _defaults, FIRST, compose)
    from mulde.kge.training.method_file import open_method
    from mulde.kge.training.run import checked_scorer

    settings = replace(settings, teacher=tuple(map(model_chosen, settings.teacher)))
    check_teachers(settings.teacher, needed="teacher" in open_method(settings.method).needs.roles)
    scorer = checked_scorer(scorer_called(settings.options.junior), settings.options.model)
    with begin(settings, settings.training.device) as (graph, known):
        return _trained(settings, scorer, graph, known)


def _trained(settings: Any, scorer: str, graph: TripleSet, known: KnownAnswers) -> int:
    from mulde.kge.training import stage

    options = settings.options
    teachers = [teacher_at(place, graph, settings.allow_pickle) for place in settings.teacher]
    folder = settings.out or Path("runs") / file_name(graph.name) / f"junior-{scorer}-{options.model.dim}"
    named = ", ".join(map(str, settings.teacher))
    with writing(settings, folder):
        origin = f"distilled from {named}" if named else f"trained by {settings.method}"
        announce(f"Junior {scorer}, {options.model.dim} dimensions, {origin}")
        outcome = stage.distil(
            scorer, teachers, graph, options, folder,
            method=settings.method, source=settings.data, known=known, progress=print_progress,
        )  # fmt: skip
        return end(settings, f"Junior {scorer}", outcome, graph, folder, known)


def _defaults(options: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Values of the preset, but for the teachers: it names scorers to train, and here they are models."""
    return defaults(options, names - {"teacher"})
