#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fail if a source file lacks its licence line, or prose holds a stub (XXX, FIXME)."""

import pathlib
import re
import sys

SOURCE = re.compile(r"(\.(c|h|py|cmake|h\.in|nft\.in|service\.in|policy)|CMakeLists\.txt)$")
STUB = re.compile(r"\b(XXX|FIXME)\b")


def main(root: pathlib.Path) -> int:
    bad = 0
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name.startswith((".git/", "build", "tests/fuzz/corpus/")) or not path.is_file() or path.is_symlink():
            continue
        if name == "tests/lint/check_headers.py":
            continue
        data = path.read_bytes()
        text = data.decode(errors="replace")
        script = data.startswith(b"#!")
        if (SOURCE.search(name) or script) and "SPDX-License-Identifier: Apache-2.0" not in text[:400]:
            print(f"{name}: no SPDX line")
            bad += 1
        if SOURCE.search(name) and STUB.search(text):
            print(f"{name}: holds a stub")
            bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
