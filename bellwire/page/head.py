"""What stands in the head of the page: the style, and the switch between light and dark.

Owns both as text. Nothing in it names another host.
"""

from pathlib import Path
from typing import Final

from bellwire.page.palette import style_variables

SCHEME_SCRIPT: Final = """
<script>
(() => {
  const root = document.documentElement;
  const wide = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try { return localStorage.getItem("bellwire-scheme") || "system"; } catch { return "system"; }
  };
  const wear = (scheme) => {
    if (scheme === "system") delete root.dataset.scheme; else root.dataset.scheme = scheme;
  };
  globalThis.bellwireScheme = () => root.dataset.scheme || (wide.matches ? "dark" : "light");
  globalThis.bellwireWear = (scheme) => {
    try { localStorage.setItem("bellwire-scheme", scheme); } catch { /* a browser that keeps nothing */ }
    wear(scheme);
  };
  globalThis.bellwireKept = kept;
  wear(kept());
})();
</script>
"""


def head_html() -> str:
    """For every page of a server."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    return f"<style>{style_variables()}\n{style}</style>{SCHEME_SCRIPT}"
