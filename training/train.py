"""Train the network of the learned segmenter and write its weights: `make weights`.

It learns from the images that ``split.json`` lists under ``train`` and from nothing else; those under ``validation``
show its progress. One core, one seed: the same machine gives the same weights again, another machine nearly the same.
"""

import argparse
import json
import logging
import math
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from crops import Image, crop, nuclei_of, truth
from export import export
from network import Network
from quantize import quantize
from torch import Tensor
from torch.nn import functional

from ctcascade.images.background import correct
from ctcascade.images.learned import WEIGHTS, planes
from ctcascade.study.detection_settings import BackgroundSettings

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "shared" / "data" / "nuclei_dsb2018_train_full"
STEPS = 5500
BATCH = 8
RATE = 3e-3
WARM_STEPS = 200
LOBED = 0.2  # share of crops with nuclei of several lobes ...
LOBED_FROM = 2500  # ... from this step
KEPT = 0.998  # of the running mean of the weights, a step

log = logging.getLogger("training")


def main() -> None:
    """Train, resuming where an earlier run stopped, and write the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of train.npz")
    parser.add_argument("--work", type=Path, default=HERE / "work", help="folder of checkpoints, to go on from")
    parser.add_argument("--out", type=Path, default=HERE / "nuclei.onnx", help="network of floats to write")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="network of 8 bits to write, which is shipped")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(1)
    split = json.loads((HERE / "split.json").read_text(encoding="utf-8"))
    with np.load(arguments.images / "train.npz") as data:
        known, held = (
            [Image.of(data[f"x{i}"], data[f"y{i}"]) for i in sorted(chain(*split[part].values()))]
            for part in ("train", "validation")
        )
        sizes = [(len(ids), i) for ids in split["train"].values() for i in ids]
    weights = np.array([1 / np.sqrt(n) for n, _ in sorted(sizes, key=lambda pair: pair[1])])
    export(train(known, weights / weights.sum(), held, arguments.work), arguments.out)
    quantize(arguments.out, arguments.weights)


def train(known: list[Image], weights: Any, held: list[Image], work: Path) -> Network:
    """Run the remaining steps, with a checkpoint every 500; return the network of the running mean."""
    network, mean = Network().to(memory_format=torch.channels_last), Network()
    mean.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    first = 0
    if (work / "last.pt").exists():
        kept = torch.load(work / "last.pt", weights_only=True)
        network.load_state_dict(kept["network"])
        mean.load_state_dict(kept["mean"])
        optimiser.load_state_dict(kept["optimiser"])
        first = kept["step"]
    bank = [nucleus for image in known for nucleus in nuclei_of(image)]
    log.info("%d images, %d nuclei, %d parameters", len(known), len(bank), sum(p.numel() for p in network.parameters()))
    began, total = time.monotonic(), 0.0
    for step in range(first, STEPS):
        rng = np.random.default_rng([1, step])
        lobed = LOBED if step >= LOBED_FROM else 0.0
        pairs = [crop(known, weights, bank, rng, lobed) for _ in range(BATCH)]
        seen, true = (torch.from_numpy(np.stack(each)) for each in zip(*pairs, strict=True))
        warm = min(1.0, (step + 1) / WARM_STEPS)
        for group in optimiser.param_groups:
            group["lr"] = RATE * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / STEPS)))
        with torch.autocast("cpu", torch.bfloat16):
            found = network(seen.contiguous(memory_format=torch.channels_last))
        cost = loss(found.float(), true)
        optimiser.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        follow(mean, network, min(KEPT, (step + 1) / (step + 10)))
        total += float(cost.detach())
        if (step + 1) % 100 == 0:
            log.info("step %d  loss %.4f  %.0f s", step + 1, total / 100, time.monotonic() - began)
            total = 0.0
        if (step + 1) % 500 == 0 or step + 1 == STEPS:
            log.info("step %d  validation loss %.4f", step + 1, validation(mean, held))
            state = {"network": network.state_dict(), "mean": mean.state_dict(), "step": step + 1}
            torch.save({**state, "optimiser": optimiser.state_dict()}, work / "last.pt")
            torch.save(mean.state_dict(), work / f"mean_{step + 1:05d}.pt")
    return mean


def loss(found: Tensor, true: Tensor) -> Tensor:
    """Return the cost of (N, 3, Y, X) logits against the (N, 4, Y, X) truth, weighted by pixel."""
    weight = true[:, 3]
    nucleus = functional.binary_cross_entropy_with_logits(found[:, 0], true[:, 0], reduction="none")
    contact = functional.binary_cross_entropy_with_logits(found[:, 2], true[:, 2], reduction="none")
    depth = (torch.sigmoid(found[:, 1]) - true[:, 1]).abs()
    return ((nucleus + 2 * depth + 0.5 * contact) * weight).mean()


@torch.no_grad()
def follow(mean: Network, network: Network, kept: float) -> None:
    """Move the running mean towards the network."""
    latest = network.state_dict()
    for name, value in mean.state_dict().items():
        if value.dtype.is_floating_point:
            value.lerp_(latest[name], 1 - kept)


@torch.no_grad()
def validation(network: Network, held: list[Image]) -> float:
    """Return the mean loss over the unchanged images."""
    network.eval()
    costs = []
    for image in held:
        sides = tuple(length // 16 * 16 for length in image.pixels.shape)
        channel = correct(image.pixels, 0.65, BackgroundSettings())
        seen = planes(channel.signal, channel.noise)[:, : sides[0], : sides[1]]
        true = truth(image.labels)[:, : sides[0], : sides[1]]
        costs.append(float(loss(network(torch.from_numpy(seen)[None]), torch.from_numpy(true)[None])))
    network.train()
    return float(np.mean(costs))


if __name__ == "__main__":
    main()
