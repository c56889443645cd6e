# SPDX-License-Identifier: Apache-2.0
"""Archives of real packers and sizes; hostile ones are in hostile_archives.py."""

import gzip
import lzma
import os
import shutil
import subprocess
import tarfile

import pytest

from store_harness import LIMITS, TREES, Archive, describe
from tar_blocks import END, file, folder, record, symlink

pytestmark = pytest.mark.native


def test_too_large_is_refused_before_it_is_written(store, archive):
    archive.add("./app/big", os.urandom(2 << 20))
    report = store.refuse("slug", archive.close(), (1 << 20, 1000, 1000))
    assert (report["reason"], report["text"]) == ("TOO_LARGE", "./app/big")
    assert report["tree_bytes"] < 1 << 20


def test_sparse_file_counts_with_its_whole_size(store, tmp_path):
    (tmp_path / "app").mkdir()
    with open(tmp_path / "app/sparse", "wb") as file:
        file.truncate(5 << 30)
    path = tmp_path / "s.tar"
    subprocess.run(["tar", "cSf", path, "-C", tmp_path, "./app"], check=True)
    assert store.refuse("slug", path)["reason"] == "TOO_LARGE"


def test_ratio_of_a_bomb_is_refused(store, archive):
    archive.add("./app/zeroes", bytes(64 << 20))
    report = store.refuse("slug", archive.close(), (1 << 30, 1000, 100))
    assert report["reason"] == "RATIO"


def test_small_bomb_is_refused_by_the_default_limits(store, tmp_path):
    archive = Archive(tmp_path / "a.tar.xz", "w:xz").add("./app/Procfile", "web: x\n")
    report = store.refuse("slug", archive.add("./app/zeroes", bytes(8 << 20)).close())
    assert report["reason"] == "RATIO"


def test_ratio_is_to_the_whole_archive(store, archive):
    """Zeroes first, and enough of the rest behind: 250 to 1, though it begins with 1,000."""
    archive.add("./app/zeroes", bytes(350 << 20)).add("./app/rest", os.urandom(1 << 20))
    assert store.take("slug", archive.close(), (1 << 30, 1000, 500))["entries"] == 5


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_ratio_of_padding_is_refused(store, tmp_path, pack):
    """Zeroes behind the end of the tar make no entry, but cost as much."""
    path = tmp_path / "a.tar"
    Archive(path, "w:").add("app/Procfile", "web: x\n").close()
    path.write_bytes(pack(path.read_bytes() + bytes(64 << 20)))
    report = store.refuse("slug", path, (1 << 30, 1000, 100))
    assert report["reason"] == "RATIO"


# --- damaged ---

def packed(tmp_path, suffix):
    source = tmp_path / "a.tar"
    archive = Archive(source, "w:").folder("./app").add("./app/Procfile", "web: x\n")
    archive.add("./app/data", os.urandom(300_000)).close()
    tools = {"tar": None, "gz": "gzip", "xz": "xz", "zst": "zstd"}
    if not tools[suffix]:
        return source
    with open(tmp_path / f"a.tar.{suffix}", "wb") as out:
        subprocess.run([tools[suffix], "-c", source], stdout=out, check=True)
    return tmp_path / f"a.tar.{suffix}"


ALL = ["tar", "gz", "xz", "zst"]


@pytest.mark.parametrize("suffix", ALL)
def test_every_packing_is_accepted(store, tmp_path, suffix):
    done = store.take("slug", packed(tmp_path, suffix))
    assert done["processes"] == {"web": "x"}
    assert (store.tree("slug", done["digest"]) / "data").stat().st_size == 300_000


@pytest.mark.parametrize("suffix", ALL)
@pytest.mark.parametrize("cut", [0.3, 0.9, 0.995])
def test_truncated_is_refused(store, tmp_path, suffix, cut):
    path = packed(tmp_path, suffix)
    os.truncate(path, int(path.stat().st_size * (cut if suffix != "tar" else min(cut, 0.9))))
    assert store.refuse("slug", path)["reason"] == "CORRUPT"


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_last_bytes_missing_is_refused(store, tmp_path, suffix):
    path = packed(tmp_path, suffix)
    os.truncate(path, path.stat().st_size - 3)
    assert store.refuse("slug", path)["reason"] == "CORRUPT"


