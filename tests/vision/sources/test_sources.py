"""Networks by specification: run folders, weights, Python, ONNX, and packages that may be installed."""

from __future__ import annotations

import copy
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mulde.engine import is_frozen
from mulde.errors import UsageError
from mulde.vision.models import Adapted, network
from mulde.vision.models.own_classes import WithClasses
from mulde.vision.models.own_input import WithOwnInput
from mulde.vision.models.two_stage import TwoStageDetector
from mulde.vision.sources import open_network, specification
from mulde.vision.sources.weights import renamed_key
from mulde.vision.storage.student import Student, save_student

CLASSES = ("cat", "dog", "sea horse")
PIXELS = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
MEAN, DEVIATION = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1), torch.tensor([0.2, 0.2, 0.3]).view(1, 3, 1, 1)
IMAGES = (PIXELS - MEAN) / DEVIATION
SAME = ",mean=.5,.4,.3,std=.2,.2,.3"


def opened(spec: Any, role: str = "teacher", channels: int = 3, **options: Any) -> Any:
    scale = tuple(x[:, :channels] for x in (MEAN, DEVIATION))
    return open_network(spec, role, **{"classes": CLASSES, "channels": channels, "size": 8, "scale": scale, **options})


def logits(net: nn.Module, images: Tensor = IMAGES) -> Tensor:
    with torch.no_grad():
        found: Tensor = net(images).logits
    return found


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def fresh(name: str, classes: int = 3, **options: Any) -> Any:
    """A network in eval mode whose normalisation has statistics of its own."""
    torch.manual_seed(1)
    net = network(name, classes, **options)
    net(torch.randn(16, options.get("input_channels", 3), 8, 8))
    return net.eval()


def in_other_code(key: str) -> str:
    """The key of a tensor of ours in widely used code, under DataParallel."""
    key = re.sub(r"^stages\.(\d+)\.", lambda match: f"layer{int(match[1]) + 1}.", key)
    for ours, theirs in (
        ("stem.0", "conv1"), ("stem.1", "bn1"), ("classifier", "linear"), ("shortcut", "downsample"),
        ("first_norm", "bn1"), ("second_norm", "bn2"), ("third_norm", "bn3"),
        ("first", "conv1"), ("second", "conv2"), ("third", "conv3"),
    ):  # fmt: skip
        key = key.replace(ours, theirs)
    return f"module.{key}"


@pytest.mark.parametrize("name", ["resnet8", "resnet8-padded"])
def test_weights_under_the_names_of_other_code(name: str, tmp_path: Path) -> None:
    """Shortcuts without weights are found by their absence; the keys are those of DataParallel."""
    net = fresh(name)
    path = tmp_path / "weights.th"
    torch.save({"epoch": 3, "state_dict": {in_other_code(k): v for k, v in net.state_dict().items()}}, path)
    found = opened(f"{name.removesuffix('-padded')}:{path}{SAME}")
    assert torch.equal(logits(found), logits(net)) and is_frozen(found) and not found.training


def test_names_of_layers_in_torchvision() -> None:
    with torch.device("meta"):
        keys = network("imagenet-resnet50", 3).state_dict().keys()
    theirs = [in_other_code(key).removeprefix("module.") for key in keys]
    assert {"layer1.0.downsample.1.weight", "layer4.2.conv3.weight", "layer3.5.bn2.bias"} <= set(theirs)
    assert [renamed_key(key) for key in theirs] == list(keys)


def test_weights_of_wide_residual_networks_and_of_ours(tmp_path: Path) -> None:
    net = fresh("wrn-10-1")
    other = {
        re.sub(r"^stages\.(\d)\.(\d)\.", lambda m: f"block{int(m[1]) + 1}.layer.{m[2]}.", key)
        .replace("first_norm", "bn1").replace("second_norm", "bn2").replace("first", "conv1")
        .replace("second", "conv2").replace("shortcut", "convShortcut").replace("stem", "conv1")
        .replace("last.0", "bn1").replace("classifier", "fc"): value
        for key, value in net.state_dict().items()
    }  # fmt: skip
    torch.save(other, tmp_path / "other.pth")
    torch.save(net.state_dict(), tmp_path / "ours.pth")
    for file in ("other.pth", "ours.pth"):
        assert torch.equal(logits(opened(f"wrn-10-1:{tmp_path / file}{SAME}")), logits(net))
    grey = fresh("resnet8", input_channels=1, channels=4)  # other sizes are read from the weights
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    found = opened(f"resnet8:{tmp_path / 'grey.pth'},mean=.1,std=.2")
    close(logits(found), logits(grey, (PIXELS.mean(1, keepdim=True) - 0.1) / 0.2))


