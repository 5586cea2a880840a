"""`mulde.vision.distil`: the main job on images from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from torch import nn

from mulde.config import Duration, hints_of, to_dict
from mulde.config.values import typed
from mulde.engine import process
from mulde.engine.progress import Progress, Report, silent
from mulde.errors import UsageError
from mulde.run_folders import locked_run, waiting
from mulde.vision.distillation import job as jobs
from mulde.vision.distillation.checks import check_options
from mulde.vision.distillation.given_data import split_of
from mulde.vision.distillation.method_file import configured, method_name, open_method
from mulde.vision.distillation.sources import named, with_own_input
from mulde.vision.models.adapted import Adapted


def distil(
    method: str | Path = "kd",
    *,
    train: Any,
    valid: Any = None,
    test: Any = None,
    student: nn.Module | str | None = None,
    teacher: nn.Module | str | Sequence[nn.Module | str] | None = None,
    networks: Mapping[str, Any] | None = None,
    classes: Sequence[str] | int | None = None,
    folder: Path | str | None = None,
    preset: Literal["recommended", "paper"] = "recommended",
    select: Literal["final", "valid"] = "final",
    eval_every: int = 1,
    baseline: bool = False,
    keep: Sequence[str] = (),
    budget: float | str | None = None,
    checkpoint_every: float = 60.0,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    wait: bool = False,
    progress: Report = silent,
    **options: Any,
) -> nn.Module:
    """Train a student on images by a method, and return it in eval mode.

    Parameters
    ----------
    method
        A name of `mulde list methods`, or the path of a Python file of yours.
    train
        Text as after ``--data``, a dataset of pictures and labels, or a loader of their batches. A loader serves
        methods that need pictures and labels only; those that control order, views or partition of the data take a
        dataset, which is read once. Pictures are tensors (channels, h, w), or those of Pillow; uint8 is standardised,
        floating point is taken as it is.
    valid, test
        Datasets or loaders for evaluation during the training, and after it.
    student, teacher
        Modules that return logits, which are copied, never changed; or texts as for ``--student`` and ``--teacher``.
        For methods that read features, wrap a module in `mulde.vision.models.Adapted`. A teacher with the attributes
        `mean` and `std` gets pixels of [0, 1] that are normalised by them, one with `size` gets pictures of this size,
        and the logits of one with `classes`, their names, are put in the order of the data.
    networks
        Modules for the other roles of the method, by role.
    classes
        Names of the classes, or their number; by default those of the dataset or of the logits.
    folder
        Run folder; the same call again continues or reuses what is there. None writes nothing.
    preset, select, eval_every, baseline, keep, budget, checkpoint_every, seed, device, threads, wait
        As for `mulde distil`.
    progress
        Receives messages.
    **options
        Options of `mulde distil` with this method.

    Raises
    ------
    UsageError
        For data, networks or options that do not fit each other, before the first step.
    """
    module = open_method(method)
    roles = {"student": student, "teacher": teacher, **(networks or {})}
    texts, given = _by_kind({role: value for role, value in roles.items() if value is not None})
    config = configured(module, preset, **{**options, **_as_options(module, texts)})
    check_options(module, config, baseline=baseline, device=device)
    data, batches = split_of(
        module.NEEDS, train, valid, test, classes=classes, networks=_modules(given), seed=seed
    )  # fmt: skip

    def report(text: str) -> None:
        progress(Progress(method_name(module), text))

    given = {**named(module, config, data, report), **with_own_input(given, data, report)}
    place = None if folder is None else Path(folder)
    seconds = None if budget is None else typed(budget, Duration, "budget")
    settings = {"method": str(method), "seed": seed, "select": select, **to_dict(config)}
    with process.threads(threads) if threads else nullcontext(), locked_run(place, waiting(wait, progress)):
        outcome = jobs.distil(
            jobs.Job(
                method=module, config=config, data=data, given=given, folder=place, batches=batches, select=select,
                eval_every=eval_every, baseline=baseline, keep=tuple(keep), budget=seconds, device=device,
                checkpoint_every=checkpoint_every,
                source=train if isinstance(train, str) else "", settings=settings, progress=progress,
            )
        )  # fmt: skip
    found = outcome.student.network
    return found.module if isinstance(found, Adapted) else found


def _by_kind(roles: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Roles that texts name, and roles with modules."""
    texts, given = dict[str, Any](), dict[str, Any]()
    for role, value in roles.items():
        each = list(value) if isinstance(value, list | tuple) else [value]
        kinds = {isinstance(one, str) for one in each}
        if len(kinds) > 1:
            raise UsageError(f"{role}: got both modules and texts; give one kind")
        (texts if kinds == {True} else given)[role] = value
    return texts, given


def _as_options(module: Any, texts: Mapping[str, Any]) -> dict[str, Any]:
    """Texts as the options of their roles, in a list where the method takes several."""
    hints = hints_of(module.Config)
    found = {}
    for role, value in texts.items():
        if role not in hints:
            raise UsageError(
                f'{method_name(module)} has no role called "{role}"; it has {", ".join(module.NEEDS.roles)}'
            )
        several = hints[role] == tuple[str, ...]
        found[role] = [value] if several and isinstance(value, str) else value
    return found


def _modules(given: Mapping[str, Any]) -> list[Any]:
    return [one for value in given.values() for one in (value if isinstance(value, list | tuple) else [value])]
