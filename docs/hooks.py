"""What mkdocs does beyond the pages of this folder: pages made from the code, and pages that lie elsewhere.

README.md, config/README.md and others stay where a reader of the repository looks for them and are pages of the site
as well. The reference is made by reference.py, and each room of the package gets a page of its public functions.
"""

import re
import runpy
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipeline" / "ctcascade"
ELSEWHERE = {
    "index.md": "README.md",
    "config.md": "config/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changes.md": "CHANGELOG.md",
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in this folder."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    for name, lines in runpy.run_path(str(ROOT / "docs" / "reference.py"))["PAGES"].items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines()) + "\n"))
    files.append(File.generated(config, "api/ctcascade.md", content="# ctcascade\n\n::: ctcascade.api\n"))
    for room in rooms():
        files.append(File.generated(config, f"api/{room.name}.md", content=api_page(room)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead each link to where its target is on the site; of a link to a file that is no page, keep the text."""
    own = ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def moved(link: re.Match[str]) -> str:
        image, text, target = link.groups()
        if ":" in target or target.startswith("#") or page.file.src_uri.startswith(("reference/", "api/")):
            return link.group()
        path, hash_sign, anchor = target.partition("#")
        found = (ROOT / own).parent.joinpath(path).resolve().relative_to(ROOT).as_posix()
        place = next((page for page, source in ELSEWHERE.items() if source == found), found.removeprefix("docs/"))
        return f"{image}[{text}]({place}{hash_sign}{anchor})" if files.get_file_from_path(place) else text

    return _LINK.sub(moved, markdown)


def rooms() -> list[Path]:
    """Return the folders of the package that hold modules."""
    return sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))


def api_page(room: Path) -> str:
    """Return the page of one room: each module with what it says about itself and its public functions."""
    paths = [path.relative_to(PACKAGE).with_suffix("") for path in sorted(room.rglob("*.py"))]
    modules = [f"ctcascade.{'.'.join(path.parts)}" for path in paths if path.name != "__init__"]
    return "\n\n".join([f"# ctcascade.{room.name}", *(f"::: {module}" for module in modules)]) + "\n"
