"""Write docs/registers_*.md and docs/registers_*.h from the register maps, so they cannot contradict the
code.

Owns those files, whole. Refuses to describe anything that is not in a map: prose about the protocol is
elsewhere.

Usage: python scripts/register_docs.py [--check]    --check writes nothing, exits 1 and names what is stale
"""

import re
import sys
from pathlib import Path

from bellwire.drivers.regmap import RegisterMap, load_map, markdown_table

ROOT = Path(__file__).resolve().parent.parent
MAPS = ("herald_fpga", "memory_controller")
MODES = """\
Modes: `ro` read only; `rw` takes effect at once; `w1p` a pulse per bit written; `w1c` cleared by writing 1;
`shadow` takes effect with all others at the next boundary after CMD.commit. Words of 32 bits, word addresses
in hexadecimal; registers wider than 32 bits are two words, low word first, and reading the low word latches
the high one. `s` before the bits: two's complement, sign-extended into the word.
"""


def manual(register_map: RegisterMap) -> str:
    """The page of one map."""
    source = f"bellwire/drivers/registers/{register_map.name}.toml"
    return (
        f"# Registers of `{register_map.name}`\n\n"
        f"Written by `python scripts/register_docs.py` from `{source}`; do not edit.\n\n"
        + MODES
        + "\n"
        + markdown_table(register_map)
    )


def header(register_map: RegisterMap) -> str:
    """The map as C macros: address, stride and count of each register, shift and mask of each field."""
    prefix = register_map.name.upper()
    guard = f"BELLWIRE_REGISTERS_{prefix}_H"
    lines = [
        f"/* Written by scripts/register_docs.py from {register_map.name}.toml; do not edit. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        f"#define {prefix}_IDENTITY {register_map.identity:#010x}u",
        f"#define {prefix}_ABI_VERSION {register_map.abi}u",
        f"#define {prefix}_HASH {register_map.hash:#010x}u",
        "",
    ]
    for register in register_map:
        name = f"{prefix}_{register.name}"
        lines.append(f"#define {name} {register.address:#06x}u /* {register.mode}, {register.width} bits */")
        if register.count > 1:
            lines.append(f"#define {name}_COUNT {register.count}u")
            lines.append(f"#define {name}_STRIDE {register.stride}u")
        for field_name, bits in register.fields.items():
            field = f"{name}__{field_name.upper()}"
            lines.append(f"#define {field}_SHIFT {bits.low}u")
            lines.append(f"#define {field}_MASK {((1 << bits.width) - 1) << bits.low:#010x}u")
    return "\n".join([*lines, "", f"#endif /* {guard} */", ""])


def pages() -> dict[Path, str]:
    """Every generated file with its text."""
    texts: dict[Path, str] = {}
    for name in MAPS:
        register_map = load_map(name)
        texts[ROOT / "docs" / f"registers_{name}.md"] = manual(register_map)
        texts[ROOT / "docs" / f"registers_{name}.h"] = header(register_map)
    return texts


def stale() -> list[Path]:
    """Files that are missing or say something else than the maps."""
    return [path for path, text in pages().items() if not path.is_file() or path.read_text("utf-8") != text]


def macros(text: str) -> dict[str, int]:
    """The values that a C compiler would take from a header made here."""
    return {name: int(value, 0) for name, value in re.findall(r"#define (\w+) (\w+?)u\b", text)}


def main(arguments: list[str]) -> int:
    """Write, or only compare."""
    if arguments == ["--check"]:
        old = stale()
        for path in old:
            print(f"{path.relative_to(ROOT)} is stale; run python scripts/register_docs.py")
        return 1 if old else 0
    for path, text in pages().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
