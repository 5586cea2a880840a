"""The model card of a student's bundle, as Markdown: the model, its use, its quality and its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mulde.report.tables import without_folders
from mulde.shell import command

DOES = {
    "classify": "It assigns one of {count} classes to a picture",
    "detect": "It finds objects of {count} classes in a picture",
    "segment": "It assigns one of {count} classes to every pixel of a picture",
    "embed": "It computes a vector of features of a picture",
}
SHOWN = 50  # class names
NOT_SHOWN = ("method", "data", "out")  # settings: named above, or of the run folder alone


def card(manifest: Mapping[str, Any], about: Mapping[str, Any], size: int) -> str:
    """The model card of a bundle.

    Parameters
    ----------
    manifest
        The manifest.
    about
        The description of the student.
    size
        Bytes of the other files.
    """
    parts = [_title(manifest, about, size), _use(manifest), _quality(manifest), _classes(about), _training(about)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _title(manifest: Mapping[str, Any], about: Mapping[str, Any], size: int) -> str:
    given, scale = about["input"], about["normalisation"]
    pixels = "pictures of any size" if given["size"] is None else "{} x {} pixels".format(*reversed(given["size"]))
    kind = "grey" if given["channels"] == 1 else "colour"
    return (
        f"# {manifest['name']}\n\n"
        f"{manifest['summary']}. {DOES[about['task']].format(count=len(about['classes']))}. {size / 1e6:,.2f} MB.\n\n"
        f"Input: {pixels}, {kind}, values in [0, 1] minus {_numbers(scale['mean'])}, divided by "
        f"{_numbers(scale['deviation'])}."
    )


def _use(manifest: Mapping[str, Any]) -> str:
    place = f"{manifest['name']}.zip"
    predict = command("predict", place).strip()
    if manifest["kind"] == "images-onnx":
        install = "pip install numpy pillow onnxruntime\npip install --no-deps mulde  # no torch"
        return f"## Use\n\n```\n{install}\n{predict} photo.jpg\n```"
    python = f'model = mulde.vision.load("{place}")\nlogits = model(model.transform("photo.jpg").unsqueeze(0))'
    return f"## Use\n\n```\n{predict} photo.jpg\n```\n\n```python\nimport mulde.vision\n\n{python}\n```"


def _quality(manifest: Mapping[str, Any]) -> str:
    if not manifest["metrics"]:
        return "## Quality\n\nNot measured, because the data were not found."
    names = list(dict.fromkeys(name for values in manifest["metrics"].values() for name in values))
    lines = ["| part | weights | " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    lines.append("|---|---|" + "---:|" * len(names))
    for label, source in (("before", manifest["metrics_before"]), (manifest["stored"], manifest["metrics"])):
        if label == "before" and source == manifest["metrics"]:
            continue
        for part, values in source.items():
            lines.append(f"| {part} | {label} | " + " | ".join(f"{values[name]:.4f}" for name in names) + " |")
    return "## Quality\n\n" + "\n".join(lines)


def _classes(about: Mapping[str, Any]) -> str:
    names = about["classes"]
    if not names or about["task"] == "embed":
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"## Classes\n\n{', '.join(names[:SHOWN])}{more}"


def _training(about: Mapping[str, Any]) -> str:
    lines = [f"- method: {about['method']}", f"- data: {about['data']['name']}, checksum `{about['data']['checksum']}`"]
    settings = without_folders(about.get("settings", {}))
    lines += [f"- {name}: {value}" for name, value in _flat(settings) if name not in NOT_SHOWN]
    return "## Training\n\n" + "\n".join(lines)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _numbers(values: list[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
