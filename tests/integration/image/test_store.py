# SPDX-License-Identifier: Apache-2.0
"""The store: what is trusted, what is kept, and that nothing is left of what was cut off."""

import errno
import os
import pathlib
import subprocess
import time

import pytest

from store_harness import LIMITS, Archive, Store, digest_of

pytestmark = pytest.mark.native


def slug(tmp_path, name="slug.tar.gz", content="x", size=0):
    archive = Archive(tmp_path / name).folder("./app").add("./app/Procfile", "web: x\nworker: y z\n")
    return archive.add("./app/file", content).add("./app/data", os.urandom(size)).close()


def marker(store, kind, digest):
    return store.state / "boot" / f"{kind}-{digest}"


def forget_boot(store, kind, digest):
    """As after a reboot without a sync: the marker speaks of another boot."""
    path = marker(store, kind, digest)
    words = path.read_text().split()
    path.write_text(" ".join(["00000000-0000-0000-0000-000000000000", *words[1:]]))


# --- imports ---

def test_slug_is_imported(store, tmp_path):
    path = slug(tmp_path)
    assert store.ask("open", "slug", digest_of(path)) == -errno.ENOENT
    done = store.take("slug", path)
    assert done["processes"] == {"web": "x", "worker": "y z"}
    assert store.ask("open", "slug", done["digest"]) == 0
    assert (store.state / "archives" / done["digest"]).read_bytes() == path.read_bytes()
    assert os.listdir(store.state / "tmp") == []


def test_fetch_from_a_pipe(store, tmp_path):
    path = slug(tmp_path, size=3 << 20)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = subprocess.Popen(["sh", "-c", f"cat {path} > {fifo}"])
    with open(fifo, "rb"):  # so that the driver's open finds a writer
        fetched = store.fetch(fifo, 7)
    assert writer.wait(10) == 0
    store.ask("abandon", 0, 7)
    store.settle()
    assert fetched["result"] in (0, -errno.EBADMSG)


def test_fetch_over_its_limit_is_refused(store, tmp_path):
    path = slug(tmp_path, size=1 << 20)
    assert store.fetch(path, 3, 1 << 19)["result"] == -errno.EBADMSG
    assert store.reports(3, "refused")[0]["reason"] == "TOO_LARGE"
    store.ask("abandon", 0, 3)
    store.settle()
    assert os.listdir(store.state / "tmp") == []


def test_folder_instead_of_an_archive(store, tmp_path):
    assert store.fetch(tmp_path, 3)["result"] == -errno.EISDIR
    refused = store.reports(3, "refused")[0]
    assert (refused["reason"], refused["error"]) == ("INTERNAL", errno.EISDIR)


def test_digest_of_another_archive_is_refused(store, tmp_path):
    fetched = store.fetch(slug(tmp_path), 3)
    other = "0" * 64
    assert store.extract(3, "slug", other)[0] == -errno.EBADMSG
    assert store.extract(3, "slug", fetched["digest"])[1]["result"] == 0


def test_numbers_and_order_are_checked(store, tmp_path):
    path = slug(tmp_path)
    fetched = store.fetch(path, 3)
    assert store.ask("fetch", 9, 3, 1 << 30, path) == -errno.EEXIST
    assert store.ask("fetch", 9, 0, 1 << 30, path) == -errno.EINVAL
    assert store.ask("fetch", 9, 4, 0, path) == -errno.EINVAL  # no limit
    assert store.commit(3) == -errno.EBUSY
    assert store.commit(4) == -errno.ENOENT
    assert store.extract(4, "slug", fetched["digest"])[0] == -errno.ENOENT
    assert store.extract(3, "slug", fetched["digest"], (1, 1, 0))[0] == -errno.EINVAL


def test_same_slug_twice_at_once(store, tmp_path):
    path = slug(tmp_path, size=1 << 20)
    digest = [store.fetch(path, n)["digest"] for n in (3, 4)][0]
    for seq, number in ((103, 3), (104, 4)):
        assert store.ask("extract", seq, number, "slug", digest, *LIMITS) == 0
    assert [store.event("extracted", seq)["result"] for seq in (103, 104)] == [0, 0]
    assert [store.commit(n) for n in (3, 4)] == [0, 0]
    store.settle()
    assert store.ask("open", "slug", digest) == 0
    assert os.listdir(store.state / "tmp") == []
    assert os.listdir(store.state / "slugs") == os.listdir(store.state / "archives") == [digest]


