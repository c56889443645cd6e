#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
usage: check_exposure.py UNIT DOCUMENT

Fail unless the table of DOCUMENT explains exactly what systemd-analyze(1) counts against
UNIT, name by name, each with a reason, and names the exposure, which is below 5.5.
"""

import json
import pathlib
import re
import subprocess
import sys

LIMIT = 5.5
HEADING = "What `systemd-analyze security dynod` still counts"
TOTAL = re.compile(r"\(([\d.]+) in all\)")


def analyze(unit, *options):
    return subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", *options, unit],
                          check=True, capture_output=True, text=True).stdout


def explained(text):
    """What the rows name, with their reasons."""
    table = re.split(r"\n(?!\|)", text.split(HEADING, 1)[1].split("\n\n", 1)[1], maxsplit=1)[0]
    rows = [re.split(r"(?<!\\)\|", row) for row in table.splitlines()]
    return {name: row[2].strip() for row in rows for name in re.findall(r"`([^`]+)`", row[1].replace("\\|", "|"))}


def main(unit, document):
    counted = {row["name"] for row in json.loads(analyze(unit, "--json=short"))
               if row["exposure"] not in (None, "0.0")}
    text = pathlib.Path(document).read_text()
    told = explained(text)
    problems = [f"{document} does not explain {name}" for name in sorted(counted - told.keys())]
    problems += [f"{document} explains {name}, which is not counted" for name in sorted(told.keys() - counted)]
    problems += [f"{document} gives no reason for {name}" for name, reason in sorted(told.items()) if not reason]
    exposure = float(re.search(r"exposure level for \S+: ([\d.]+)", analyze(unit))[1])
    if exposure >= LIMIT:
        problems.append(f"{unit}: exposure {exposure}, which is not below {LIMIT}")
    total = TOTAL.search(text.split(HEADING, 1)[1])
    if not total or float(total[1]) != exposure:
        problems.append(f"{document}: {total[1] if total else 'no number'} in all, but it is {exposure}")
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
