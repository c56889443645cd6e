# SPDX-License-Identifier: Apache-2.0
"""Last of all: what is left when the package goes."""

import pathlib
import subprocess

import pytest

from dynod_testing import WEB_SLUG, make_slug, wait_until

pytestmark = pytest.mark.vm


def profiles():
    return pathlib.Path("/sys/kernel/security/apparmor/profiles").read_text()


def dpkg(*arguments):
    return subprocess.run(["dpkg", *arguments, "dynod"], capture_output=True, text=True, check=False)


def test_package_stays_while_a_dyno_does(daemon, stack, tmp_path):
    """One whose group cannot be removed stands for one that does not die."""
    daemon.ok("apps:create", "stays", "--stack", stack)
    daemon.ok("deploy", make_slug(tmp_path / "slug.tgz", WEB_SLUG), "-a", "stays", timeout=120)
    daemon.ok("ps:wait", "-a", "stays", timeout=150)
    group = next(pathlib.Path("/sys/fs/cgroup").rglob(daemon.dyno("stays", "web.1")["id"]))
    (group / "not-ours").mkdir()
    done = dpkg("--remove")
    assert done.returncode != 0 and "the package stays" in done.stderr, done.stdout + done.stderr
    for path in ("/usr/sbin/dynod", "/sys/fs/bpf/dynod/modules"):
        assert pathlib.Path(path).exists(), path
    assert "dynod-dyno (enforce)" in profiles()
    tables = subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout
    assert "table inet dynod\n" in tables
    (group / "not-ours").rmdir()
    daemon.start()
    daemon.ok("apps:destroy", "stays", "--confirm", "stays", timeout=90)


def test_profiles_stay_while_somebody_lives_under_one(daemon):
    with subprocess.Popen(["sh", "-c", "echo changeprofile dynod-dyno >/proc/self/attr/apparmor/current; read -r _"],
                          stdin=subprocess.PIPE) as dyno:
        label = pathlib.Path(f"/proc/{dyno.pid}/attr/apparmor/current")
        wait_until(lambda: label.read_text() == "dynod-dyno (enforce)\n", "it is confined")
        daemon.stop()
        done = subprocess.run(["sh", "/var/lib/dpkg/info/dynod.postrm", "remove"], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and "stay loaded" in done.stderr, done.stdout + done.stderr
        assert label.read_text() == "dynod-dyno (enforce)\n"
        dyno.kill()
    daemon.start()


def test_purge_with_running_dynos_leaves_nothing(daemon, stack, tmp_path):
    daemon.ok("apps:create", "last-one", "--stack", stack)
    daemon.ok("deploy", make_slug(tmp_path / "slug.tgz", WEB_SLUG), "-a", "last-one", timeout=120)
    daemon.ok("ps:wait", "-a", "last-one", timeout=150)
    checker = tmp_path / "dynod-leftovers"
    checker.write_bytes(pathlib.Path("/usr/share/dynod/dynod-leftovers").read_bytes())
    checker.chmod(0o755)

    before = subprocess.run([str(checker)], capture_output=True, text=True, check=False)
    assert before.returncode == 1, "the checker sees nothing of a running dynod"
    assert "folder /sys/fs/bpf/dynod" in before.stdout, before.stdout

    done = subprocess.run(["dpkg", "--purge", "dynod"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    after = subprocess.run([str(checker)], capture_output=True, text=True, check=False)
    assert after.returncode == 0, after.stdout + done.stdout + done.stderr
    for path in ("/usr/sbin/dynod", "/usr/libexec/dynod", "/usr/share/dynod", "/etc/dynod"):
        assert not pathlib.Path(path).exists(), path
    assert not list(pathlib.Path("/etc/apparmor.d").glob("dynod*"))
