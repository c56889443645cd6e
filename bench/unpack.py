#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a slug takes into the store, and GNU tar with the same one, in turns.

usage: bench/unpack.py BUILD SLUG FOLDER [ROUNDS]     as root

Nothing is deleted between the rounds: ext4 passes over inodes that were freed in the last
seconds, one by one, and both would be measured by that alone.
"""

import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/integration/image"))

from store_harness import Store  # noqa: E402


def import_slug(build, slug, folder, found):
    store = Store(build, folder)
    begin = time.monotonic()
    digest = store.fetch(slug, 1)["digest"]
    fetched = time.monotonic()
    assert store.extract(1, "slug", digest)[1]["result"] == 0
    extracted = time.monotonic()
    assert store.commit(1) == 0
    committed = time.monotonic()
    store.settle()
    store.close()
    found["fetch"].append(fetched - begin)
    found["extract"].append(extracted - fetched)
    found["commit"].append(committed - extracted)
    found["import, all of it"].append(committed - begin)


def main(build, slug, folder, rounds="5"):
    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    found = {name: [] for name in ("fetch", "extract", "commit", "import, all of it", "tar xzf")}
    for i in range(int(rounds)):
        import_slug(build, slug, place / f"store{i}", found)
        (place / f"tar{i}").mkdir()
        begin = time.monotonic()
        subprocess.run(["tar", "xf", slug, "-C", place / f"tar{i}"], check=True)
        found["tar xzf"].append(time.monotonic() - begin)
    for name, seconds in found.items():
        print(f"{name:18} median {statistics.median(seconds) * 1000:6.0f} ms   "
              + " ".join(f"{s * 1000:.0f}" for s in seconds))
    shutil.rmtree(place)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