def test_tar_without_its_end_is_refused(store, tmp_path):
    """Cut exactly between two entries, where only the missing end tells."""
    path = packed(tmp_path, "tar")
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    os.truncate(path, last.offset)
    assert store.refuse("slug", path)["reason"] == "CORRUPT"


@pytest.mark.parametrize("suffix", ["gz", "xz", "zst"])
def test_flipped_byte_is_refused(store, tmp_path, suffix):
    path = packed(tmp_path, suffix)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    assert store.refuse("slug", path)["reason"] == "CORRUPT"


def test_gzip_of_several_members_with_padding_is_accepted(store, tmp_path):
    data = packed(tmp_path, "tar").read_bytes()
    path = tmp_path / "m.tar.gz"
    parts = [gzip.compress(data[i:i + 77_777]) for i in range(0, len(data), 77_777)]
    path.write_bytes(b"".join(parts) + gzip.compress(b"") + bytes(1000))
    assert store.take("slug", path)["processes"] == {"web": "x"}


# --- changed, and counted ---

def test_changes_are_counted(store, tmp_path):
    archive = Archive(tmp_path / "a.tar.gz")
    archive.folder("./").folder("/bin").add("/bin/su", "x", mode=0o4755)
    archive.folder("./tmp", mode=0o1777).folder("./var").folder("./var/mail", mode=0o2775)
    archive.add("./bin/ping", "x", mode=0o755,
                pax_headers={"SCHILY.xattr.security.capability": "cap"})
    acl = "user::rwx,user:1000:r-x,group::r-x,mask::r-x,other::---"
    archive.add("./bin/acl", "x", mode=0o750, pax_headers={"SCHILY.acl.access": acl})
    archive.add("./dev/null", kind=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)
    archive.add("./dev/initctl", kind=tarfile.FIFOTYPE)
    archive.hardlink("./dev/null2", "./dev/null")
    archive.folder("./etc").symlink("./etc/resolv.conf", "../run/resolv.conf")
    done = store.take("stack", archive.close())
    tree = store.tree("stack", done["digest"])
    assert {k: done[k] for k in ("absolute", "mode_bits", "xattrs", "devices", "replaced")} == {
        "absolute": 2, "mode_bits": 3, "xattrs": 2, "devices": 3, "replaced": 1}
    assert (tree / "bin/su").stat().st_mode & 0o7777 == 0o755
    assert (tree / "tmp").stat().st_mode & 0o7777 == 0o777
    assert (tree / "var/mail").stat().st_mode & 0o7777 == 0o775
    assert os.listxattr(tree / "bin/ping") == []
    assert os.listdir(tree / "dev") == []
    assert (tree / "etc/resolv.conf").is_file() and not (tree / "etc/resolv.conf").is_symlink()


def test_owner_is_the_trees_whatever_the_archive_says(store, archive):
    archive.add("./app/f", "x", uid=0, gid=0).add("./app/g", "x", uid=1234, gid=5678)
    done = store.take("slug", archive.close())
    tree = store.tree("slug", done["digest"])
    for path in [tree, *tree.rglob("*")]:
        assert (path.lstat().st_uid, path.lstat().st_gid) == (TREES, TREES)


# --- harmless ---

def test_links_with_any_target_are_kept(store, archive):
    targets = ["/etc/shadow", "../../../../../etc/shadow", "/", "nowhere", "/app/f", "a b\n"]
    for i, target in enumerate(targets):
        archive.symlink(f"./app/l{i}", target)
    archive.hardlink("./app/hard", "./app/l0")
    done = store.take("slug", archive.close())
    tree = store.tree("slug", done["digest"])
    assert [os.readlink(tree / f"l{i}") for i in range(len(targets))] == targets
    assert os.readlink(tree / "hard") == targets[0]


def test_top_level_links_of_a_stack_are_kept(store, tmp_path):
    archive = Archive(tmp_path / "a.tar.gz").folder("./usr/bin")
    for name in ["bin", "sbin", "lib", "lib64", "lib32"]:
        archive.symlink(f"./{name}", f"usr/{name}")
    done = store.take("stack", archive.close())
    assert os.readlink(store.tree("stack", done["digest"]) / "bin") == "usr/bin"


