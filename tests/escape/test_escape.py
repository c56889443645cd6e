# SPDX-License-Identifier: Apache-2.0
"""Attempts to escape: each is refused in a real dyno as it says, and works outside of one.

The program "escape" (main.c, attempts/) makes them. One dyno and one process outside make
all of them; the tests below compare. See escape.h for what an attempt states.
"""

import contextlib
import ctypes
import io
import json
import os
import pathlib
import struct
import subprocess
import tarfile

import pytest

from dynod_testing import time_factor

BUILD = pathlib.Path(os.environ.get("DYNOD_BUILD", "build"))
ESCAPE = BUILD / "tests/escape/escape"
HERE = pathlib.Path(__file__).resolve().parent
INSTALLED = os.environ.get("DYNOD_INSTALLED") == "1"
NOT_HERE = {"native", "control-native"} if INSTALLED else {"vm", "control-vm"}


def attempts():
    listed = subprocess.run([ESCAPE, "list"], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in listed.splitlines()]


ATTEMPTS = {attempt["name"]: attempt for attempt in attempts()}
IN_DYNO = [name for name, attempt in ATTEMPTS.items() if not NOT_HERE & set(attempt["control"]) & {"vm", "native"}]
IN_CONTROL = [name for name in IN_DYNO
              if not NOT_HERE & set(ATTEMPTS[name]["control"])]


def outcomes(text):
    """Name to outcome, of the lines that escape printed."""
    found = [json.loads(line) for line in text.splitlines() if line.startswith('{"name"')]
    return {line["name"]: line for line in found}


def told(line):
    """An outcome as attempts state it: an errno's name, "killed", or what it was instead."""
    return line["error"] if line["outcome"] == "refused" else line["outcome"]


def make_hostile_slug(path):
    """A slug with the program, and copies of it that ask for rights when they are run."""
    everything = struct.pack("<IIIII", 0x02000001, 0xffffffff, 0, 0x1ff, 0)  # VFS_CAP_REVISION_2, effective
    program = ESCAPE.read_bytes()
    with tarfile.open(path, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as tar:
        for name, mode, xattrs in (("escape", 0o755, {}), ("setuid", 0o4755, {}), ("setgid", 0o2755, {}),
                                   ("filecap", 0o755, {"SCHILY.xattr.security.capability": everything})):
            entry = tarfile.TarInfo("./app/" + name)
            entry.mode, entry.size = mode, len(program)
            # Values of pax headers are bytes that tarfile takes as text in this encoding.
            entry.pax_headers = {key: value.decode("utf-8", "surrogateescape") for key, value in xattrs.items()}
            tar.addfile(entry, io.BytesIO(program))
        procfile = b"attempts: ./escape run all\n"
        entry = tarfile.TarInfo("./app/Procfile")
        entry.size = len(procfile)
        tar.addfile(entry, io.BytesIO(procfile))
    return path


@pytest.fixture(scope="module")
def output(daemon, stack, tmp_path_factory):
    """What one real dyno printed that made every attempt and every system call."""
    app = "escape-" + os.urandom(3).hex()
    path = make_hostile_slug(tmp_path_factory.mktemp("escape") / "slug.tgz")
    daemon.ok("apps:create", app, "--stack", stack)
    daemon.ok("deploy", path, "-a", app, timeout=120)
    done = daemon.run(app, "bash", "-c", "./escape run all && ./escape calls", timeout=180)
    daemon.ok("apps:destroy", app, "--confirm", app, timeout=90)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def in_dyno(output):
    """What became of each attempt in a dyno."""
    return outcomes(output)


@pytest.fixture(scope="module")
def in_control():
    done = subprocess.run([ESCAPE, "control", "all"], capture_output=True, text=True, check=True,
                          stdin=subprocess.DEVNULL, timeout=60 * time_factor())
    print(done.stderr)
    # One of them ended in a group that it had made, and nobody can remove what he is in.
    for mount in "/sys/fs/cgroup", "/sys/fs/cgroup/unified":
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{mount}/escape-control")
    return outcomes(done.stdout)


def test_names_are_unique_and_fields_complete():
    assert len(ATTEMPTS) == len(attempts())
    for attempt in ATTEMPTS.values():
        assert attempt["tries"] and attempt["stopped_by"], attempt
        assert {"root", "user"} & set(attempt["control"]), f"{attempt['name']} has no control"


@pytest.mark.parametrize("name", IN_DYNO)
def test_refused_in_a_dyno(in_dyno, name):
    assert name in in_dyno, "the dyno ended before this attempt"
    wanted = ATTEMPTS[name]["error"]
    if wanted:
        assert told(in_dyno[name]) == wanted, ATTEMPTS[name]["tries"]
    else:
        assert in_dyno[name]["outcome"] in ("nothing", "absent", "killed"), ATTEMPTS[name]["tries"]


@pytest.mark.parametrize("name", IN_CONTROL)
def test_works_outside(in_control, name):
    assert told(in_control[name]) == "through", ATTEMPTS[name]["tries"]


# ---- every system call by number ----

# Allowed by the filter, and refused with EPERM by the kernel whatever the arguments are.
KERNEL_SAYS_EPERM = {"setgroups"}
# uretprobe and uprobe: newer kernels ask no filter, and end whoever calls them from outside a probe.
KERNEL_ASKS_NOBODY = {335, 336}
X32 = 0x40000000  # linux: __X32_SYSCALL_BIT


def calls(text):
    """{number: (answer to zeros, answer to ones)}"""
    found = [json.loads(line) for line in text.splitlines() if line.startswith('{"call"')]
    return {line["call"]: (line["zeros"], line["ones"]) for line in found}


def policy():
    """({number: name} of what the policy allows, {number: error} of what it refuses whatever is asked)"""
    library = ctypes.CDLL("libseccomp.so.2")
    kinds = {"allow": {}, "refuse": {}}
    for line in (HERE.parents[1] / "profiles/seccomp-dyno.policy").read_text().splitlines():
        kind, *names = line.split("#")[0].split() or [""]
        if kind not in kinds or "if" in names:
            continue
        error = names.pop(0) if kind == "refuse" else None
        for name in names:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number >= 0:
                kinds[kind][number] = error or name
    return kinds["allow"], kinds["refuse"]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="other numbers, and no x32")
