"""One table of what the scripts of a folder found: for the verification suite and the benchmarks."""

import importlib.util
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

IMAGES = Path(__file__).parents[3] / "shared" / "data"
LIBRARIES = ("ctcascade", "numpy", "scipy", "scikit-image", "opencv-python-headless", "numba")


def table(folder: Path, pattern: str, header: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    """Print what `rows()` of each module of a folder returns under `header`, with the machine, and return it all."""
    print(f"{cpu()}, {platform.system()}, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    if not IMAGES.is_dir():
        print("../shared/data is not here: rows that need its real images say so")
    rows = []
    for path in sorted(folder.glob(pattern)):
        print(f"... {path.stem}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        rows += loaded(path).rows()
        print(f"    {time.perf_counter() - start:.0f} s", file=sys.stderr)
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(3)]
    for row in (header, tuple("-" * width for width in widths), *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return rows


def loaded(path: Path):
    """Return the module that a file holds, by the name under which a process that it starts finds it again."""
    name = f"{path.parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def cpu() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