# --- compared with GNU tar ---

def compare(store, path, kind, tmp_path, below=".", limits=LIMITS):
    done = store.take(kind, path, limits)
    expected = tmp_path / "expected"
    expected.mkdir()
    subprocess.run(["tar", "xpf", path, "-C", expected, "--no-same-owner",
                    "--delay-directory-restore"], check=True)
    ours = describe(store.tree(kind, done["digest"]))
    theirs = describe(expected / below)
    assert ours == theirs
    shutil.rmtree(expected)
    return done


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_same_tree_as_gnu_tar(store, tmp_path, form):
    archive = Archive(tmp_path / "a.tar.gz", format=form)
    archive.folder("./", mode=0o755).folder("./app", mode=0o755, mtime=1_500_000_001)
    archive.add("./app/Procfile", "web: x\n", mtime=1_500_000_002)
    archive.folder("./app/empty", mode=0o700).folder("./app/ro", mode=0o555, mtime=1_400_000_000)
    archive.add("./app/ro/f", "x" * 1000, mode=0o400).add("./app/exec", "#!", mode=0o751)
    archive.add("./app/none", "", mode=0)
    archive.folder("./app/héé").add("./app/héé/ünï.txt", "utf-8")
    archive.folder("./app/" + "p" * 90).add("./app/" + "p" * 90 + "/f", "deep")
    archive.folder("./app/héé", mode=0o711).folder("./app/" + "p" * 90)
    archive.symlink("./app/l", "exec", mtime=1_300_000_000).hardlink("./app/h", "./app/exec")
    archive.add("./app/twice", "first", mode=0o600).add("./app/twice", "second", mode=0o640)
    archive.add("./app/old", "o").symlink("./app/old", "exec")
    archive.symlink("./app/was-link", "exec").add("./app/was-link", "now a file")
    archive.symlink("./app/was-link2", "empty").folder("./app/was-link2")
    compare(store, archive.close(), "slug", tmp_path, "app")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_fine_times_as_gnu_tar(store, tmp_path, form):
    archive = Archive(tmp_path / "a.tar.gz", format=form).add("./Procfile", "web: x\n")
    name = "./" + "/".join(["n" * 250] * 14)
    archive.add(name, "long").symlink("./l", "t" * 4000).hardlink("./h", name)
    if form == tarfile.PAX_FORMAT:
        archive.add("./fine", "x", mtime=1_600_000_000.123456)
    archive.folder("./", mtime=1_600_000_000)
    done = store.take("slug", archive.close())
    tree = store.tree("slug", done["digest"])
    assert (tree / name).read_text() == "long" and os.readlink(tree / "l") == "t" * 4000
    assert (tree / "h").stat().st_ino == (tree / name).stat().st_ino
    if form == tarfile.PAX_FORMAT:
        assert abs((tree / "fine").stat().st_mtime_ns - 1_600_000_000_123_456_000) < 1000


def test_sparse_file_as_gnu_tar(store, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "Procfile").write_text("web: x\n")
    with open(app / "sparse", "wb") as file:
        for offset in range(0, 40 << 20, 1 << 20):
            file.seek(offset)
            file.write(b"block")
        file.truncate(64 << 20)
    for form in ["gnu", "posix"]:
        path = tmp_path / f"{form}.tar.gz"
        subprocess.run(["tar", "czSf", path, f"--format={form}", "-C", tmp_path, "./app"], check=True)
        done = compare(store, path, "slug", tmp_path, "app", (1 << 30, 1000, 10**9))
        assert (store.tree("slug", done["digest"]) / "sparse").stat().st_blocks < 2000


def test_names_that_are_no_utf8_as_gnu_tar(store, tmp_path):
    app = os.path.join(os.fsencode(tmp_path), b"app")
    os.mkdir(app)
    for name in [b"latin-\xe9", b"new\nline", b"tab\t", b"\xff\xfe"]:
        with open(os.path.join(app, name), "wb") as file:
            file.write(name)
    for form in ["gnu", "ustar", "posix"]:
        path = tmp_path / f"{form}.tar.gz"
        subprocess.run(["tar", "czf", path, f"--format={form}", "-C", tmp_path, "./app"], check=True)
        compare(store, path, "slug", tmp_path, "app")