def test_only_the_calls_of_the_policy_exist(output):
    """Everything else is ENOSYS, or the error that the policy says; x32 kills."""
    allowed, refused = policy()
    inside = calls(output)
    outside = calls(subprocess.run([ESCAPE, "calls", "user"], capture_output=True, text=True, check=True,
                                   stdin=subprocess.DEVNULL, timeout=60 * time_factor()).stdout)
    wrong = []
    exist = set()
    for number, answers in inside.items():
        unknown_to_kernel = outside[number] == ("ENOSYS", "ENOSYS")
        if number >= X32:
            good = answers == ("killed", "killed")
        elif number in KERNEL_ASKS_NOBODY:
            good = answers == outside[number] and "0" not in answers
        elif number in refused:
            good = answers == (refused[number], refused[number])
        elif number not in allowed or unknown_to_kernel:
            good = answers == ("ENOSYS", "ENOSYS")
        elif allowed[number] in KERNEL_SAYS_EPERM:
            good = answers == ("EPERM", "EPERM")
        else:
            good = not set(answers) <= {"EPERM", "ENOSYS", "killed"}
            exist.add(number)
        if not good:
            wrong.append(f"{number} {allowed.get(number) or refused.get(number)}: {answers}, outside {outside[number]}")
    assert not wrong, "\n".join(wrong)
    assert len(inside) == 2 * 601
    # The control: outside there are many more.
    more = {number for number, answers in outside.items()
            if number < X32 and set(answers) != {"ENOSYS"}} - exist
    assert len(more) > 50, more
    if INSTALLED:  # a kernel that has x32 and has it on
        assert outside[X32 | 39] == ("0", "0"), "no getpid"
        x32 = {number for number, answers in outside.items() if number >= X32 and set(answers) != {"ENOSYS"}}
        assert len(x32) > 200, x32
