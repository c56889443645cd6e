# SPDX-License-Identifier: Apache-2.0
"""What becomes of a slug's ./app and Procfile, and of a stack's mount points."""

import os
import pathlib
import shutil
import subprocess

import pytest

from store_harness import LIMITS, Archive, describe

pytestmark = pytest.mark.native


def new(tmp_path):
    return Archive(tmp_path / "a.tar.gz")


# --- where the app is ---

@pytest.mark.parametrize("prefix", ["./app/", "app/", "/app/"])
def test_app_folder_is_the_tree(store, tmp_path, prefix):
    archive = new(tmp_path).add(prefix + "Procfile", "web: x\n").add("./etc/passwd", "no")
    archive.symlink("./outside", "/").add(prefix + "app/models.rb", "x")
    done = store.take("slug", archive.close())
    assert sorted(os.listdir(store.tree("slug", done["digest"]))) == ["Procfile", "app"]
    assert done["outside_app"] == 2
    assert os.listdir(store.state / "slugs" / done["digest"]) == ["tree"]


def test_tree_itself(store, tmp_path):
    archive = new(tmp_path).folder("./").add("./Procfile", "web: x\n").add("./server.js", "x")
    done = store.take("slug", archive.close())
    assert sorted(os.listdir(store.tree("slug", done["digest"]))) == ["Procfile", "server.js"]
    assert done["outside_app"] == 0


def test_rails_tree_with_a_folder_app(store, tmp_path):
    archive = new(tmp_path).folder("./app").add("./app/models/user.rb", "x").add("./Procfile", "web: x")
    done = store.take("slug", archive.close())
    assert sorted(os.listdir(store.tree("slug", done["digest"]))) == ["Procfile", "app"]


def test_locked_app_folder_can_be_entered_by_its_dyno(store, tmp_path):
    archive = new(tmp_path).folder("./", mode=0).folder("./app", mode=0)
    done = store.take("slug", archive.add("./app/Procfile", "web: x").close())
    assert store.tree("slug", done["digest"]).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o555, 0o511, 0o750])
def test_app_folder_keeps_its_mode(store, tmp_path, mode):
    archive = new(tmp_path).folder("./", mode=0o555).folder("./app", mode=mode, mtime=1_500_000_000)
    done = store.take("slug", archive.add("./app/Procfile", "web: x").close())
    st = store.tree("slug", done["digest"]).stat()
    assert (st.st_mode & 0o777, st.st_mtime) == (mode, 1_500_000_000)


@pytest.mark.parametrize("mode,wanted", [(0o555, 0o555), (0o750, 0o750), (0, 0o700)])
def test_top_of_a_tree_keeps_its_mode(store, tmp_path, mode, wanted):
    archive = new(tmp_path).folder("./", mode=mode, mtime=1_500_000_000).add("./Procfile", "web: x")
    done = store.take("slug", archive.close())
    st = store.tree("slug", done["digest"]).stat()
    assert (st.st_mode & 0o777, st.st_mtime) == (wanted, 1_500_000_000)


# --- Procfile ---

@pytest.mark.parametrize("text,line,quoted", [
    ("web: x\n<<<<<<< HEAD\nweb: y\n", 2, "<<<<<<< HEAD"),
    ("web: x\r\nweb: y\r\n", 2, "web: y"),
    ("# comment\n\nweb x\n", 3, "web x"),
    ("web:\n", 1, "web:"),
    (b"web: x\nbad: \xff\n", 2, "bad: ?"),
])
def test_broken_procfile_names_the_line(store, tmp_path, text, line, quoted):
    report = store.refuse("slug", new(tmp_path).add("./app/Procfile", text).close())
    assert (report["reason"], report["line"], report["text"]) == ("PROCFILE", line, quoted)


def test_slug_without_procfile_has_no_process_types(store, tmp_path):
    assert store.take("slug", new(tmp_path).add("./app/x", "x").close())["processes"] == {}


