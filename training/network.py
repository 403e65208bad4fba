"""The network: a small U-Net from two planes to three, with half the resolution inside."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (24, 40, 64, 96)


class Twice(nn.Sequential):
    """Two 3 x 3 convolutions, each normalised and rectified."""

    def __init__(self, inside: int, out: int) -> None:
        super().__init__()
        for n in (inside, out):
            self.append(nn.Conv2d(n, out, 3, padding=1, bias=False))
            self.append(nn.BatchNorm2d(out))
            self.append(nn.ReLU(inplace=True))


class Network(nn.Module):
    """A U-Net of 0.36 million parameters.

    Notes
    -----
    At the input, 2 x 2 pixels become four channels of one pixel, and the reverse at the output, so that the first and
    most expensive convolutions see a quarter of the pixels. Skips are added, not stacked, for the same reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(Twice(n, out) for n, out in zip((8, *WIDTHS[:-1]), WIDTHS, strict=True))
        self.narrow = nn.ModuleList(nn.Conv2d(n, out, 1) for out, n in pairwise(WIDTHS))
        self.up = nn.ModuleList(Twice(n, n) for n in WIDTHS[:-1])
        self.head = nn.Conv2d(WIDTHS[0], 12, 1)

    def forward(self, planes: Tensor) -> Tensor:
        """Return (N, 3, Y, X) logits of nucleus, depth and contact from (N, 2, Y, X); Y and X are multiples of 16."""
        x = functional.pixel_unshuffle(planes, 2)
        skips = []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else functional.max_pool2d(x, 2))
            skips.append(x)
        for i in reversed(range(len(self.up))):
            wide = functional.interpolate(self.narrow[i](x), scale_factor=2.0, mode="nearest")
            x = self.up[i](wide + skips[i])
        return functional.pixel_shuffle(self.head(x), 2)
