# SPDX-License-Identifier: Apache-2.0
"""A taken-over service tries what its filter and its Landlock rules are there for.

With all layers nothing works. Natively each of the two layers is proven alone: with the
other one off every attempt is still refused, as that layer refuses it; with both off the
same attempts reach the kernel.
"""

import contextlib
import errno
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import pytest
from taken_over import (end_service, forget_orders, hostile_supervisor, logger_answer, order_logger, replaced,
                        results)

FILTER, LANDLOCK = "seccomp", "landlock"

# What other errnos Landlock has: for a path out of the folder that it opens, and for its scopes.
SCOPED = {"abstract", "signal"}
ACROSS = {"link-across", "rename-across"}
# Of the logger's network namespace: nobody listens in there, and there is no route.
LOGGER_ALONE = {"abstract", "tcp-connect"}


def landlock_abi():
    import ctypes
    return ctypes.CDLL(None).syscall(444, None, 0, 1)


def landlock_refuses(name):
    """The errno, or None where this kernel's Landlock has no such right."""
    since = {"tcp-bind": 4, "tcp-connect": 4, "abstract": 6, "signal": 6, "truncate": 3,
             "datagram": 1000, "message": 1000}
    if landlock_abi() < since.get(name, 1):
        return None
    return errno.EPERM if name in SCOPED else errno.EXDEV if name in ACROSS else errno.EACCES


def uid_of(daemon, key):
    user = daemon.configured(key)
    return int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid


@contextlib.contextmanager
def surroundings(uid):
    """What a service could reach if it could: a folder open to all, a socket, a process of its uid."""
    outside = pathlib.Path(tempfile.mkdtemp(prefix="dynod-outside.", dir="/var/tmp"))
    outside.chmod(0o777)
    for name in ("victim", "spare", "other"):
        (outside / name).write_text("x")
        (outside / name).chmod(0o666)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as host_socket, \
            subprocess.Popen(["sleep", "1000000"], user=uid) as stranger:
        host_socket.bind(str(outside / "datagram"))
        (outside / "datagram").chmod(0o666)
        listener.bind("\0dynod-hostile")
        listener.listen()
        try:
            yield outside, f"{outside} {stranger.pid}"
        finally:
            stranger.kill()
            shutil.rmtree(outside)


def untouched(outside):
    return sorted(os.listdir(outside)) == ["datagram", "other", "spare", "victim"] and \
        (outside / "victim").read_text() == "x"


def from_supervisor(daemon, layers_off=""):
    """Results of the calls, of the files, and whether outside nothing has changed."""
    with surroundings(uid_of(daemon, "supervisor_user")) as (outside, arguments), \
            hostile_supervisor(daemon, layers_off) as harness:
        own = daemon.state_dir / "supervisor"
        return harness.order("calls"), harness.order(f"files {own} {arguments}"), untouched(outside)


def from_logger(daemon, layers_off=""):
    seen = []
    with surroundings(uid_of(daemon, "logger_user")) as (outside, arguments), \
            replaced(daemon, "dynod-logger", layers_off):
        for order in ("calls", f"files {daemon.state_dir}/logs {arguments}"):
            order_logger(daemon, order)
            end_service(daemon, "dynod-logger")
            seen.append(logger_answer(daemon))
        left = untouched(outside)
    forget_orders(daemon)
    daemon.restart()
    return *seen, left


SERVICES = {"supervisor": from_supervisor, "logger": from_logger}


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_works(daemon, service):
    calls, files, left = SERVICES[service](daemon)
    assert set(calls.values()) == {-errno.ENOSYS}, calls
    assert all(result < 0 for result in files.values()), files
    assert left


@pytest.mark.native
@pytest.mark.parametrize("service", SERVICES)
def test_filter_alone(daemon, service):
    calls, files, _ = SERVICES[service](daemon, LANDLOCK)
    assert set(calls.values()) == {-errno.ENOSYS}, calls
    for name in ("execute", "fifo", "socket", "tcp-bind", "tcp-connect", "symlink", "link-across", "signal",
                 "datagram", "message"):
        assert files[name] == -errno.ENOSYS, (name, files)
    assert files["read"] == files["write"] == 0, "the attempts do not work"


@pytest.mark.native
@pytest.mark.parametrize("service", SERVICES)
def test_landlock_alone(daemon, service):
    calls, files, left = SERVICES[service](daemon, FILTER)
    assert -errno.ENOSYS not in calls.values(), calls
    wanted = {name: landlock_refuses(name) for name in files
              if service == "supervisor" or name not in LOGGER_ALONE}
    assert {name: -result for name, result in files.items() if wanted.get(name)} == \
        {name: value for name, value in wanted.items() if value}
    assert left


@pytest.mark.native
@pytest.mark.parametrize("service", SERVICES)
def test_attempts_work_without_either(daemon, service):
    calls, files, left = SERVICES[service](daemon, f"{FILTER} {LANDLOCK}")
    assert -errno.ENOSYS not in calls.values(), calls
    alone = LOGGER_ALONE if service == "logger" else set()
    refused = {name: -result for name, result in files.items() if result < 0 and name not in alone}
    # Nobody listens on that port: the call went through.
    assert refused == ({} if service == "logger" else {"tcp-connect": errno.ECONNREFUSED}), refused
    assert not left


# ---- the unpacker, which an archive takes over ----


@pytest.fixture
def unpack(daemon, app, slug):
    """unpack(mode, how, layers_off): what the process of that mode answers, or the deploy's status."""
    def run(mode, how, layers_off=""):
        archive = slug({"Procfile": "a: true\n", "order": f"@{mode} {how}@", "off": layers_off},
                       name=f"{mode}-{how}.tar", compression="")
        before = set((daemon.state_dir / "slugs").iterdir())
        with replaced(daemon, "dynod-unpacker", layers_off):
            daemon.restart()
            done = daemon.ctl("deploy", archive, "-a", app, timeout=120)
        if mode == "fetch":
            return done.returncode
        made = set((daemon.state_dir / "slugs").iterdir()) - before
        assert made, done.stdout + done.stderr
        return results((made.pop() / "tree/answer").read_text())
    yield run
    daemon.restart()


def test_nothing_works_while_extracting(unpack):
    assert set(unpack("extract", "calls").values()) == {-errno.ENOSYS}
    assert all(result < 0 for result in unpack("extract", "own").values())


def test_nothing_works_while_fetching(unpack):
    assert unpack("fetch", "calls") == 0


@pytest.mark.native
def test_landlock_alone_while_unpacking(unpack):
    seen = unpack("extract", "own", FILTER)
    wanted = {name: landlock_refuses(name) for name in seen}
    assert {name: -result for name, result in seen.items() if wanted[name]} == \
        {name: value for name, value in wanted.items() if value}
    assert unpack("fetch", "calls", FILTER) == 0


@pytest.mark.native
def test_attempts_work_while_unpacking(unpack):
    seen = unpack("extract", "own", f"{FILTER} {LANDLOCK}")
    assert seen["fifo"] == seen["socket"] == seen["tcp-bind"] == 0, seen
    assert -errno.ENOSYS not in unpack("extract", "calls", FILTER).values()
    assert unpack("fetch", "calls", f"{FILTER} {LANDLOCK}") != 0
