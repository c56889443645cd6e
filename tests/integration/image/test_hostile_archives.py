# SPDX-License-Identifier: Apache-2.0
"""Each of hostile_archives.py: its outcome, GNU tar's tree, and that nothing else has changed."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from hostile_archives import CASES, OUTSIDE, slug
from store_harness import TREES, Store, describe
from tar_blocks import END, file

pytestmark = pytest.mark.native

CHANGES = ("absolute", "mode_bits", "xattrs", "devices", "replaced")


def outside(folder):
    """Where the names and links of the corpus lead, and what lies beside the store."""
    aims = [OUTSIDE.decode()] + [os.path.join(top, name) for top in ("/", "/etc", "/tmp", folder)
                                 for name in ("x", "f", "l", "m", "hidden", "Procfile", "passwd")]
    bait = os.stat("/etc/passwd")
    return ([path for path in aims if os.path.lexists(path)], sorted(os.listdir(folder)),
            bait.st_nlink, bait.st_mtime_ns, bait.st_size)


@pytest.fixture(scope="module")
def shared():
    """One store for all: what one archive leaves behind, the next would see."""
    with tempfile.TemporaryDirectory(prefix="dynod-hostile-") as folder:
        os.chmod(folder, 0o755)  # GNU tar passes through it as somebody else
        it = Store(os.environ["DYNOD_BUILD"], pathlib.Path(folder) / "state")
        it.folder = pathlib.Path(folder)
        yield it
        assert it.close() == 0


def gnu_tar(path, folder, kind, fails):
    """GNU tar's tree: as nobody who could do harm."""
    folder.mkdir()
    os.chown(folder, TREES, TREES)
    done = subprocess.run(["setpriv", f"--reuid={TREES}", f"--regid={TREES}", "--clear-groups",
                           "tar", "xpf", path, "-C", folder, "--no-same-owner", "--delay-directory-restore"],
                          stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0 or fails, done.stderr
    return folder / "app" if kind == "slug" and (folder / "app").is_dir() else folder


def same_tree(ours, theirs, begin, late_links):
    """Folders that the archive only implies have the time at which they were made."""
    for name in set(ours) & set(theirs):
        a, b = ours[name], theirs[name]
        if a[0] == b[0] == 0o040000 and (min(a[1], b[1]) > begin or late_links and b[1] > begin):
            a[1] = b[1] = 0
    assert ours == theirs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_archive(shared, case):
    path = shared.folder / "archive"
    path.write_bytes(case.make())
    path.chmod(0o644)
    before, begin = outside(shared.folder), time.time_ns() - 10**9

    if case.reason:
        report = shared.refuse(case.kind, path, case.limits)
        assert (report["reason"], report["text"]) == (case.reason, case.entry)
    else:
        done = shared.take(case.kind, path, case.limits)
        tree = shared.tree(case.kind, done["digest"])
        assert {key: done[key] for key in CHANGES if done[key]} == case.changes
        for name, content in case.holds.items():
            found = (tree / name).read_bytes() if os.path.lexists(tree / name) else None
            assert found == content
        if not case.unlike:
            place = tempfile.mkdtemp(dir="/dev/shm" if case.in_memory else shared.folder)
            os.chmod(place, 0o711)
            theirs = pathlib.Path(place) / "expected"
            same_tree(describe(tree), describe(gnu_tar(path, theirs, case.kind, case.gnu_fails)),
                      begin, case.late_links)
            shutil.rmtree(place)
        for folder, _, files in os.walk(tree):
            for name in [".", *files]:
                st = os.lstat(os.path.join(folder, name))
                assert (st.st_uid, st.st_gid, st.st_mode & 0o7000) == (TREES, TREES, 0)
    assert outside(shared.folder) == before
    assert shared.ask("idle")


def test_corpus_is_large_enough():
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert {case.reason for case in CASES} >= {
        "NAME_DOTDOT", "NAME_NUL", "NAME_TOO_LONG", "HARDLINK_OUTSIDE", "THROUGH_LINK",
        "SPECIAL_FILE", "STACK_DIR_IS_LINK", "SLUG_APP_IS_LINK", "TOO_MANY_ENTRIES", "TOO_LARGE",
        "RATIO", "PROCFILE", "CORRUPT", "NOT_AN_ARCHIVE"}


def test_cut_at_every_block(shared):
    """Only with its end is it whole: one block of zeroes is enough, as for GNU tar."""
    whole = slug(file(b"app/x", b"d" * 600))
    path = shared.folder / "archive"
    for size in range(0, len(whole), 512):
        path.write_bytes(whole[:size])
        if size > len(whole) - len(END):
            shared.take("slug", path)
        else:
            reason = shared.refuse("slug", path)["reason"]
            assert reason == ("CORRUPT" if size else "NOT_AN_ARCHIVE"), size
