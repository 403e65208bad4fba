"""Write the trained network as the file that the package ships."""

import warnings
from pathlib import Path

import torch
from network import Network
from torch import Tensor, nn


class WithProbabilities(nn.Module):
    """The network with probabilities in place of logits."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor) -> Tensor:
        """Return (N, 2, Y, X), 0 to 1: nucleus and depth; contact is used only in training."""
        return torch.sigmoid(self.network(planes))[:, :2]


def export(network: Network, path: Path) -> None:
    """Write the network as ONNX; Y and X stay free."""
    sides = {2: "y", 3: "x"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the newer exporter needs a compiler
        torch.onnx.export(
            WithProbabilities(network).eval(),
            (torch.zeros(1, 2, 64, 96),),
            path,
            input_names=["planes"],
            output_names=["maps"],
            dynamic_axes={"planes": sides, "maps": sides},
            opset_version=17,
            dynamo=False,
        )
