#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Folio Authors
# SPDX-License-Identifier: Apache-2.0
"""Writes unicode_tables.hpp: python3 unicode_tables.py > unicode_tables.hpp

The data are those of Python's unicodedata, or of the package unicodedata2 where it is installed, which is the same module
for another version of Unicode. The tokenizers package has letters and numbers of Unicode 16: unicodedata2==16.0.0.
"""
try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def boundaries(first_letter):
    """Where a class begins and ends, in turn."""
    out, inside = [], False
    for c in CODES + [0x110000]:
        now = c < 0x110000 and unicodedata.category(chr(c))[0] == first_letter
        if now != inside:
            out.append(c)
        inside = now
    return out


def combining_classes():
    """(first, last, class) of all runs of one class that is not 0."""
    runs = []
    for c in CODES:
        which = unicodedata.combining(chr(c))
        if which and runs and runs[-1][1] == c - 1 and runs[-1][2] == which:
            runs[-1][1] = c
        elif which:
            runs.append([c, c, which])
    return runs


def decompositions(length):
    """(code, parts...) of all canonical decompositions into `length` parts; Hangul is computed."""
    out = []
    for c in CODES:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == length and not parts[0].startswith("<"):
            out.append([c] + [int(part, 16) for part in parts])
    return out


def table(name, meaning, rows):
    numbers = [n for row in rows for n in (row if isinstance(row, list) else [row])]
    lines = [""]
    for n in numbers:
        if len(lines[-1]) + len(str(n)) > 119:
            lines.append("")
        lines[-1] += f"{n},"
    body = "\n".join(lines)
    return f"\n/// {meaning}\ninline constexpr std::uint32_t {name}[{len(numbers)}] = {{\n{body}}};\n"


pairs = decompositions(2)
excluded = [row[0] for row in pairs
            if unicodedata.normalize("NFC", chr(row[1]) + chr(row[2])) != chr(row[0])]
print(f"""// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What Unicode {unicodedata.unidata_version} says of characters. Made by unicode_tables.py; unicode.hpp reads it.

#include <cstdint>

namespace serve::unicode_tables {{
// clang-format off""")
print(table("letters", "General category L: where it begins and ends, in turn.", boundaries("L")), end="")
print(table("numbers", "General category N, in the same way.", boundaries("N")), end="")
print(table("combining_classes", "First, last, canonical combining class; of all others it is 0.",
            combining_classes()), end="")
print(table("singles", "Code, what it is canonically the same as.", decompositions(1)), end="")
print(table("pairs", "Code, its canonical decomposition into two.", pairs), end="")
print(table("never_composed", "Of those, the codes that are decomposed and never composed.", excluded), end="")
print("\n// clang-format on\n}  // namespace serve::unicode_tables")
