"""Networks made again from their architecture, with new weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from mulde.errors import UsageError
from mulde.vision.models.adapted import Adapted
from mulde.vision.models.architecture import LAYERS, OWN
from mulde.vision.models.averaged import Averaged
from mulde.vision.models.blocks import CosineClassifier
from mulde.vision.models.exits import ExitHeads, ExitNetwork
from mulde.vision.models.jitnet import JITNetwork
from mulde.vision.models.networks import network
from mulde.vision.models.one_stage import AnchorDetector
from mulde.vision.models.projected import Projected
from mulde.vision.models.prototypes import PrototypeNetwork
from mulde.vision.models.two_stage import TwoStageDetector

IMPOSSIBLE = (TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError, LookupError)  # of bad arguments
CLASSES = (
    AnchorDetector, TwoStageDetector, JITNetwork, Projected, PrototypeNetwork, Adapted, Averaged, CosineClassifier,
    ExitNetwork, ExitHeads, *LAYERS,
)  # fmt: skip
MAKERS: dict[str, Callable[..., nn.Module]] = {
    "network": network,
    "Sequential": lambda layers: nn.Sequential(*layers),
    **{kind.__name__: kind for kind in CLASSES},
}


REMOVED = "classifier_removed"
MOST, MOST_LAYERS = 1 << 16, 100  # of any number in an architecture, of numbers of layers


def rebuild(architecture: Mapping[str, Any], own: nn.Module | None = None) -> nn.Module:
    """The network of an architecture, see `architecture_of`.

    Parameters
    ----------
    architecture
        Content of a JSON file.
    own
        Takes the place of a network of the user's.

    Raises
    ------
    UsageError
        If the architecture has a network of the user's and ``own`` is not given, or if it is not one of ours.
    """
    try:
        return _rebuilt(architecture, own)
    except RecursionError:
        raise UsageError("expected the architecture of a network, found one that is nested too deeply") from None


def _rebuilt(value: Any, own: nn.Module | None, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return _made(value, own)
    if isinstance(value, list):
        return [_rebuilt(item, own, key) for item in value]
    numbers = [value] if isinstance(value, int) else []
    if key == "name":
        numbers = [int(digits) for digits in re.findall("[0-9]+", str(value)[:100])]
    if max(numbers, default=0) > (MOST_LAYERS if key in ("stages", "extra", "tower") else MOST):
        raise UsageError(f"expected the architecture of a network, found {key} {str(value)[:100]}, which is too large")
    return value


def _made(architecture: Mapping[str, Any], own: nn.Module | None) -> nn.Module:
    maker = architecture.get("made_by")
    if maker == OWN:
        if own is None:
            raise UsageError(
                f"expected network=, because {str(architecture.get('name'))[:200]} is a network of your own, of which "
                "only the weights are stored; give a new network of this kind"
            )
        return own
    if maker not in MAKERS:
        raise UsageError(f"expected the architecture of a network, found one made by {str(maker)[:100]!r}")
    given = {name: value for name, value in architecture.items() if name not in ("made_by", REMOVED)}
    arguments = {name: _rebuilt(value, own, name) for name, value in given.items()}
    try:
        found = MAKERS[maker](**arguments)
    except IMPOSSIBLE as error:
        reason = str(error).splitlines()[0][:200]
        raise UsageError(f"expected the architecture of a network, but {maker} cannot be made ({reason})") from error
    if architecture.get(REMOVED):
        found.classifier = nn.Identity()
    return found
