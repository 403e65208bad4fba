"""The trained network in integers of 8 bits, which take a third of the time.

``python training/quantize.py`` writes the weights that the package ships, from the network of floats that training
exported (``training/nuclei.onnx``). The ranges of its layers are those that images of the training part need.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ctcascade.images.background import correct
from ctcascade.images.learned import WEIGHTS, planes
from ctcascade.study.detection_settings import BackgroundSettings

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "shared" / "data" / "nuclei_dsb2018_train_full" / "train.npz"
A_GROUP = 12  # images of each group of the training part, at least
_STEP = 16


def main() -> None:
    """Write the network of 8 bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--floats", type=Path, default=HERE / "nuclei.onnx", help="network as training exported it")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="network to write")
    arguments = parser.parse_args()
    quantize(arguments.floats, arguments.out)


def quantize(floats: Path, out: Path) -> None:
    """Write a network of 8 bits from one of floats.

    Notes
    -----
    The first and the last layer stay in floats: with them in integers F1 falls by 0.01. The weights take 7 of their
    8 bits (`reduce_range`): with all 8 some processors cut off sums that others keep.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(floats), str(prepared), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(str(prepared)).graph.node if node.op_type == "Conv"]
        quantize_static(
            str(prepared),
            str(out),
            Shown(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MaxPool", "Relu", "Add", "Resize"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": False},
        )


class Shown(CalibrationDataReader):  # type: ignore[misc]
    """What the network is shown of images that it was trained on."""

    def __init__(self) -> None:
        self.images = _shown()

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next image's planes; None after the last."""
        seen = next(self.images, None)
        return None if seen is None else {"planes": seen}


def _shown() -> Iterator[NDArray[np.float32]]:
    split = json.loads((HERE / "split.json").read_text(encoding="utf-8"))
    with np.load(IMAGES) as data:
        for ids in split["train"].values():
            for i in ids[:: max(1, len(ids) // A_GROUP)]:
                channel = correct(data[f"x{i}"].astype(np.float32), 0.65, BackgroundSettings())
                seen = planes(channel.signal, channel.noise)
                rows, columns = (length // _STEP * _STEP for length in seen.shape[1:])
                yield np.ascontiguousarray(seen[None, :, :rows, :columns])


if __name__ == "__main__":
    main()