class Dangerous:
    def __reduce__(self) -> Any:
        return print, ("unpickled",)


def test_files_that_are_no_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    torch.save(fresh("resnet8").state_dict(), path)
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Dangerous()}))
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    for spec, message in (
        (
            f"resnet14:{path}",
            r"not the weights of resnet14: without stages\.0\.1\.first\.weight, .* more; name another",
        ),
        (f"wrn-10-1:{path}", "not the weights of wrn-10-1: without .*; with unknown .*; with other shapes: "),
        (f"resnet8:{tmp_path / 'bad.pth'}", "expected a state dict that opens without unpickling, got UnpicklingError"),
        (f"resnet8:{tmp_path / 'empty.pth'}", "expected a state dict, found dict without tensors"),
        ("resnet8:none.pth", "none.pth does not exist; expected a file with the weights of resnet8"),
        (str(path), r"weights of which network\? Write NAME:"),
        ("resnet8", "would have new weights, and a teacher must be trained; give weights as resnet8:PATH"),
        ("nothing", "no file, folder or network of this name; expected a network like cnn-8-16-32"),
        ("models.py", r"which network in this file\? Write models\.py:NAME"),
        (f"resnet8:{path},siz=3", 'no option called "siz"; nearest: size'),
        (f"resnet8:{path},mean=.1", "expected both mean and std"),
        (f"resnet8:{path},mean=a,std=1", "expected numbers for mean, got a"),
        (f"resnet8:{path},mean=.1,.2,std=.1,.1", "expected mean and std of 3 channels, got 2 values"),
        (f"resnet8:{path},stages=stem", "returns features of its own; leave out stages and pooled"),
    ):
        with pytest.raises(UsageError, match=message):
            opened(spec)
    assert "unpickled" not in capsys.readouterr().out


def test_options_have_values_for_every_channel() -> None:
    found = specification("onnx:a.onnx,mean=.1,.2,.3,std=1,1,1,stages=a.b,c,size=32")
    assert (found.kind, found.place, found.options["stages"]) == ("onnx", "a.onnx", ("a.b", "c"))
    assert found.input.mean == (0.1, 0.2, 0.3) and found.input.size == (32, 32)


def saved(folder: Path, net: nn.Module, classes: tuple[str, ...], task: Any = "classify") -> str:
    student = Student(net, task, classes, 3, (12, 12), (0.1, 0.2, 0.3), (0.5, 0.5, 0.25))
    data = {"source": "shapes", "name": "shapes", "checksum": "0" * 64}
    save_student(folder, student, {"method": "supervised", "data": data})
    return str(folder)


def test_a_run_has_its_own_normalisation_size_and_order_of_classes(tmp_path: Path) -> None:
    """Equal to the network on pixels that are resized and normalised as it was trained, its columns by name."""
    net, said = fresh("cnn-4-6", 4), list[str]()
    place = saved(tmp_path / "run", net, ("Sea_Horse", "cat", "cow", "dog"))
    found = opened(place, report=said.append)
    own = torch.nn.functional.interpolate(PIXELS, (12, 12), mode="bilinear", antialias=True)
    own = (own - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.5, 0.5, 0.25]).view(1, 3, 1, 1)
    close(logits(found), logits(net, own)[:, [1, 3, 0]])
    assert found.widths == (4, 6) and len(said) == 1 and "3 of the 4 classes" in said[0]
    again = copy.deepcopy(found)
    assert torch.equal(logits(again), logits(found)) and again.state_dict().keys() == found.state_dict().keys()


def test_a_learner_takes_the_images_as_they_are(tmp_path: Path) -> None:
    net, said = fresh("cnn-4-6"), list[str]()
    found = opened(saved(tmp_path / "run", net, CLASSES), "student", report=said.append)
    assert found.training and not is_frozen(found) and all(each.requires_grad for each in found.parameters())
    assert torch.equal(logits(found.eval()), logits(net))
    assert said and "another normalisation; it continues with that of the data" in said[0]
    first, second = (opened("cnn-4-6", "student", seed=seed) for seed in (0, 0))
    assert torch.equal(logits(first), logits(second))
    assert not torch.equal(logits(first), logits(opened("cnn-4-6", "student", seed=1)))


def test_a_detector_has_its_own_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = TwoStageDetector(network("cnn-4-6", 1), 3, width=6, hidden=8, sides=(4.0,), bins=2).eval()
    place = saved(tmp_path / "run", detector, CLASSES, "detect")
    found = opened(place)
    own = (PIXELS - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.5, 0.5, 0.25]).view(1, 3, 1, 1)
    with torch.no_grad():
        close(found(IMAGES).logits, detector(own).logits)
    assert found.trunk.widths == (4, 6)
    with pytest.raises(UsageError, match="detectors teach their own classes, in the same order"):
        opened(place, classes=("dog", "cat", "sea horse"))


