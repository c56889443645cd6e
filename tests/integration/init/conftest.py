# SPDX-License-Identifier: Apache-2.0
import itertools
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from init_harness import Dyno, Exec  # noqa: E402


@pytest.fixture
def start(tmp_path):
    """start(args, ...) makes a dyno, start.exec(dyno, args, ...) one more process in it."""
    if os.getuid() != 0:
        pytest.skip("needs root for namespaces and mounts")
    made = []
    folders = itertools.count()

    def make(args, **kwargs):
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        made.append(Dyno(folder, args, **kwargs))
        return made[-1]

    def make_exec(dyno, args, **kwargs):
        made.append(Exec(dyno, args, **kwargs))
        return made[-1]

    make.exec = make_exec
    make.forget = made.remove
    yield make
    for process in reversed(made):
        process.close()
