"""Make the pictures of the documentation from the demonstration's results: python docs/pictures.py [RESULTS].

The results are those of `snakemake all recovery validation cohort`.
"""

import shutil
import sys
from pathlib import Path

import cv2
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
WIDTH, LARGEST = 880, 300_000
# the page below results/, a place on it, width and height of the window, and the colours
PICTURES = {
    "patient-report": ("patients/P01/report.html", "header", 1200, 1180, "light"),
    "patient-organs": ("patients/P01/report.html", "section:has(#organs)", 1200, 1000, "light"),
    "patient-phone": ("patients/P01/report.html", "header", 390, 1300, "dark"),
    "patient-refused": ("patients/P03/report.html", "header", 1200, 900, "light"),
    "sample-slide": ("samples/P02_1/report.html", "section:has(#slide)", 1200, 1000, "light"),
    "sample-gallery": ("samples/P02_1/report.html", "#gallery", 1200, 860, "light"),
    "sample-dark": ("samples/P02_1/report.html", "header", 1200, 860, "dark"),
    "cohort": ("index.html", "header", 1280, 1180, "light"),
    "recovery": ("recovery/cellsearch.html", "header", 1200, 1100, "light"),
    "validation": ("validation/cellsearch.html", "header", 1200, 1180, "light"),
    "follow-up": ("cohort.html", "header", 1200, 900, "light"),
}


def main() -> None:
    """Photograph each page at its place, no wider than `WIDTH` pixels and in a file no larger than `LARGEST` bytes."""
    results = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "results"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (page_path, place, width, height, scheme) in PICTURES.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto((results / page_path).resolve().as_uri())
            page.locator(place).first.evaluate("element => element.scrollIntoView()")
            path = ROOT / "docs" / f"{name}.png"
            page.screenshot(path=path)
            page.close()
            _shrink(path)
        browser.close()


def _shrink(path: Path) -> None:
    image = cv2.imread(str(path))
    if image.shape[1] > WIDTH:
        size = (WIDTH, round(image.shape[0] * WIDTH / image.shape[1]))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    size_bytes = path.stat().st_size
    if size_bytes > LARGEST:
        sys.exit(f"{path.name}: {size_bytes} bytes, more than {LARGEST}; choose a lower window")


if __name__ == "__main__":
    main()
