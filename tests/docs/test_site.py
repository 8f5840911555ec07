"""The site is built strictly; links lead somewhere, nothing comes from elsewhere, pages say what they are.

Owns one build for all tests of this file. The HTML is read by the standard library, not by what made it.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


class Read(HTMLParser):
    """What one page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.description = ""
        self.headings = 0
        self.titles = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        self.ids |= {have[name] for name in ("id", "name") if have.get(name)}
        if tag == "a" and have.get("href"):
            self.links.append(have["href"])
        if tag == "link" and have.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(have.get("href", ""))
        if tag in LOADED and have.get(LOADED[tag]):
            self.loaded.append(have[LOADED[tag]])
        if tag == "meta" and have.get("name") == "description":
            self.description = have.get("content", "")
        self.headings += tag == "h1"
        self.titles += tag == "title"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr  # --quiet would hide warnings from --strict, too
    return place


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Read]:
    pages = {path: Read(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) >= 70
    return pages


def test_every_link_leads_to_a_file_and_every_anchor_to_a_place_in_it(
    site: Path, read: dict[Path, Read]
) -> None:
    broken = []
    for page, found in read.items():
        if page.name == "404.html":
            continue  # served at any address; its links begin at the root
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if target.is_dir():
                target /= "index.html"
            lost = not target.is_file()
            anchor = unquote(parts.fragment)
            if not lost and anchor and target in read:
                lost = anchor not in read[target].ids
            if lost:
                broken.append(f"{page.relative_to(site)}: {link}")
    assert broken == []


def test_no_page_loads_anything_from_another_host(site: Path, read: dict[Path, Read]) -> None:
    foreign = [
        f"{page.relative_to(site)}: {place}"
        for page, found in read.items()
        for place in found.loaded
        if "//" in place and not place.startswith("data:")
    ]
    assert foreign == []
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "@import" not in text, style
        assert "url(http" not in text, style
        assert "url(//" not in text, style


def test_every_page_has_a_title_one_heading_and_a_description(site: Path, read: dict[Path, Read]) -> None:
    poor = [
        f"{page.relative_to(site)}: {found.titles} titles, {found.headings} headings, {found.description!r}"
        for page, found in read.items()
        if page.name != "404.html"
        if found.titles != 1 or found.headings != 1 or len(found.description) < 10
    ]
    assert poor == []


def test_every_page_of_docs_is_in_the_site_and_so_are_the_pages_that_are_made(site: Path) -> None:
    docs = ROOT / "docs"
    for page in docs.rglob("*.md"):
        place = page.relative_to(docs).with_suffix(".html")
        assert (site / place).exists() or (site / place).with_name("index.html").exists(), place
    for made in ("benchmarks/index", "reference/commands", "reference/api", "reference/core"):
        assert (site / f"{made}.html").is_file()


def test_the_figures_are_those_of_the_results_and_the_reference_that_of_the_code(site: Path) -> None:
    figures = (site / "benchmarks" / "index.html").read_text(encoding="utf-8")
    assert figures.count("<table>") == len(list((ROOT / "bench" / "results").glob("*.json")))
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert "--override" in commands
    api = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert 'id="bellwire.api.open_lab"' in api


def test_a_link_to_a_file_of_the_repository_that_is_not_there_is_a_warning_of_the_build(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hooks = runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))
    told = hooks["_leaving"](
        "see [the clock](../bellwire/nowhere.py), [README](../README.md#figures)\n", "gem.md"
    )
    assert told == "see the clock (`bellwire/nowhere.py`), README (`README.md`)\n"
    (warning,) = caplog.records
    assert (warning.levelname, warning.name.partition(".")[0]) == ("WARNING", "mkdocs")
    assert "../bellwire/nowhere.py" in warning.getMessage()
