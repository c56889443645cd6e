# SPDX-License-Identifier: Apache-2.0
"""Scratch that all dynos share: what lies where, what the end of a dyno leaves, what is refused.

The file system is one without quotas, which every kernel has; tests/vm/test_scratch.py has them.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

from dynod_testing import WEB_SLUG, make_slug, missing_layers, native_daemon, wait_until

pytestmark = pytest.mark.native

RANGES = "network = 172.31.192.0/20\nservice_address = 172.31.192.1\nuid_base = 1879160000\n"

# What is hard to remove: depth, folders that lock out, sticky ones, folders of the slug under
# other names, whiteouts, names that are no text.
HARD_TO_REMOVE = r'''
import os
for top in ("/tmp", "/var/tmp", "/app"):
    os.chdir(top)
    for i in range(400):
        os.mkdir("d")
        os.chdir("d")
    for name in (b"\xff\xfe", b"-rf", b" "):
        open(name, "w").close()
    os.chdir(top)
    os.makedirs("locked/in")
    os.chmod("locked/in", 0)
    os.chmod("locked", 0)
    os.mkdir("sticky")
    os.chmod("sticky", 0o1777)
    os.symlink("/etc", "sticky/link")
    os.symlink("x" * 200, "long")
    os.mkfifo("fifo")
    for i in range(2000):
        open("file%d" % i, "w").close()
os.rename("/app/lib", "/app/library")
os.unlink("/app/web.py")
'''


@pytest.fixture(scope="module")
def place():
    """A mount point with an ext4 file system of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dynod-itest.", dir="/var/tmp"))
    image, mount = folder / "image", folder / "mount"
    mount.mkdir(mode=0o755)
    subprocess.run(["truncate", "-s", "256M", image], check=True)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    yield mount
    subprocess.run(["umount", mount], check=True)
    shutil.rmtree(folder)


def configure(daemon, place, allow_quota=True):
    """Writes the daemon's configuration with @place as scratch."""
    path = daemon.folder / "dynod.conf"
    lines = [line for line in path.read_text().splitlines()
             if not line.startswith(("scratch", "allow_missing"))]
    missing = missing_layers() + (["quota"] if allow_quota else [])
    path.write_text("\n".join([*lines, f"allow_missing = {' '.join(missing)}", f"scratch = {place}", ""]))


@pytest.fixture(scope="module")
def shared(place):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="dynod-itest.", dir="/var/tmp"))
    daemon = native_daemon(pathlib.Path(os.environ["DYNOD_BUILD"]), folder, "itscratch", RANGES)
    configure(daemon, place)
    try:
        daemon.start()
        daemon.ok("stacks:import", "debian-12", os.environ["DYNOD_STACK"], timeout=600)
        yield daemon
    finally:
        left = daemon.remove()
    assert left == ""
    assert sorted(p.name for p in place.iterdir()) == ["lost+found"], "purge left something in scratch"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def shop(shared, tmp_path_factory):
    slug = tmp_path_factory.mktemp("slug") / "slug.tgz"
    make_slug(slug, WEB_SLUG | {"lib/one": "1\n", "lib/two": "2\n"})
    shared.ok("apps:create", "shop", "--stack", "debian-12")
    shared.ok("deploy", slug, "-a", "shop", timeout=120)
    shared.ok("ps:wait", "-a", "shop", timeout=120)
    return "shop"


def folders(shared, place):
    return {p.name for p in (place / shared.instance).iterdir() if p.name != ".trash"}


def trash(shared, place):
    return {p.name for p in (place / shared.instance / ".trash").iterdir()}


def test_each_dyno_has_a_folder_that_only_root_passes(shared, place, shop):
    dyno = shared.dyno(shop, "web.1")
    folder = place / shared.instance / dyno["id"]
    assert folders(shared, place) == {dyno["id"]}
    for path in (place / shared.instance, folder):
        assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (0, 0o700), path
    shared.ok("ps:exec", "web.1", "-a", shop, "--no-tty", "--", "sh", "-c",
              "echo a >/app/a; echo b >/tmp/b; echo c >/var/tmp/c")
    for name in ("app-upper/a", "tmp/b", "var-tmp/c"):
        assert (folder / name).stat().st_uid == dyno["uid"], name