# --- packers ---

def app_tree(tmp_path, short):
    """What packers write each in its own way."""
    app = tmp_path / "app"
    (app / "d/empty").mkdir(parents=True)
    (app / "Procfile").write_text("web: x\n")
    (app / "exec").write_text("#!")
    (app / "exec").chmod(0o750)
    os.utime(app / "exec", ns=(1_500_000_000_123_456_789,) * 2)
    (app / "l").symlink_to("exec")
    os.link(app / "exec", app / "h")
    with open(app / "sparse", "wb") as file:
        for offset in range(0, 30 << 20, 1 << 20):
            file.seek(offset)
            file.write(b"block")
        file.truncate(33 << 20)
    (app / "hole").touch()
    os.truncate(app / "hole", 1 << 20)
    if not short:
        deep = app / ("n" * 200) / ("m" * 200)
        deep.mkdir(parents=True)
        (deep / ("f" * 200)).write_text("long")
        os.link(deep / ("f" * 200), app / "long")
        (app / "far").symlink_to("t/" * 150)
        os.utime(app / "Procfile", (-1000.5, -1000.5))
    for name in [b"latin-\xe9", b"new\nline", "e\u0301".encode(), b"\xed\xa0\xbd", b"folder-\xff/f"]:
        path = os.path.join(os.fsencode(app), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)
    return app


SPARSE = [["--format=posix", "-S", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0")]


@pytest.mark.parametrize("options", [
    ["--format=v7"], ["--format=ustar"], ["--format=oldgnu", "-S"], ["--format=gnu", "-S", "-V", "label"],
    ["--format=posix", "-V", "label"], ["--format=posix", "--xattrs", "--acls"],
    ["--format=posix", "--listed-incremental=snapshot"], ["--format=gnu", "--listed-incremental=snapshot"],
    *SPARSE], ids=" ".join)
def test_all_that_gnu_tar_writes(store, tmp_path, options):
    app_tree(tmp_path, options[0] in ("--format=v7", "--format=ustar"))
    path = tmp_path / "a.tar"
    subprocess.run(["tar", "cf", path, *options, "./app"], cwd=tmp_path, check=True)
    compare(store, path, "slug", tmp_path, "app", (1 << 30, 1000, 10**9))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_all_that_python_writes(store, tmp_path, form):
    app = app_tree(tmp_path, form == tarfile.USTAR_FORMAT)
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=form, errors="surrogateescape") as tar:
        tar.add(app, "app")
    compare(store, path, "slug", tmp_path, "app", (1 << 30, 1000, 10**9))


def test_git_archive(store, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(file(b"pax_global_header", record(b"comment", b"0" * 40), kind=b"g", mode=0o666) +
                     folder(b"app/", mode=0o775) + file(b"app/Procfile", b"web: x\n", mode=0o664) +
                     symlink(b"app/l", b"Procfile") + END)
    compare(store, path, "slug", tmp_path, "app")


def test_go_and_npm(store, tmp_path):
    """Go writes a header of records for each name that ustar cannot hold, npm for each entry."""
    name = "app/é".encode() + b"x" * 120
    npm = {"size": b"00000000001 ", "mode": b"000644 ", "mtime": b"13724744000 "}
    path = tmp_path / "a.tar"
    path.write_bytes(
        folder(b"app/") + file(b"app/Procfile", b"web: x\n") +
        file(b"app/PaxHeaders.0/x", record(b"mtime", b"1500000000.25") + record(b"path", name), kind=b"x",
             mode=0, mtime=0) + file(b"app/xxx") +
        file(b"PaxHeader/y", record(b"atime", b"1600000000") + record(b"NODETAR.package.type", b"file") +
             record(b"mtime", b"1500000000.5"), kind=b"x") + file(b"app/y", b"y", **npm) + END)
    compare(store, path, "slug", tmp_path, "app")
