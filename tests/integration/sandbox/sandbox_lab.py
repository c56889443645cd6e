# SPDX-License-Identifier: Apache-2.0
"""A store with a tiny stack and slug, and the sandbox room's driver to start dynos of it."""

import os
import pathlib
import shutil
import subprocess

import pytest

UID_BASE = 1610612736
TREES = UID_BASE + 1
DYNO = UID_BASE + 1024
SOURCE = pathlib.Path(__file__).resolve().parents[3]


def cgroup2_mount():
    for line in pathlib.Path("/proc/self/mountinfo").read_text(encoding="ascii").splitlines():
        if " - cgroup2 " in line:
            return pathlib.Path(line.split()[4])
    pytest.exit("no cgroup2 is mounted", 4)


def fill(path, files):
    """Makes files (text) and folders (None) that belong to the owner of all trees."""
    path.mkdir()
    os.chown(path, TREES, TREES)
    for name, text in files.items():
        if text is None:
            (path / name).mkdir()
        else:
            (path / name).write_text(text, encoding="ascii")
        os.chown(path / name, TREES, TREES)


def open_to_all(work):
    """A dyno's user must reach dyno-init."""
    for folder in (work, *work.parents):
        if folder.stat().st_uid == os.getuid() and folder != pathlib.Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)


class Lab:
    """A store with a tiny stack and slug, a cgroup, a network namespace, and the driver."""

    def __init__(self, work, build):
        self.work, self.build = work, build
        fill(work / "stack", {"passwd": "root:x:0:0::/:\nu10000:x:10000:10000::/app:/bin/sh\n",
                              "group": "u10000:x:10000:\n"})
        fill(work / "stack" / "tree", {name: None for name in (
            "app", "dev", "etc", "proc", "sys", "tmp", "var", "var/tmp")} | {
            "etc/" + name: "of the stack\n" for name in (
                "passwd", "group", "hosts", "hostname", "resolv.conf")})
        fill(work / "slug", {"hello": "world\n", "dir": None, "dir/file": "x\n"})
        (work / "run").mkdir()
        libexec = work / "libexec"
        libexec.mkdir(mode=0o755)
        shutil.copy(build / "tests/sandbox-libexec/dyno-init", libexec)
        self.cgroup = cgroup2_mount() / f"sandbox-test-{os.getpid()}"
        self.cgroup.mkdir()
        self.config("apparmor cgroup-memory cgroup-cpu cgroup-pids cgroup-io tc")
        # A file, not a process's link: a confined driver may look into no process but its own.
        (work / "net").touch()
        subprocess.run(["unshare", f"--net={work}/net", "sh", "-c",
                        "ip link set lo up && ip link add eth0 type bridge"], check=True)

    def config(self, allow_missing, scratch="tmpfs"):
        (self.work / "dynod.conf").write_text(
            f"state_dir = {self.work}\nrun_dir = {self.work}/run\n"
            f"libexec_dir = {self.work}/libexec\ndata_dir = {SOURCE}/profiles\n"
            "supervisor_user = 1000\nlogger_user = 1001\ncontrol_group = 1000\n"
            f"uid_base = {UID_BASE}\nallow_missing = {allow_missing}\nscratch = {scratch}\nresolvers = 9.9.9.9\n",
            encoding="ascii")

    def drive(self, command, argument="-", timeout=60, by=(), **env):
        """Runs the driver, by way of the command @by, and returns what it printed, by name."""
        done = subprocess.run(
            [*by, self.build / "tests/sandbox_driver", self.work / "dynod.conf", self.work, self.cgroup,
             command, argument], capture_output=True, text=True, timeout=timeout, check=False,
            env=os.environ | env)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    def close(self):
        subprocess.run(["umount", self.work / "net"], check=True)
        left = [p.name for p in self.cgroup.iterdir() if p.is_dir()]
        assert left == []
        self.cgroup.rmdir()
