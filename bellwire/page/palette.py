"""Colours of the page, light and dark, and the contrast between those that meet.

Owns both palettes and the pairs that must be readable on each other (WCAG 2.2: 4.5 for text, 3 for signs and
lines that carry meaning). Refuses layout (style.css, which knows colours by these names only).
"""

from collections.abc import Mapping
from typing import Final

Palette = Mapping[str, str]

DARK: Final[Palette] = {
    "ground": "#0e1318",
    "surface": "#151b22",
    "raised": "#1d252e",
    "line": "#2b3641",
    "text": "#e4e9ee",
    "quiet": "#9fadba",
    "accent": "#86bdff",
    "on-accent": "#0b1a2b",
    "good": "#62d29c",
    "busy": "#86bdff",
    "warn": "#efbb56",
    "bad": "#ff8f85",
    "off": "#93a2b1",
    "good-wash": "#12261f",
    "warn-wash": "#2a2213",
    "bad-wash": "#301a1a",
    "off-wash": "#1a222a",
    "chain-a": "#86bdff",
    "chain-b": "#c9a5f7",
    "chain-c": "#6fd3d0",
}
LIGHT: Final[Palette] = {
    "ground": "#f4f6f8",
    "surface": "#ffffff",
    "raised": "#eef1f5",
    "line": "#d8dfe6",
    "text": "#18222d",
    "quiet": "#52606d",
    "accent": "#1d5fb8",
    "on-accent": "#ffffff",
    "good": "#12744a",
    "busy": "#1d5fb8",
    "warn": "#855300",
    "bad": "#b02a20",
    "off": "#586673",
    "good-wash": "#e9f6ef",
    "warn-wash": "#fdf3de",
    "bad-wash": "#fdecea",
    "off-wash": "#eef1f5",
    "chain-a": "#1d5fb8",
    "chain-b": "#7741b5",
    "chain-c": "#0a706e",
}
PALETTES: Final[Mapping[str, Palette]] = {"light": LIGHT, "dark": DARK}

TEXT_RATIO: Final = 4.5
SIGN_RATIO: Final = 3.0

_GROUNDS: Final = ("ground", "surface", "raised")
_TONES: Final = ("good", "busy", "warn", "bad", "off")
TEXT_ON: Final[tuple[tuple[str, str], ...]] = (
    *((text, ground) for text in ("text", "quiet", "accent", *_TONES) for ground in _GROUNDS),
    *((text, f"{tone}-wash") for tone in ("good", "warn", "bad", "off") for text in ("text", "quiet", tone)),
    *((chain, ground) for chain in ("chain-a", "chain-b", "chain-c") for ground in ("surface", "raised")),
    ("on-accent", "accent"),
    *(("surface", tone) for tone in _TONES),  # the sign inside its mark
)
"""Text, and what it stands on."""


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours `#rrggbb`, 1..21 (WCAG 2.2, definition of contrast ratio)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def style_variables() -> str:
    """The palettes as CSS: light, dark where the system says so, and whichever the switch names."""

    def block(selector: str, palette: Palette, scheme: str) -> str:
        rows = "".join(f"--{name}:{colour};" for name, colour in palette.items())
        return f"{selector}{{color-scheme:{scheme};{rows}}}"

    return "\n".join(
        (
            block(":root", LIGHT, "light"),
            "@media (prefers-color-scheme: dark){"
            + block(":root:not([data-scheme=light])", DARK, "dark")
            + "}",
            block(":root[data-scheme=dark]", DARK, "dark"),
        )
    )
