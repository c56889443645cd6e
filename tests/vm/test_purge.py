# SPDX-License-Identifier: Apache-2.0
"""Last of all: what is left when the package goes."""

import pathlib
import subprocess

import pytest

from dynod_testing import WEB_SLUG, make_slug

pytestmark = pytest.mark.vm


def test_purge_with_running_dynos_leaves_nothing(daemon, stack, tmp_path):
    daemon.ok("apps:create", "last-one", "--stack", stack)
    daemon.ok("deploy", make_slug(tmp_path / "slug.tgz", WEB_SLUG), "-a", "last-one", timeout=120)
    daemon.ok("ps:wait", "-a", "last-one", timeout=150)
    checker = tmp_path / "dynod-leftovers"
    checker.write_bytes(pathlib.Path("/usr/share/dynod/dynod-leftovers").read_bytes())
    checker.chmod(0o755)

    before = subprocess.run([str(checker)], capture_output=True, text=True, check=False)
    assert before.returncode == 1, "the checker sees nothing of a running dynod"
    assert "program /sys/fs/bpf/dynod-modules" in before.stdout, before.stdout

    done = subprocess.run(["dpkg", "--purge", "dynod"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = subprocess.run([str(checker)], capture_output=True, text=True, check=False)
    assert after.returncode == 0, after.stdout + done.stdout + done.stderr
    for path in ("/usr/sbin/dynod", "/usr/libexec/dynod", "/usr/share/dynod", "/etc/dynod"):
        assert not pathlib.Path(path).exists(), path
    assert not list(pathlib.Path("/etc/apparmor.d").glob("dynod*"))