def test_slug_that_is_there_is_not_extracted_again(store, tmp_path):
    path = slug(tmp_path)
    digest = store.take("slug", path)["digest"]
    inode = store.tree("slug", digest).stat().st_ino
    store.fetch(path, 50)
    assert store.extract(50, "slug", digest)[0] == -errno.EEXIST
    assert store.commit(50) == 0
    store.settle()
    assert store.tree("slug", digest).stat().st_ino == inode
    assert os.listdir(store.state / "tmp") == []


def test_one_file_as_stack_and_slug(store, tmp_path):
    path = slug(tmp_path)
    digest = store.take("slug", path)["digest"]
    assert store.take("stack", path)["digest"] == digest
    assert store.ask("remove", "slug", digest) == 0
    assert store.ask("open", "slug", digest) == -errno.ENOENT
    assert store.ask("open", "stack", digest) == 0
    assert (store.state / "archives" / digest).exists()
    assert store.ask("remove", "stack", digest) == 0
    store.settle()
    assert not (store.state / "archives" / digest).exists()


def test_removed_object_is_gone(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    assert store.ask("remove", "slug", digest) == 0
    assert store.ask("open", "slug", digest) == -errno.ENOENT
    store.settle()
    assert store.listing() == ["archives", "boot", "slugs", "stacks", "tmp"]
    assert store.ask("remove", "slug", digest) == 0


def test_deep_and_locked_tree_is_removed(store, tmp_path):
    archive = Archive(tmp_path / "deep.tar.gz").add("./app/Procfile", "web: x\n")
    name = "./app"
    for _ in range(1500):
        name += "/d"
    archive.add(name + "/f", "x").folder("./app/locked", mode=0).folder("./app/ro", mode=0o555)
    archive.add("./app/ro/f", "x", mode=0)
    digest = store.take("slug", archive.close())["digest"]
    assert store.ask("remove", "slug", digest) == 0
    store.settle()
    assert store.listing() == ["archives", "boot", "slugs", "stacks", "tmp"]


def test_large_archive_is_deleted_by_a_child(store, tmp_path):
    """Freeing its blocks takes time that is not the launcher's."""
    files = tmp_path / "large.tar"
    large = Archive(files, "w:").add("./app/Procfile", "web: x\n").add("./app/large", b"x" * (65 << 20)).close()
    size = files.stat().st_size
    digest = store.take("slug", large)["digest"]
    number = store.next()
    store.fetch(large, number)
    assert store.extract(number, "slug", digest)[0] == -errno.EEXIST
    assert store.commit(number) == 0  # in place of the first, which is deleted
    store.settle()
    assert os.listdir(store.state / "tmp") == []
    assert store.ask("remove", "slug", digest) == 0
    store.settle()
    assert store.listing() == ["archives", "boot", "slugs", "stacks", "tmp"]
    assert store.ask("largest") < size


@pytest.mark.parametrize("propagation", ["shared", "slave", "private"])
def test_mounts_may_be_shared(build, tmp_path, propagation):
    """systemd shares all mounts; dynod's own namespace receives; a container has them private."""
    store = Store(build, tmp_path / "state", ["unshare", "-m", f"--propagation={propagation}"])
    done = store.take("slug", slug(tmp_path))
    assert store.ask("remove", "slug", done["digest"]) == 0
    store.settle()
    assert store.close() == 0
    assert str(tmp_path) not in pathlib.Path("/proc/self/mountinfo").read_text()


# --- trust ---

def test_tree_of_another_boot_is_rebuilt(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    forget_boot(store, "slug", digest)
    (store.tree("slug", digest) / "file").write_text("torn")
    assert store.ask("open", "slug", digest) == -errno.ENOENT
    result, event = store.extract(0, "slug", digest)
    assert (result, event["result"]) == (0, 0)
    assert store.ask("open", "slug", digest) == 0
    assert (store.tree("slug", digest) / "file").read_text() == "x"
    store.settle()
    assert os.listdir(store.state / "tmp") == []


def test_synced_tree_is_trusted_after_a_restart(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    assert marker(store, "slug", digest).read_text().startswith("synced ")
    store.close()
    store.start()
    assert store.ask("open", "slug", digest) == 0
    assert store.extract(0, "slug", digest)[0] == -errno.EEXIST


def test_tree_without_a_marker_or_replaced_is_not_trusted(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    tree = store.state / "slugs" / digest
    tree.rename(tree.with_suffix(".old"))
    subprocess.run(["cp", "-a", tree.with_suffix(".old"), tree], check=True)
    assert store.ask("open", "slug", digest) == -errno.ENOENT
    marker(store, "slug", digest).unlink()
    assert store.ask("open", "slug", digest) == -errno.ENOENT


def test_damaged_archive_is_noticed_at_a_rebuild(store, tmp_path):
    """Uncompressed, so that nothing but the digest can tell."""
    archive = Archive(tmp_path / "a.tar", "w:").add("./app/Procfile", "web: x\n")
    digest = store.take("slug", archive.add("./app/file", "GOOD" * 1000).close())["digest"]
    forget_boot(store, "slug", digest)
    path = store.state / "archives" / digest
    path.write_bytes(path.read_bytes().replace(b"GOODGOOD", b"GOODEVIL", 1))
    result, event = store.extract(0, "slug", digest)
    assert (result, event["result"]) == (0, -errno.EBADMSG)
    assert store.ask("open", "slug", digest) == -errno.ENOENT


def test_damaged_archive_is_replaced_by_the_next_import(store, tmp_path):
    path = slug(tmp_path)
    digest = store.take("slug", path)["digest"]
    kept = store.state / "archives" / digest
    kept.write_bytes(b"rotten")
    number = store.next()
    store.fetch(path, number)
    assert store.extract(number, "slug", digest)[0] == -errno.EEXIST
    assert store.commit(number) == 0
    assert kept.read_bytes() == path.read_bytes()


def test_rebuild_tells_what_the_damaged_archive_is(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    forget_boot(store, "slug", digest)
    kept = store.state / "archives" / digest
    kept.write_bytes(b"rotten")
    _, event = store.extract(0, "slug", digest)
    assert (event["result"], event["digest"]) == (-errno.EBADMSG, digest_of(kept))


def test_rebuild_of_what_is_not_there(store):
    assert store.extract(0, "slug", "1" * 64)[0] == -errno.ENOENT


def test_part_that_is_a_link_is_refused(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    tree = store.tree("slug", digest)
    tree.rename(tree.with_name("moved"))
    tree.symlink_to("/etc")
    assert store.ask("open", "slug", digest) == -errno.EBADMSG


# --- cut off ---

def children(store):
    pid = store.process.pid
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for_end(pids):
    deadline = time.monotonic() + 10
    while any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a child outlives dynod"
        time.sleep(0.01)  # nothing to wait on: they are not our children


def blocked_extract(store, tmp_path):
    """An extraction whose archive is a FIFO. Return: (pid, FIFO open for writing)."""
    fetched = store.fetch(slug(tmp_path), 3)
    place = next((store.state / "tmp").iterdir()) / "archive"
    store.settle()
    place.unlink()
    os.mkfifo(place)
    fifo = os.open(place, os.O_RDWR)
    assert store.ask("extract", 99, 3, "slug", fetched["digest"], *LIMITS) == 0
    (pid,) = children(store)
    deadline = time.monotonic() + 10
    while "Seccomp:\t2" not in pathlib.Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "it does not lock itself in"
        time.sleep(0.01)  # nothing to wait on: it says nothing before the first byte
    return pid, fifo


def test_killed_in_the_middle_leaves_nothing(store, tmp_path):
    pid, fifo = blocked_extract(store, tmp_path)
    os.write(fifo, slug(tmp_path, "b.tar.gz", size=1 << 20).read_bytes()[:40_000])
    pids = children(store)
    store.kill()
    os.close(fifo)
    wait_for_end(pids)
    store.start()
    store.settle()
    assert store.listing() == ["archives", "boot", "slugs", "stacks", "tmp"]


def test_abandoned_extraction_leaves_nothing(store, tmp_path):
    pid, fifo = blocked_extract(store, tmp_path)
    store.ask("abandon", 0, 3)
    store.settle()
    os.close(fifo)
    assert not pathlib.Path(f"/proc/{pid}").exists()
    assert store.listing() == ["archives", "boot", "slugs", "stacks", "tmp"]


def test_object_whose_archive_never_came_is_removed(store, tmp_path):
    digest = store.take("slug", slug(tmp_path))["digest"]
    store.close()
    (store.state / "archives" / digest).unlink()
    store.start()
    store.settle()
    assert store.ask("open", "slug", digest) == -errno.ENOENT
    assert os.listdir(store.state / "slugs") == []


def test_unpacker_that_dies_is_reported(store, tmp_path):
    pid, fifo = blocked_extract(store, tmp_path)
    os.kill(pid, 9)
    assert store.event("extracted", 99)["result"] == -errno.EPROTO
    os.close(fifo)


# --- full disk ---

@pytest.fixture
def small_disk(build, tmp_path):
    """A store on a file system of 24 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "t", disk], check=True)
    store = Store(build, disk / "state")
    try:
        yield store
    finally:
        store.close()
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("size", [30 << 20, 15 << 20])
def test_full_disk_is_said_and_what_was_there_stays(small_disk, tmp_path, size):
    """The larger archive does not fit itself, of the smaller one only the tree does not."""
    store = small_disk
    old = store.take("slug", slug(tmp_path))["digest"]
    before = store.listing()
    fetched = store.fetch(slug(tmp_path, "big.tar.gz", size=size), 3)
    if size > 24 << 20:
        assert fetched["result"] == -errno.ENOSPC
    else:
        assert fetched["result"] == 0
        result, event = store.extract(3, "slug", fetched["digest"])
        assert (result, event["result"]) == (0, -errno.ENOSPC)
    assert store.reports(3, "refused")[0]["reason"] == "NO_ROOM"
    store.ask("abandon", 0, 3)
    store.settle()
    assert store.listing() == before
    assert store.ask("open", "slug", old) == 0
    store.take("slug", slug(tmp_path, "next.tar.gz", "next"))


# --- confinement, seen from outside ---

EMPTY_SETS = [f"{name}:\t{0:016x}" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]


def check_confined(pid, uid_range):
    proc = pathlib.Path(f"/proc/{pid}")
    status = proc.joinpath("status").read_text().splitlines()
    for line in [*EMPTY_SETS, "NoNewPrivs:\t1", "Seccomp:\t2", "Groups:\t "]:
        assert line in status
    uids = {int(u) for line in status if line[:4] in ("Uid:", "Gid:") for u in line.split()[1:]}
    assert len(uids) == 1 and uids.pop() in uid_range
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup"):
        assert os.readlink(proc / "ns" / name) != os.readlink(f"/proc/self/ns/{name}"), name
    links = [line.split(":")[0].strip() for line in
             proc.joinpath("net/dev").read_text().splitlines()[2:]]
    assert links in ([], ["lo"])
    assert proc.joinpath("fd").stat().st_uid == 0  # not dumpable: nobody may trace it
    limits = {line[:26].strip(): line[26:].split()[1] for line in
              proc.joinpath("limits").read_text().splitlines()}
    assert (limits["Max address space"], limits["Max open files"], limits["Max core file size"]) == (
        str(2 << 30), "64", "0")


IMPORT_UIDS = range(3_000_016, 3_001_024)


def test_extractor_is_confined_before_the_first_byte(store, tmp_path):
    pid, fifo = blocked_extract(store, tmp_path)
    check_confined(pid, IMPORT_UIDS)
    mounts = pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert len(mounts) == 1 and mounts[0].split()[4] == "/"
    assert {"nosuid", "nodev", "noexec", "idmapped"} <= set(mounts[0].split()[5].split(",")) | {
        "idmapped"}
    assert os.listdir(f"/proc/{pid}/root") == ["stage"]
    assert sorted(os.listdir(f"/proc/{pid}/fd"), key=int)[:6] == ["0", "1", "2", "3", "4", "5"]
    for fd in ("0", "1", "2"):
        assert os.readlink(f"/proc/{pid}/fd/{fd}").endswith("/dev/null") or \
            os.readlink(f"/proc/{pid}/fd/{fd}") == "/null"
    os.close(fifo)


def test_each_import_has_a_uid_of_its_own(store, tmp_path):
    seen = set()
    for _ in range(2):
        pid, fifo = blocked_extract(store, tmp_path)
        seen.add(os.stat(f"/proc/{pid}/task").st_uid)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        seen.add(status.split("Uid:")[1].split()[0])
        store.ask("abandon", 0, 3)
        store.settle()
        os.close(fifo)
    assert len({uid for uid in seen if isinstance(uid, str)}) == 2


def test_fetcher_is_confined(store, tmp_path):
    fifo_path = tmp_path / "fifo"
    os.mkfifo(fifo_path)
    fifo = os.open(fifo_path, os.O_RDWR)
    assert store.ask("fetch", 1, 3, 1 << 30, fifo_path) == 0
    (pid,) = children(store)
    deadline = time.monotonic() + 10
    while "Seccomp:\t2" not in pathlib.Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)  # as above
    check_confined(pid, IMPORT_UIDS)
    store.ask("abandon", 0, 3)
    store.settle()
    os.close(fifo)


def test_programs_link_only_what_they_need(build):
    def libraries(name):
        out = subprocess.run(["objdump", "-p", f"{build}/{name}"], capture_output=True, text=True,
                             check=True).stdout
        return {line.split()[1].split(".so")[0] for line in out.splitlines() if "NEEDED" in line}

    assert libraries("tests/image_driver") <= {"libc"}
    assert libraries("bin/dynod-unpacker") <= {
        "libc", "libarchive", "libisal", "libnettle", "libseccomp"}
