"""Hooks of MkDocs: what the site has beyond the files of docs/.

Owns pages that are made from something else (figures, commands, docstrings), the list of decisions, a
description for every page, and links that leave docs/. Refuses to copy anything by hand, and a link to a file
of the repository that does not exist.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
LOG = logging.getLogger("mkdocs.hooks.bellwire")  # a warning of it fails a strict build
DESCRIPTION_LETTERS = 300


def _neighbour(path: Path) -> Any:
    """A file of this repository as a module; nothing is installed for the site."""
    name = f"bellwire_site_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def generated() -> dict[str, str]:
    """Path in the site -> Markdown, of every page that is made from something else."""
    made = _neighbour(DOCS / "site" / "made_pages.py")
    pages: dict[str, str] = made.pages(ROOT)
    return pages


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out entries without a file, and list the decisions."""
    present = {*generated(), *(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))}
    kept = []
    for section in config.nav or ():
        ((title, entries),) = section.items()
        if title == "Decisions":
            entries = [*entries, *(f"adr/{path.name}" for path in sorted((DOCS / "adr").glob("[0-9]*.md")))]
        kept.append({title: [entry for entry in entries if _target(entry) in present]})
    config.nav = kept
    return config


def _target(entry: Any) -> str:
    return str(entry if isinstance(entry, str) else next(iter(entry.values())))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for place, text in generated().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Say what the page is about in its head, name files of the repository, and set lists apart."""
    markdown = _outside_fences(markdown, lambda text: _leaving(text, page.file.src_uri))
    page.meta.setdefault("description", described(markdown) or str(page.title))
    return markdown


def described(markdown: str) -> str:
    """The first paragraph, as plain words."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"<!--.*?-->", "", markdown, flags=re.S)):
        if re.match(r"\s*[A-Z`*\[]", paragraph):
            words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", paragraph)
            plain = " ".join(re.sub(r"[`*]", "", words).split())
            return plain if len(plain) <= DESCRIPTION_LETTERS else plain[: DESCRIPTION_LETTERS - 1] + "…"
    return ""


def _outside_fences(markdown: str, change: Any) -> str:
    parts = re.split(r"(^ *```.*?^ *```$)", markdown, flags=re.M | re.S)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def _title(place: Path) -> str:
    """What a page calls itself, for links that name its file; the file's name where it is no page."""
    if place.suffix != ".md" or not place.exists():
        return place.name
    return place.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").partition(":")[0]


def _leaving(text: str, page: str) -> str:
    """Links that leave docs/ become paths of the repository; lists get the empty line that Markdown wants."""

    def named(match: re.Match[str]) -> str:
        label, target = match[1], match[2].partition("#")[0]
        place = (DOCS / page).parent / target
        resolved = place.resolve()
        if "://" in target or not target:
            return match[0]
        if resolved.is_relative_to(DOCS):
            return f"[{_title(resolved)}]({match[2]})" if label == place.name else match[0]
        if not resolved.exists():
            LOG.warning("%s leads to %s, which does not exist", page, target)
        path = resolved.relative_to(ROOT)
        return f"`{path}`" if label.strip("`") in (str(path), path.name) else f"{label} (`{path}`)"

    text = re.sub(r"\[([^]]+)\]\(([^)\s]+)\)", named, text)
    return re.sub(r"^(?![ \t]*(?:[-*|]|\d+\.) |[ \t#])(.+)\n(?=(?:[-*]|\d+\.) )", r"\1\n\n", text, flags=re.M)
