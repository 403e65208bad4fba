"""Make the pictures of the documentation from the demonstration's results: python docs/pictures.py (needs Chromium)."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
# the page below results/, a place on it, and the height of the picture
PICTURES = {
    "patient-report": ("patients/P01/report.html", "header", 1180),
    "sample-gallery": ("samples/P02_1/report.html", "#gallery", 860),
}


def main() -> None:
    """Photograph each page at its place."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (page_path, place, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1200, "height": height})
            page.goto((ROOT / "results" / page_path).as_uri())
            page.locator(place).first.evaluate("element => element.scrollIntoView()")
            page.screenshot(path=ROOT / "docs" / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