MODELS = """
import torch
from torch import nn
class Net(nn.Module):
    mean, std, size = (0.1, 0.2, 0.3), 0.5, 6
    def __init__(self, classes=3):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 7, 3, 2, 1))
        self.head = nn.Linear(7, classes)
    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))
torch.manual_seed(0)
made = Net()
def teacher(): return made
def wide(): return Net(5)
def sums(images): return images.sum((2, 3))
def pair(images): return images, images
class Two(nn.Module):
    def forward(self, images): return {"logits": images}
def needs(a, b): return made
number = 3
def broken(): return 1 / 0
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_models.py").write_text(MODELS)
    return tmp_path / "my_models.py"


def test_python(models: Path) -> None:
    for name in ("my_models.py:made", "my_models.py:teacher", "my_models:teacher"):
        found = opened(f"{name},stages=body.1,body.2,pooled=body.2")
        made = found.network.module
        own = torch.nn.functional.interpolate(PIXELS, (6, 6), mode="bilinear", antialias=True)
        own = (own - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / 0.5
        with torch.no_grad():
            close(found(IMAGES).logits, made(own))
            assert [stage.shape[1:] for stage in found(IMAGES).stages] == [(5, 3, 3), (7, 2, 2)]
        assert found.widths == (5, 7)
        given = opened(made)  # the module itself
        close(logits(given), found(IMAGES).logits)
        assert not is_frozen(made) and given.network.module is not made
    student = opened("my_models.py:Net", "student")
    assert isinstance(student, Adapted) and student.training
    assert opened("my_models.py:Net", "student", classes=[*CLASSES, "bird"]).module.head.out_features == 4
    function = opened(f"my_models.py:sums{SAME}")
    assert torch.equal(logits(copy.deepcopy(function)), IMAGES.sum((2, 3))) and function.state_dict()


def test_python_that_is_no_network(models: Path) -> None:
    for name, role, message in (
        ("pair", "teacher", r"expected a module that returns logits \(images, classes\), got tuple"),
        ("Two", "teacher", "expected a module that returns logits .*, got dict"),
        ("needs", "teacher", "one that makes a network from classes, channels and size; it asks for a, b"),
        ("number", "teacher", "expected an nn.Module or a function, got int"),
        ("broken", "teacher", "broken ended in ZeroDivisionError"),
        ("none", "teacher", "my_models.py has nothing called none"),
        ("sums", "student", "is a function of images, and has nothing that learns; give an nn.Module"),
        ("made,stages=body.9", "teacher", 'no layer called "body.9"; nearest: body'),
    ):
        with pytest.raises(UsageError, match=message):
            opened(f"my_models.py:{name}", role)
    grey = opened("my_models.py:made", channels=1)  # repeated to three channels
    assert logits(grey, IMAGES[:, :1]).shape == (4, 3)
    with pytest.raises(UsageError, match="the network takes 3 channels, and the images have 4"):
        open_network("my_models.py:made", "teacher", classes=CLASSES, channels=4)


def test_other_classes_leave_features_only(models: Path, tmp_path: Path) -> None:
    said = list[str]()
    wide = opened("my_models.py:wide,stages=body.2", report=said.append)
    assert logits(wide).shape == (4, 0) and "has 5 classes, and the data have 3; it teaches by its features" in said[-1]
    other = opened(saved(tmp_path / "run", fresh("cnn-4-6"), ("cat", "dog", "cow")), report=said.append)
    assert logits(other).shape == (4, 0) and "does not have the classes sea horse of the data" in said[-1]
    assert isinstance(opened(f"{tmp_path / 'run'},classes=dog,cat,sea horse"), WithClasses)
    named = opened(f"my_models.py:made,classes=dog,cat,sea horse{SAME}")
    assert torch.equal(logits(named), logits(opened(f"my_models.py:made{SAME}"))[:, [1, 0, 2]])
    with pytest.raises(UsageError, match="has 3 logits, but 2 names of classes"):
        opened("my_models.py:made,classes=dog,cat")


@pytest.fixture
def onnx_file(tmp_path: Path) -> Callable[..., str]:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")

    def write(rows: int | str = "b", size: int | str = "h") -> str:
        """Averages over positions, and logits that are twice these."""
        nodes = [
            onnx.helper.make_node("GlobalAveragePool", ["images"], ["pool"]),
            onnx.helper.make_node("Flatten", ["pool"], ["flat"]),
            onnx.helper.make_node("Add", ["flat", "flat"], ["logits"]),
        ]
        kind = onnx.TensorProto.FLOAT
        values = [("images", [rows, 3, size, size]), ("pool", [rows, 3, 1, 1]), ("logits", [rows, 3])]
        image, pool, out = (onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in values)
        graph = onnx.helper.make_graph(nodes, "g", [image], [out, pool])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, tmp_path / "teacher.onnx")
        return str(tmp_path / "teacher.onnx")

    return write


def test_onnx(onnx_file: Callable[..., str], tmp_path: Path) -> None:
    found = opened(f"{onnx_file()},pooled=pool{SAME}")
    expected = IMAGES.mean((2, 3))
    features = copy.deepcopy(found)(IMAGES)
    close(features.pooled, expected), close(features.logits, 2 * expected)
    assert found.widths == (3,)
    fixed = opened(f"onnx:{onnx_file(3, 5)},mean=0,std=1")  # batches of three, 5 x 5 pixels
    own = torch.nn.functional.interpolate(PIXELS, (5, 5), mode="bilinear", antialias=True)
    close(logits(fixed), 2 * own.mean((2, 3)))
    with pytest.raises(UsageError, match='no output called "x"; there are logits, pool'):
        opened(f"{onnx_file()},pooled=x")
    with pytest.raises(UsageError, match=r"student: .* is an ONNX file, which cannot learn"):
        opened(onnx_file(), "student")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(UsageError, match=r"bad\.onnx: onnxruntime cannot open it"):
        opened(str(tmp_path / "bad.onnx"))


class Pretrained(nn.Module):
    """Stands for a network of a package: averages over positions, of so many classes."""

    pretrained_cfg = {"label_names": ["dog", "cat", "sea horse"]}
    config = SimpleNamespace(id2label={0: "dog", 1: "cat", 2: "sea horse"})

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, images: Tensor) -> Any:
        return self.head(images.mean((2, 3)))


class Processed(Pretrained):
    def forward(self, images: Tensor) -> Any:
        return SimpleNamespace(logits=super().forward(images))


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Packages with the functions that are called, which check their arguments."""

    def module(name: str, **content: Any) -> ModuleType:
        made = ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return made

    def create_model(name: str, pretrained: bool, num_classes: int = 3, in_chans: int = 3) -> nn.Module:
        if name != "tiny":
            raise RuntimeError(f"Unknown model ({name})")
        return Pretrained(num_classes)

    config = {"input_size": (3, 4, 4), "mean": (0.1, 0.1, 0.1), "std": (0.5, 0.5, 0.5)}
    module("timm", create_model=create_model)
    module("timm.data", resolve_model_data_config=lambda net: config)
    shown = SimpleNamespace(crop_size=[4], mean=[0.1] * 3, std=[0.5] * 3)
    default = SimpleNamespace(transforms=lambda: shown, meta={"categories": ["dog", "cat", "sea horse"]})
    models = SimpleNamespace(
        get_model=lambda name, weights=None, num_classes=3: Pretrained(num_classes),
        get_model_weights=lambda name: {"tiny": SimpleNamespace(DEFAULT=default)}[name],
    )
    module("torchvision", models=models)

    def classifier(place: Path, num_labels: int = 3, **options: Any) -> nn.Module:
        assert place == folder and options["use_safetensors"] and not options["trust_remote_code"]
        return Processed(num_labels)

    processor = SimpleNamespace(image_mean=[0.1] * 3, image_std=[0.5] * 3, size={"height": 4, "width": 4})
    module(
        "transformers",
        AutoModelForImageClassification=SimpleNamespace(from_pretrained=classifier),
        AutoImageProcessor=SimpleNamespace(from_pretrained=lambda place, **options: processor),
    )


@pytest.mark.parametrize("kind", ["timm", "torchvision", "hf"])
def test_packages_that_may_be_installed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(tmp_path) if kind == "hf" else "tiny"
    monkeypatch.setitem(sys.modules, {"hf": "transformers"}.get(kind, kind), None)
    with pytest.raises(UsageError, match=r"needs \w+, which is not installed; install it with `pip install \w+`"):
        opened(f"{kind}:{name}")
    installed(monkeypatch, tmp_path)
    found = opened(f"{kind}:{name}")
    inner = found.network
    assert isinstance(found, WithClasses) and isinstance(inner, WithOwnInput) and inner.size == (4, 4)
    own = (torch.nn.functional.interpolate(PIXELS, (4, 4), mode="bilinear", antialias=True) - 0.1) / 0.5
    close(logits(found), logits(inner.network, own)[:, [1, 0, 2]])
    student = opened(f"{kind}:{name}", "student", classes=[*CLASSES, "bird"])
    assert logits(student).shape == (4, 4) and student.training
    with pytest.raises(UsageError, match=r"names are listed by|expected a folder with config"):
        opened(f"{kind}:none")