def test_missing_quota_is_said_each_time(shared, shop):
    layers = {e["layer"]: e for e in shared.json("ps:inspect", "web.1", "-a", shop)["layers"]}
    assert layers["limits"]["verdict"] == "allowed"
    assert "without quota" in layers["limits"]["detail"]
    doctor = {e["layer"]: e for e in shared.json("doctor")["layers"]}
    assert doctor["limits"]["verdict"] == "allowed" and "quota" in doctor["limits"]["detail"]
    assert "scratch 2" in doctor["rootfs"]["detail"] and "% free" in doctor["rootfs"]["detail"]
    assert "without a layer" in shared.log_tail(200)


def test_what_a_dyno_left_is_removed(shared, place, shop):
    before = folders(shared, place)
    done = shared.run(shop, "python3", "-c", HARD_TO_REMOVE, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    wait_until(lambda: folders(shared, place) == before and not trash(shared, place), "scratch is empty", 60)
    assert "cannot be removed" not in shared.log_tail(400)


@pytest.mark.parametrize("folder", ["/app", "/tmp", "/var/tmp"])
def test_one_file_is_removed_from_anywhere(folder, shared, place, shop):
    before = folders(shared, place)
    assert shared.run(shop, "touch", f"{folder}/file").returncode == 0
    wait_until(lambda: folders(shared, place) == before and not trash(shared, place), "scratch is empty", 60)


def removers(shared):
    """Children of dynod that remove something, and live."""
    main = shared.main_pid()
    found = []
    for pid in map(int, pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()):
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "dynod-unpacker":
                found.append(pid)
    return found


def test_trash_that_is_slow_to_empty_keeps_none_waiting(shared, place, shop):
    before = folders(shared, place)
    many = "import os\nfor i in range(40000): os.mkdir('/tmp/%d' % i)\n"
    done = shared.run(shop, "python3", "-c", many, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    # Stopped, it is as slow as can be.
    os.kill(wait_until(lambda: removers(shared), "its folder is being emptied")[0], signal.SIGSTOP)
    slow, = wait_until(lambda: trash(shared, place), "it is trash")
    for _ in range(2):
        assert shared.run(shop, "touch", "/tmp/file").returncode == 0
    wait_until(lambda: trash(shared, place) <= {slow} and folders(shared, place) == before,
               "what others left is removed", 60)
    wait_until(lambda: not trash(shared, place), "the trash is empty", 60)
    assert "cannot be removed" not in shared.log_tail(400)


def test_killed_dynod_leaves_no_trash_behind(shared, place, shop):
    before = folders(shared, place)
    many = "import os\nfor i in range(6000): os.mkdir('/tmp/%d' % i)\n"
    done = shared.run(shop, "python3", "-c", many, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    shared.kill_process("dynod")
    assert before <= folders(shared, place), "a living dyno lost its scratch"
    wait_until(lambda: not trash(shared, place), "the trash is empty", 60)
    assert shared.dyno(shop, "web.1")["state"] == "up"
    assert shared.exec(shop, "web.1", "cat", "/tmp/b").stdout == "b\n"


def test_folder_that_belongs_to_nobody_goes_at_the_next_start(shared, place, shop):
    stray = place / shared.instance / "web.9-abcdef"
    (stray / "tmp").mkdir(parents=True)
    (stray / "tmp/file").touch()
    owner = shared.dyno(shop, "web.1")["uid"]
    for path in (stray / "tmp", stray / "tmp/file"):
        os.chown(path, owner, owner)
    shared.restart()
    wait_until(lambda: not stray.exists() and not trash(shared, place), "the stray folder is gone", 30)


@pytest.mark.parametrize("case, said", [
    ("folder", "nothing is mounted"), ("writable", "others than root"), ("quota", "quota is missing")])
def test_scratch_that_bounds_nothing_is_refused(case, said, shared, place, shop):
    folder = place.parent / "größe"  # its path is in messages of root's, which are ASCII
    folder.mkdir(exist_ok=True)
    configure(shared, folder if case == "folder" else place, allow_quota=case != "quota")
    place.chmod(0o777 if case == "writable" else 0o755)
    shared.restart()
    try:
        refused = shared.run(shop, "true")
        assert refused.returncode == 125 and said in refused.stderr, refused.stderr
        doctor = shared.ctl("doctor")
        assert doctor.returncode == 1 and said.split()[0] in doctor.stdout, doctor.stdout
        assert not list(folder.iterdir())
    finally:
        place.chmod(0o755)
        configure(shared, place)
        shared.restart()
    assert shared.run(shop, "true").returncode == 0
    assert shared.dyno(shop, "web.1")["state"] == "up", "a running dyno is no start"
