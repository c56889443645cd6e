# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import store_harness  # noqa: E402


@pytest.fixture
def build():
    path = os.environ.get("DYNOD_BUILD")
    if not path:
        pytest.exit("DYNOD_BUILD names no build folder", 4)
    return path


@pytest.fixture
def store(build, tmp_path):
    it = store_harness.Store(build, tmp_path / "state")
    yield it
    if it.process.poll() is None:
        assert it.close() == 0


@pytest.fixture
def archive(tmp_path):
    """A slug with a Procfile, to be added to."""
    it = store_harness.Archive(tmp_path / "archive.tar.gz")
    it.folder("./").folder("./app").add("./app/Procfile", "web: node server.js\n")
    return it