def test_procfile_that_is_a_link_within_the_app(store, tmp_path):
    archive = new(tmp_path).symlink("./app/Procfile", "/config/Procfile.prod")
    archive.add("./app/config/Procfile.prod", "web: x\n")
    assert store.take("slug", archive.close())["processes"] == {"web": "x"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/hostname", "Procfile", "/proc/1/status"])
def test_procfile_that_is_a_link_outside(store, tmp_path, target):
    report = store.refuse("slug", new(tmp_path).symlink("./app/Procfile", target).close())
    assert (report["reason"], report["line"], report["text"]) == (
        "PROCFILE", 0, "it is a link that leads nowhere")


def test_procfile_that_is_a_folder_or_huge(store, tmp_path):
    report = store.refuse("slug", new(tmp_path).folder("./app/Procfile").close())
    assert report["text"] == "it is not a regular file"
    huge = Archive(tmp_path / "h.tar.gz").add("./app/Procfile", "# comment\n" * 100_000)
    assert store.refuse("slug", huge.close())["text"] == "it is larger than 256 KiB"


# --- stacks ---

FOLDERS = ["app", "dev", "etc", "proc", "sys", "tmp", "var"]
FILES = ["group", "hostname", "hosts", "passwd", "resolv.conf"]


def test_empty_stack_gets_its_mount_points(store, tmp_path):
    done = store.take("stack", new(tmp_path).folder("./usr").close())
    tree = store.tree("stack", done["digest"])
    assert sorted(os.listdir(tree)) == sorted([*FOLDERS, "usr"])
    assert (tree / "var/tmp").is_dir()
    assert sorted(os.listdir(tree / "etc")) == FILES
    assert (tree.parent / "passwd").read_text() == "u10000:x:10000:10000::/app:/bin/bash\n"
    assert (tree.parent / "group").read_text() == "u10000:x:10000:\n"


def test_stack_keeps_its_accounts(store, tmp_path):
    archive = new(tmp_path).add("./etc/passwd", "root:x:0:0:root:/root:/bin/bash\nu10000:x:0:0::/:/x")
    archive.add("./etc/group", "root:x:0:\nstaff:x:50:")
    done = store.take("stack", archive.close())
    place = store.tree("stack", done["digest"]).parent
    assert (place / "passwd").read_text() == (
        "root:x:0:0:root:/root:/bin/bash\nu10000:x:10000:10000::/app:/bin/bash\n")
    assert (place / "group").read_text() == "root:x:0:\nstaff:x:50:\nu10000:x:10000:\n"


@pytest.mark.parametrize("name", FILES)
def test_link_below_etc_is_replaced_by_a_file(store, tmp_path, name):
    done = store.take("stack", new(tmp_path).symlink(f"./etc/{name}", "/etc/shadow").close())
    path = store.tree("stack", done["digest"]) / "etc" / name
    assert path.is_file() and not path.is_symlink() and path.stat().st_size == 0
    assert done["replaced"] == 1


def test_stack_with_locked_folders(store, tmp_path):
    archive = new(tmp_path).folder("./", mode=0o700).folder("./etc", mode=0).folder("./var", mode=0o111)
    done = store.take("stack", archive.close())
    tree = store.tree("stack", done["digest"])
    assert tree.stat().st_mode & 0o777 == 0o755
    assert sorted(os.listdir(tree / "etc")) == FILES


@pytest.mark.parametrize("mode", [0o555, 0o500, 0])
def test_stack_folders_keep_their_modes(store, tmp_path, mode):
    archive = new(tmp_path).folder("./", mode=0o755).add("./etc/passwd", "root:x:0:0::/:/bin/sh\n")
    for name in ("./etc", "./var"):
        archive.folder(name, mode=mode, mtime=1_500_000_000)
    done = store.take("stack", archive.close())
    tree = store.tree("stack", done["digest"])
    for name in ("etc", "var"):
        st = (tree / name).stat()
        assert (st.st_mode & 0o777, st.st_mtime) == (mode, 1_500_000_000)
    assert (tree / "var/tmp").is_dir() and sorted(os.listdir(tree / "etc")) == FILES
    assert "root:x:0:0" in (tree.parent / "passwd").read_text()


@pytest.mark.parametrize("name", ["./dev", "./proc", "./etc"])
def test_stack_folder_that_is_a_file_is_refused(store, tmp_path, name):
    report = store.refuse("stack", new(tmp_path).add(name, "x").close())
    assert (report["reason"], report["text"]) == ("STACK_DIR_IS_LINK", name[2:])


def test_real_debian_is_the_same_as_by_gnu_tar(store, tmp_path):
    path = os.environ.get("DYNOD_STACK")
    if not path:
        pytest.skip("DYNOD_STACK names no archive of a Debian stack")
    done = store.take("stack", path, (20 << 30, *LIMITS[1:]))
    expected = tmp_path / "expected"
    expected.mkdir()
    subprocess.run(["tar", "xpf", path, "-C", expected, "--no-same-owner", "--exclude=./dev/*"],
                   check=True)
    tree = store.tree("stack", done["digest"])
    ours, theirs = describe(tree), describe(expected)
    made = {"app", *(f"etc/{name}" for name in FILES)}
    for name in [*made, *(name for name in ours if name.startswith("dev/"))]:
        ours.pop(name)
        theirs.pop(name, None)
    assert ours == theirs
    assert ":0:0:root:" in (tree.parent / "passwd").read_text()
    assert store.ask("remove", "stack", done["digest"]) == 0
    store.settle()
    assert not tree.exists()
    shutil.rmtree(expected)
    assert pathlib.Path(path).exists()
