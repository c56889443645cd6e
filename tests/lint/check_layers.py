#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fail if a room under src/ includes a header of a room it may not depend on."""

import pathlib
import re
import sys

ALLOWED = {
    "base": set(),
    "ipc": {"base"},
    "confine": {"base"},
    "config": {"base"},
    "image": {"base", "ipc", "confine", "config"},
    "sandbox": {"base", "ipc", "config"},
    "launcher": {"base", "ipc", "confine", "config", "image", "sandbox"},
    "logs": {"base", "ipc", "confine", "config"},
    "supervisor": {"base", "ipc", "confine", "config", "dynod"},
    "control": {"base", "ipc", "confine", "config", "supervisor", "dynod"},
    "firewall": {"base", "confine"},
    "init": {"base", "ipc"},
    "cli": {"base", "ipc", "dynod"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"/]+)/', re.M)


def main(src: pathlib.Path) -> int:
    bad = 0
    for path in sorted(src.rglob("*.[ch]")):
        room = path.relative_to(src).parts[0]
        if room not in ALLOWED:
            print(f"{path}: {room}/ is no room: see docs/ARCHITECTURE.md")
            bad += 1
            continue
        for used in INCLUDE.findall(path.read_text()):
            if used != room and used not in ALLOWED[room]:
                print(f"{path}: {room}/ must not include {used}/")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
