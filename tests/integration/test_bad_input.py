# SPDX-License-Identifier: Apache-2.0
"""Bad input ends with a clear error, the right status, and nothing lost."""

import gzip
import hashlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading

import pytest

from dynod_testing import WEB_SLUG, make_slug, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "image"))

from hostile_archives import CASES, DEFAULT_LIMITS  # noqa: E402

pytestmark = pytest.mark.twice

PROCFILE = "web: true\n"


def entry(name, kind=tarfile.REGTYPE, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, io.BytesIO(data)


def archive(path, *entries, procfile=True):
    """A slug with a Procfile and these entries, in this order."""
    with tarfile.open(path, "w:gz") as tar:
        if procfile:
            tar.addfile(*entry("./app/", tarfile.DIRTYPE))
            tar.addfile(*entry("./app/Procfile", data=PROCFILE.encode()))
        for info, data in entries:
            tar.addfile(info, data)
    return path


@pytest.fixture
def kept(daemon, app, slug):
    """An app with a release; afterwards that release must still be the current one."""
    daemon.ok("deploy", slug({"Procfile": "worker: sleep 1000000\n"}, name="kept.tgz"), "-a", app, timeout=120)
    yield app
    releases = daemon.json("releases", "-a", app)
    assert len(releases) == 1, releases


# ---- archives ----

def test_not_an_archive_is_refused(daemon, kept, tmp_path):
    path = tmp_path / "slug.tgz"
    path.write_bytes(os.urandom(4096))
    error = daemon.refused("deploy", path, "-a", kept)
    assert "slug.tgz" in error and "archive" in error


SENTENCES = {
    "NOT_AN_ARCHIVE": "is not a tar archive", "CORRUPT": "is truncated or damaged",
    "NAME_DOTDOT": "has an entry with .. in its name", "NAME_NUL": "has an entry with a NUL",
    "NAME_TOO_LONG": "has an entry whose name is too long",
    "HARDLINK_OUTSIDE": "has a hard link to no earlier entry",
    "THROUGH_LINK": "has an entry that passes through a link",
    "SLUG_APP_IS_LINK": "has a link where a slug needs the folder app",
    "SPECIAL_FILE": "has a device, socket or FIFO outside /dev", "TOO_LARGE": "is too large",
    "PROCFILE": "Procfile"}
NAMED = {"NAME_DOTDOT", "NAME_NUL", "HARDLINK_OUTSIDE", "THROUGH_LINK", "SPECIAL_FILE"}


def test_hostile_archives_are_refused_by_name(daemon, kept, tmp_path):
    """Some of each kind of the corpus: the sentence, the entry, and a store that is clean."""
    imports = daemon.state_dir / "tmp"
    per_reason = {}
    for case in CASES:
        if case.kind != "slug" or case.reason not in SENTENCES or case.limits != DEFAULT_LIMITS or \
                "zstd" in case.name:  # the guest has no zstd(1)
            continue
        if per_reason.setdefault(case.reason, 0) == 4 and "terminal" not in case.name:
            continue
        per_reason[case.reason] += 1
        path = tmp_path / "hostile.tgz"
        path.write_bytes(case.make())
        error = daemon.refused("deploy", path, "-a", kept)
        assert SENTENCES[case.reason] in error and "Nothing was changed." in error, case.name
        if case.reason in NAMED and case.entry.isprintable():
            assert case.entry in error, case.name
        assert all(c.isprintable() or c == "\n" for c in error), case.name
    assert set(per_reason) == set(SENTENCES)
    wait_until(lambda: not os.listdir(imports), "nothing of them is left")


def test_truncated_archive_is_refused(daemon, kept, slug, tmp_path):
    whole = slug({"Procfile": PROCFILE, "noise": os.urandom(300_000)}, name="whole.tgz").read_bytes()
    path = tmp_path / "cut.tgz"
    path.write_bytes(whole[:len(whole) // 2])
    daemon.refused("deploy", path, "-a", kept)


def test_corrupt_archive_is_refused(daemon, kept, slug, tmp_path):
    whole = bytearray(slug({"Procfile": PROCFILE, "noise": os.urandom(300_000)}, name="whole.tgz").read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path = tmp_path / "bad.tgz"
    path.write_bytes(whole)
    daemon.refused("deploy", path, "-a", kept)


def test_wrong_checksum_names_both(daemon, kept, slug):
    path = slug(WEB_SLUG)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    wrong = "0" * 64
    error = daemon.refused("deploy", path, "-a", kept, "--checksum", f"SHA256:{wrong}")
    assert wrong[:4] in error and right[:4] in error


def test_right_checksum_is_accepted(daemon, app, slug):
    path = slug({"Procfile": "worker: sleep 1000000\n"})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    daemon.ok("deploy", path, "-a", app, "--checksum", f"SHA256:{digest}", timeout=120)


@pytest.mark.parametrize("entries, named", [
    ([entry("./app/../../etc/evil", data=b"x")], ".."),
    ([entry("./app/" + "d/" * 2100 + "f", data=b"x")], ""),
    ([entry("./app/hard", tarfile.LNKTYPE, linkname="/etc/passwd")], "hard"),
    ([entry("./app/hard", tarfile.LNKTYPE, linkname="./app/../../etc/passwd")], "hard"),
    ([entry("./app/link", tarfile.SYMTYPE, linkname="/tmp"), entry("./app/link/evil", data=b"x")], "link"),
    ([entry("./app/fifo", tarfile.FIFOTYPE)], "fifo"),
    ([entry("./app/disk", tarfile.BLKTYPE, devmajor=8, devminor=0)], "disk"),
])
def test_refused_entry_is_named(daemon, kept, tmp_path, entries, named):
    error = daemon.refused("deploy", archive(tmp_path / "slug.tgz", *entries), "-a", kept)
    assert named in error


def test_slug_whose_app_is_a_link_is_refused(daemon, kept, tmp_path):
    path = archive(tmp_path / "slug.tgz", entry("./app", tarfile.SYMTYPE, linkname="/etc"),
                   entry("./Procfile", data=PROCFILE.encode()), procfile=False)
    assert "app" in daemon.refused("deploy", path, "-a", kept)


def test_bomb_is_refused(daemon, kept, tmp_path):
    path = tmp_path / "bomb.tgz"
    with gzip.open(path, "wb", compresslevel=9) as out, \
            tarfile.open(fileobj=out, mode="w|") as tar:
        tar.addfile(*entry("./app/", tarfile.DIRTYPE))
        tar.addfile(*entry("./app/Procfile", data=PROCFILE.encode()))
        zeroes = tarfile.TarInfo("./app/zeroes")
        zeroes.size = 64 << 20
        tar.addfile(zeroes, open("/dev/zero", "rb"))
    error = daemon.refused("deploy", path, "-a", kept)
    assert re.search(r"ratio|1,000|1000", error), error


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "app", "tmp", "var", "etc"])
def test_stack_with_a_linked_place_is_refused(daemon, tmp_path, name):
    path = tmp_path / "stack.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for other in ("dev", "proc", "sys", "app", "tmp", "var", "etc"):
            if other == name:
                tar.addfile(*entry(f"./{other}", tarfile.SYMTYPE, linkname="usr"))
            else:
                tar.addfile(*entry(f"./{other}/", tarfile.DIRTYPE))
    assert name in daemon.refused("stacks:import", "bad-stack", path)
    assert "bad-stack" not in daemon.ok("stacks")


def test_setid_and_owner_are_changed_and_absolute_names_made_relative(daemon, app, tmp_path):
    path = archive(tmp_path / "slug.tgz",
                   entry("./app/setuid", data=b"#!/bin/sh\n", mode=0o6755, uid=0, gid=0),
                   entry("/app/absolute", data=b"x", uid=1234, gid=1234),
                   entry("./app/anywhere", tarfile.SYMTYPE, linkname="/etc/shadow"))
    done = daemon.ctl("deploy", path, "-a", app, "--no-wait", timeout=120)
    assert done.returncode == 0, done.stderr
    seen = daemon.run(app, "stat", "-c", "%a %u %n", "setuid", "absolute")
    assert seen.stdout.split() == ["755", "10000", "setuid", "644", "10000", "absolute"], seen.stdout


# ---- Procfiles ----

def test_slug_without_process_types_says_so(daemon, kept, slug):
    error = daemon.refused("deploy", slug({"README": "nothing"}), "-a", kept)
    assert "Procfile" in error and "--process" in error


def test_process_option_stands_in_for_a_procfile(daemon, app, slug):
    daemon.ok("deploy", slug({"README": "nothing"}), "-a", app, "--process", "worker=sleep 1000000")
    assert "worker" in daemon.ok("releases:info", "-a", app)


def test_broken_procfile_names_the_line(daemon, kept, slug):
    error = daemon.refused("deploy", slug({"Procfile": "worker: true\n\nweb gunicorn\n"}), "-a", kept)
    assert "line 3" in error


# ---- names ----

def test_unknown_names_are_named(daemon, kept):
    assert "nosuchapp" in daemon.refused("ps", "-a", "nosuchapp")
    assert "nosuchstack" in daemon.refused("stack:set", "nosuchstack", "-a", kept)
    assert "wroker" in daemon.refused("ps:scale", "wroker=2", "-a", kept)
    assert "worker" in daemon.refused("ps:scale", "wroker=2", "-a", kept)
    assert "huge-9x" in daemon.refused("ps:scale", "worker=1:huge-9x", "-a", kept)
    assert "worker.77" in daemon.refused("ps:stop", "worker.77", "-a", kept)


@pytest.mark.parametrize("name", ["ab", "A-b-c", "1abc", "a" * 31, "a" * 5000, "a_b", "a/b/c", "-abc"])
def test_bad_app_name_is_refused(daemon, name):
    done = daemon.ctl("apps:create", "--", name) if name.startswith("-") else daemon.ctl("apps:create", name)
    assert done.returncode in (1, 2), done.stdout
    assert done.stderr.strip()


@pytest.mark.parametrize("name", ["1ABC", "A-B", "HEROKU_X", "__X", "A B", "A" * 256])
def test_bad_config_name_is_refused(daemon, kept, name):
    assert daemon.ctl("config:set", f"{name}=1", "-a", kept).returncode in (1, 2)


def test_missing_app_is_a_usage_error_that_lists_apps(daemon, kept):
    error = daemon.refused("ps", status=2)
    assert kept in error


def test_json_errors_have_name_message_and_hint(daemon):
    import json

    done = daemon.ctl("ps", "-a", "nosuchapp", "--json")
    error = json.loads(done.stderr)
    assert error["error"] == "org.dynod.Error.NoSuchApp"
    assert error["message"] and "hint" in error


# ---- clients ----

def test_user_outside_the_group_is_not_permitted(daemon):
    done = daemon.ctl("apps", user=65534)
    assert done.returncode == 4, done.stderr
    assert "group" in done.stderr


def test_absent_daemon_is_unreachable(daemon):
    done = daemon.ctl("apps", "--socket", "/nonexistent/control.sock")
    assert done.returncode == 3
    assert "/nonexistent/control.sock" in done.stderr


def test_client_that_vanishes_mid_call_changes_nothing(daemon, kept, slug):
    path = slug({"Procfile": PROCFILE, "noise": os.urandom(3_000_000)}, name="slow.tgz")
    data = path.read_bytes()
    process = subprocess.Popen(
        [str(daemon.herokuctl), "deploy", "-", "-a", kept], stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "DYNOD_SOCKET": str(daemon.socket)})
    process.stdin.write(data[:len(data) // 2])
    process.stdin.flush()
    process.kill()
    process.wait(10)
    process.stdin.close()
    daemon.ok("host:info")


def test_garbage_on_the_socket_hurts_nobody(daemon):
    for garbage in (b"\0", b"\0AUTH EXTERNAL \r\n", os.urandom(4096)):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(daemon.socket))
            client.sendall(garbage)
    daemon.ok("host:info")


def test_two_imports_of_one_slug_at_once_both_succeed(daemon, stack, tmp_path):
    path = make_slug(tmp_path / "same.tgz", {"Procfile": "worker: sleep 1000000\n",
                                             "noise": os.urandom(2_000_000)})
    names = ["twin-a", "twin-b"]
    for name in names:
        daemon.ok("apps:create", name, "--stack", stack)
    results = {}

    def deploy(name):
        results[name] = daemon.ctl("deploy", path, "-a", name, timeout=120)

    threads = [threading.Thread(target=deploy, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        assert results[name].returncode == 0, results[name].stderr
        daemon.ok("apps:destroy", name, "--confirm", name, timeout=90)


def test_a_supervisor_that_hangs_is_not_waited_for_long(daemon):
    """sd-bus would wait 90 s for the first words of a peer."""
    pid = daemon.pids_of("dynod-supervisor")[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        gone = daemon.ctl("ps", "-A", timeout=60)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert gone.returncode == 3
    assert "does not answer" in gone.stderr
    daemon.ok("ps", "-A")


def test_archive_that_rotted_is_r17_at_the_next_start(daemon, app, slug):
    """The archive is the truth: a tree that is not trusted is made from it again, or not at all."""
    path = slug({**WEB_SLUG, "salt": os.urandom(16).hex()})
    daemon.ok("deploy", path, "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    archive = daemon.state_dir / "archives" / digest
    content = archive.read_bytes()

    daemon.stop()
    try:
        for marker in (daemon.state_dir / "boot").glob(f"*{digest}"):
            marker.unlink()
        archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    finally:
        daemon.start()
    rotten = hashlib.sha256(archive.read_bytes()).hexdigest()
    daemon.ctl("ps:restart", "web.1", "-a", app, timeout=90)
    line = daemon.wait_log(app, "Error R17", 60)
    assert line.endswith("Error R17 (Checksum error) -> Checksum does match expected value. "
                         f"Expected: SHA256:{digest} Actual: SHA256:{rotten}")
    daemon.wait_log(app, "heroku[web.1]: State changed from starting to crashed")

    # The same slug once more repairs it.
    daemon.ok("deploy", path, "-a", app, timeout=120)
    daemon.ok("ps:wait", "-a", app, timeout=150)
    assert archive.read_bytes() == content


def dynod(daemon, *arguments):
    return subprocess.run([str(daemon.prefix / "sbin/dynod"), "--instance", daemon.instance, *arguments],
                          capture_output=True, text=True, timeout=60)


def test_second_daemon_on_the_same_folders_is_refused(daemon):
    config = [] if daemon.is_installed else ["--config", str(daemon.folder / "dynod.conf")]
    second = dynod(daemon, *config)
    assert second.returncode == 1
    assert f"Another dynod is running on {daemon.state_dir}." in second.stderr
    daemon.ok("host:info")


def test_damaged_configuration_names_file_and_line(daemon, tmp_path):
    path = tmp_path / "dynod.conf"
    for line, text in (("nonsense = 1", 'There is no key "nonsense".'), ("web_port = x", "web_port = x: must be"),
                       ("\0", "not text")):
        path.write_text(f"# a comment\npool = 4\n{line}\n")
        for mode in (["--check"], []):
            gone = dynod(daemon, *mode, "--config", str(path))
            assert gone.returncode == 1
            assert text in gone.stderr and str(path) in gone.stderr
            assert "\0" in line or f"{path}:3: " in gone.stderr


def test_unknown_size_is_named_and_nothing_changes(daemon, kept):
    app = kept
    before = daemon.json("ps:scale", "-a", app)
    assert '"gigantic"' in daemon.refused("ps:scale", "worker=1:gigantic", "-a", app)
    assert daemon.json("ps:scale", "-a", app) == before


def test_over_long_names_are_refused(daemon, kept):
    assert "a" * 31 in daemon.refused("apps:create", "a" * 31)
    assert "A" * 256 in daemon.refused("config:set", "A" * 256 + "=1", "-a", kept)
    assert "w" * 64 in daemon.refused("ps:scale", "w" * 64 + "=1", "-a", kept, status=2)
    assert "s" * 31 in daemon.refused("stacks:import", "s" * 31, "/dev/null")
