#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
usage: check_exposure.py UNIT DOCUMENT

Fail unless the table of DOCUMENT explains exactly what systemd-analyze(1) counts against
UNIT, name by name, and the exposure is below 5.5.
"""

import json
import pathlib
import re
import subprocess
import sys

LIMIT = 5.5
HEADING = "What `systemd-analyze security dynod` still counts"


def analyze(unit, *options):
    return subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", *options, unit],
                          check=True, capture_output=True, text=True).stdout


def explained(text):
    table = re.split(r"\n(?!\|)", text.split(HEADING, 1)[1].split("\n\n", 1)[1], maxsplit=1)[0]
    cells = [re.split(r"(?<!\\)\|", row)[1].replace("\\|", "|") for row in table.splitlines()]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def main(unit, document):
    counted = {row["name"] for row in json.loads(analyze(unit, "--json=short"))
               if row["exposure"] not in (None, "0.0")}
    told = explained(pathlib.Path(document).read_text())
    problems = [f"{document} does not explain {name}" for name in sorted(counted - told)]
    problems += [f"{document} explains {name}, which is not counted" for name in sorted(told - counted)]
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", analyze(unit))[1])
    if exposure >= LIMIT:
        problems.append(f"{unit}: exposure {exposure}, which is not below {LIMIT}")
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
