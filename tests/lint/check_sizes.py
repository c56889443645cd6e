#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fail if a function has more than 80 lines or a file more than 900.

Relies on clang-format's layout: a function begins and ends in the first column.
"""

import pathlib
import re
import sys

FUNCTION_LINES = 80
FILE_LINES = 900
BEGIN = re.compile(r"^(?!typedef|struct|union|enum|static const struct|#)[A-Za-z_].*\)\s*\{$")


def check(path: pathlib.Path) -> int:
    bad = 0
    lines = path.read_text().splitlines()
    if len(lines) > FILE_LINES:
        print(f"{path}: {len(lines)} lines, at most {FILE_LINES}")
        bad += 1
    begin = None
    for number, line in enumerate(lines, 1):
        # Arguments on lines of their own end with "        type name) {".
        if begin is None and line.endswith(") {") and (BEGIN.match(line) or ends_a_head(lines, number)):
            begin = number
        elif line.startswith("}") and begin is not None:
            if number - begin + 1 > FUNCTION_LINES:
                print(f"{path}:{begin}: {number - begin + 1} lines, at most {FUNCTION_LINES}")
                bad += 1
            begin = None
    return bad


def ends_a_head(lines, number):
    """True if the line closes a parameter list that was opened in the first column."""
    for line in reversed(lines[:number - 1]):
        if line.endswith("("):
            return not line.startswith(" ")
        if not line.startswith("        ") or line.startswith("         "):
            return False
    return False


def main(roots) -> int:
    files = [p for root in roots for p in sorted(pathlib.Path(root).rglob("*.[ch]"))]
    return 1 if sum(check(path) for path in files) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
