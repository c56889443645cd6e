# SPDX-License-Identifier: Apache-2.0
"""
Hostile archives: how each is made, and what becomes of it.

refused(REASON, ENTRY): nothing of it is left. taken(): the tree is what GNU tar makes of it,
after the contract's changes, which are counted. `unlike` says why a tree is not compared.
"""

import bz2
import gzip
import lzma
import os
import subprocess
from dataclasses import dataclass, field
from typing import Callable

from tar_blocks import (END, base256, cpio_of, file, folder, gnu_sparse, gzip_with_fields, hardlink,
                        header, long_name, octal, padded, pax, pax_sparse_0_0, pax_sparse_0_1,
                        pax_sparse_1_0, symlink, zip_of)

DATA, MORE = b"d" * 512, b"m" * 512
GNU = b"ustar  \0"  # the magic of GNU tar
DEFAULT_LIMITS = (1 << 30, 10_000, 1000)  # bytes, entries, ratio
OUTSIDE = b"/tmp/dynod-must-not-be-made"  # no archive writes here
APP = folder(b"./app")
BASE = APP + file(b"./app/Procfile", b"web: x\n")


@dataclass
class Case:
    name: str
    make: Callable
    reason: str = ""       # of the refusal; empty: it is taken
    entry: str = ""        # that the refusal names
    changes: dict = field(default_factory=dict)
    kind: str = "slug"
    limits: tuple = DEFAULT_LIMITS
    unlike: str = ""       # why the tree is not compared with GNU tar's
    gnu_fails: str = ""    # why GNU tar's exit status is not 0, though its tree is compared
    late_links: bool = False  # GNU tar makes links last, and leaves their folder's time at that
    in_memory: bool = False  # GNU tar's tree is made on tmpfs
    holds: dict = field(default_factory=dict)  # files of the tree, None: not there


CASES = []


def refused(name, data, reason, entry="", **more):
    CASES.append(Case(name, data if callable(data) else lambda: data, reason, entry, **more))


def taken(name, data, changes=None, **more):
    CASES.append(Case(name, data if callable(data) else lambda: data, changes=changes or {}, **more))


def slug(*entries, end=END):
    return BASE + b"".join(entries) + end


def tool(*command):
    """What a packer makes of a slug."""
    return lambda: subprocess.run(command, input=slug(), stdout=subprocess.PIPE, check=True).stdout


# --- names ---

for name, path in {
        "first": b"../x", "inside": b"./app/../../x", "last": b"./app/..", "behind-a-root": b"/../x",
        "many-slashes": b"./app//..//..//x", "behind-a-dot": b"./app/./../x", "alone": b"..",
        "slash-behind": b"../"}.items():
    refused(f"dotdot-{name}", slug(file(path, b"")), "NAME_DOTDOT", path.decode())
refused("dotdot-in-the-prefix", slug(file(b"x", prefix=b"..")), "NAME_DOTDOT", "../x")
refused("dotdot-behind-the-prefix", slug(file(b"../../x", prefix=b"app")), "NAME_DOTDOT",
        "app/../../x")
refused("dotdot-in-a-gnu-long-name", slug(long_name(b"../" * 60 + b"x"), file(b"app/x")),
        "NAME_DOTDOT", "../" * 60 + "x")
refused("dotdot-in-a-pax-path", slug(pax((b"path", b"../x")), file(b"app/x")), "NAME_DOTDOT", "../x")
refused("dotdot-and-the-terminal", slug(file(b"../\x1b]0;x\x07\n\x9b2J\xff")), "NAME_DOTDOT",
        "../\x1b]0;x\x07\n?2J?")  # not UTF-8: here. Control characters: by herokuctl
refused("nul-in-a-pax-path", slug(pax((b"path", b"app/a\0b")), file(b"app/x")), "NAME_NUL", "app/a?b")
refused("nul-in-a-pax-linkpath", slug(pax((b"linkpath", b"a\0b")), symlink(b"app/x", b"y")),
        "NAME_NUL", "a?b")
refused("nul-in-a-gnu-long-name", slug(long_name(b"app/a\0b"), file(b"app/x")), "NAME_NUL", "app/a?b")
refused("part-of-256", slug(long_name(b"./app/" + b"n" * 256), file(b"x")), "NAME_TOO_LONG",
        "./app/" + "n" * 256)
refused("path-of-5000", slug(long_name(b"./app/" + b"d/" * 2500), folder(b"x")), "NAME_TOO_LONG",
        ("./app/" + "d/" * 2500)[:4095])
taken("path-700-deep", slug(long_name(b"./app/" + b"d/" * 700 + b"f"), file(b"x")))
taken("part-of-255", slug(long_name(b"./app/" + b"n" * 255), file(b"x")))
taken("absolute", slug(file(b"/app/x"), file(b"//app//y")), {"absolute": 2})
taken("dots-and-slashes", slug(folder(b"."), folder(b"./"), folder(b"./app/."), file(b"app//x"),
                               file(b"./app/./y"), folder(b"app/z/"), folder(b"./././app//z//")))
taken("three-dots", slug(folder(b"app/..."), file(b"app/.../..x"), file(b"app/..\\x")))
taken("options", slug(file(b"app/-rf"), file(b"app/--checkpoint-action=exec=sh"), file(b"app/*")))
taken("no-utf8", slug(file(b"app/\xff\xfe"), file(b"app/\xc3\x28"), file(b"app/latin-\xe9")))
taken("control-characters", slug(file(b"app/new\nline"), file(b"app/\x1b[2J"), file(b"app/\x9b\x7f\t")))
taken("case-and-unicode-twins", slug(
    file(b"app/A", b"1"), file(b"app/a", b"2"), file("app/é".encode(), b"3"),
    file("app/e\u0301".encode(), b"4"), file("app/\ufb01".encode(), b"5"), file(b"app/fi", b"6")))
taken("whiteouts-are-files", slug(file(b"app/.wh.x"), file(b"app/.wh..wh..opq")))
taken("name-of-100-without-a-nul", slug(file(b"app/" + b"n" * 96)))
taken("prefix-and-name-full", slug(file(b"n" * 100, prefix=b"app/" + b"p" * 151)))
refused("no-name", slug(file(b"")), "CORRUPT")
refused("pax-path-empty", slug(pax((b"path", b"")), file(b"")), "CORRUPT")

for kind, make in {"file": file, "symlink": lambda name: symlink(name, b"x"),
                   "hardlink": lambda name: hardlink(name, b"app/Procfile")}.items():
    refused(f"{kind}-with-a-dot-behind", slug(make(b"app/d/.")), "CORRUPT", "app/d/.")
# GNU tar takes the bytes; libarchive composes them, and joins halves of characters.
NFC, NFD, CESU_8 = "\u00e9".encode(), "e\u0301".encode(), b"\xed\xa0\xbd\xed\xb8\x80"
taken("pax-unicode-twins", slug(
    pax((b"path", b"app/" + NFC)), file(b"x", b"1"), pax((b"path", b"app/" + NFD)), file(b"x", b"2")),
    holds={NFC.decode(): b"1", NFD.decode(): b"2"})
taken("pax-unicode-folder", slug(pax((b"path", b"app/" + NFD + b"/")), folder(b"x"),
                                 pax((b"path", b"app/" + NFD + b"/f")), file(b"x")))
taken("pax-unicode-linkpath", slug(
    pax((b"path", b"app/" + NFD)), file(b"x", b"1"), pax((b"linkpath", NFD)), symlink(b"app/l", b"x"),
    pax((b"linkpath", b"app/" + NFD)), hardlink(b"app/h", b"x")))
taken("pax-cesu-8", slug(pax((b"path", b"app/" + CESU_8)), file(b"x"),
                         pax((b"linkpath", CESU_8)), symlink(b"app/l", b"x")))
taken("pax-no-utf8-folder-by-its-slash", slug(pax((b"path", b"app/\xff/")), file(b"x", b"")))
taken("sparse-name-in-unicode", slug(pax_sparse_1_0(b"app/" + NFD, [(0, 512)], 512, DATA)))
refused("pax-linkpath-empty", slug(pax((b"linkpath", b"")), symlink(b"app/l", b"x")), "CORRUPT", "app/l")
refused("pax-linkpath-of-a-file", slug(pax((b"linkpath", b"app/Procfile")), file(b"app/f")), "CORRUPT",
        "app/f")
refused("long-link-of-a-file", slug(long_name(b"app/Procfile", b"K"), file(b"app/f")), "CORRUPT", "app/f")

# --- links ---

refused("link-out-then-through", slug(symlink(b"app/l", b"/etc"), file(b"app/l/x")), "THROUGH_LINK",
        "app/l/x")
refused("chain-of-links", slug(symlink(b"app/a", b"b"), symlink(b"app/b", b".."), file(b"app/a/x")),
        "THROUGH_LINK", "app/a/x")
refused("folder-becomes-link-and-back", slug(
    folder(b"app/d"), symlink(b"app/d", b"/tmp"), folder(b"app/d"), symlink(b"app/d", b"/tmp"),
    file(b"app/d/x")), "THROUGH_LINK", "app/d/x")
refused("folder-through-a-link", slug(symlink(b"app/l", b"/tmp"), folder(b"app/l/d")), "THROUGH_LINK",
        "app/l/d")
refused("link-through-a-link", slug(symlink(b"app/l", b"/tmp"), symlink(b"app/l/m", b"x")),
        "THROUGH_LINK", "app/l/m")
refused("through-a-hardlinked-link", slug(symlink(b"app/l", b"/tmp"), hardlink(b"app/m", b"app/l"),
                                           file(b"app/m/x")), "THROUGH_LINK", "app/m/x")
refused("link-of-the-top", symlink(b"./", b"/etc") + END, "CORRUPT", "./")
refused("link-to-nothing", slug(symlink(b"app/l", b"")), "CORRUPT", "app/l")
refused("link-of-5000", slug(long_name(b"t" * 5000, b"K"), symlink(b"app/l", b"t" * 100)),
        "NAME_TOO_LONG", "app/l")
# A folder's name with a dot behind passes through the link, where one without it takes its place.
for name, target in {"in": b"d", "out": b"/tmp", "to-nothing": b"none"}.items():
    refused(f"folder-through-a-link-{name}-by-a-dot", slug(
        folder(b"app/d"), symlink(b"app/l", target), folder(b"app/l/.", mode=0o700)), "THROUGH_LINK", "app/l/.")
# Of links of one name that leave the tree GNU tar keeps the first, others the last.
for name, first, second in [("out-and-out", b"/a", b"/b"), ("up-and-up", b"../a", b"../b"), ("out-and-in", b"/a", b"b")]:
    refused(f"link-twice-{name}", slug(symlink(b"app/l", first), symlink(b"app/l", second)), "CORRUPT", "app/l")
refused("link-over-a-hardlinked-link", slug(symlink(b"app/l", b"/a"), hardlink(b"app/h", b"app/l"),
                                            symlink(b"app/h", b"/b")), "CORRUPT", "app/h")
refused("hardlinked-link-over-a-link", slug(symlink(b"app/l", b"/a"), symlink(b"app/m", b"/b"),
                                            hardlink(b"app/l", b"app/m")), "CORRUPT", "app/l")
taken("link-twice-the-same", slug(symlink(b"app/l", b"/a"), symlink(b"app/l", b"/a", mtime=5)), late_links=True)
taken("link-twice-in-and-out", slug(symlink(b"app/l", b"a"), symlink(b"app/l", b"/b")), late_links=True)
taken("link-twice-in", slug(symlink(b"app/l", b"a"), symlink(b"app/l", b"b", mtime=5)))
taken("file-hardlinked-over-a-link", slug(symlink(b"app/l", OUTSIDE), hardlink(b"app/l", b"app/Procfile")),
      holds={"l": b"web: x\n"}, late_links=True, in_memory=True)
taken("links-with-any-target", slug(
    symlink(b"app/1", b"/etc/shadow"), symlink(b"app/2", b"../../../../../../etc"),
    symlink(b"app/3", b"3"), symlink(b"app/4", b"/proc/self/root"), symlink(b"app/5", b"..")), late_links=True)
# GNU tar makes links that leave the tree last of all, where nothing came later. It looks at the
# inode's number, which ext4 gives to the next file at once, and tmpfs to none.
taken("link-becomes-a-file", slug(symlink(b"app/l", OUTSIDE), file(b"app/l")), holds={"l": b"x"}, in_memory=True)
taken("inner-link-becomes-a-file", slug(symlink(b"app/l", b"Procfile"), file(b"app/l", b"data")),
      holds={"Procfile": b"web: x\n", "l": b"data"})
taken("link-becomes-a-folder", slug(symlink(b"app/l", b"/tmp"), folder(b"app/l"), file(b"app/l/x")),
      gnu_fails="it wants to put the link in place of the folder")
taken("link-by-gnu-long-link", slug(long_name(b"t/" * 1500, b"K"), symlink(b"app/l", b"t/" * 50)))

for name, target in {
        "absent": b"app/none", "later": b"app/later", "itself": b"app/h", "a-folder": b"app",
        "the-top": b".", "outside": b"/etc/passwd", "dotdot": b"../../etc/passwd",
        "dotdot-into-app": b"app/../app/Procfile", "a-slash-behind": b"app/Procfile/",
        "a-dot-behind": b"app/Procfile/."}.items():
    refused(f"hardlink-to-{name}", slug(hardlink(b"app/h", target), file(b"app/later")),
            "HARDLINK_OUTSIDE", "app/h")
refused("hardlink-to-a-file-of-a-folder-by-dots",
        slug(folder(b"app/d"), hardlink(b"app/d/x", b"app/d/..")), "HARDLINK_OUTSIDE", "app/d/x")
refused("hardlink-through-a-link", slug(symlink(b"app/l", b"/etc"), hardlink(b"app/h", b"app/l/passwd")),
        "THROUGH_LINK", "app/h")
refused("hardlink-by-pax-linkpath", slug(pax((b"linkpath", b"/etc/passwd")), hardlink(b"app/h", b"x")),
        "HARDLINK_OUTSIDE", "app/h")
refused("hardlink-of-the-top", slug(hardlink(b"./", b"app/Procfile")), "CORRUPT", "./")
refused("hardlink-to-a-device", slug(header(b"app/null", kind=b"3", device=(1, 3)),
                                     hardlink(b"app/h", b"app/null")), "SPECIAL_FILE", "app/null")
taken("hardlink-chain", slug(file(b"app/f", b"data"), hardlink(b"app/g", b"app/f"),
                             hardlink(b"app/h", b"./app/g"), hardlink(b"app/i", b"/app/h")))
taken("hardlink-to-a-link-then-a-file", slug(
    symlink(b"app/l", OUTSIDE), hardlink(b"app/h", b"app/l"), file(b"app/h")), holds={"h": b"x"},
      late_links=True, in_memory=True)
taken("hardlink-to-an-inner-link-then-a-file", slug(
    symlink(b"app/l", b"Procfile"), hardlink(b"app/h", b"app/l"), file(b"app/h")),
      holds={"Procfile": b"web: x\n", "h": b"x"})
for name, entries in {"ustar": b"", "pax": pax((b"comment", b"c")),
                      "pax-size": pax((b"size", b"512"))}.items():
    refused(f"hardlink-with-a-body-{name}", slug(
        entries, hardlink(b"app/h", b"app/Procfile", size=0 if name == "pax-size" else 512),
        header(b"app/hidden")), "CORRUPT", "app/h")
taken("hardlink-twice", slug(file(b"app/f"), hardlink(b"app/h", b"app/f"), hardlink(b"app/h", b"app/f")))
taken("file-behind-its-hardlink", slug(file(b"app/f", b"old"), hardlink(b"app/h", b"app/f"),
                                       file(b"app/f", b"new")), holds={"f": b"new", "h": b"old"})

# --- one name twice ---

taken("twice", slug(file(b"app/f", b"1"), file(b"app/f", b"22", mode=0o600)))
refused("file-becomes-a-folder", slug(file(b"app/f"), folder(b"app/f"), file(b"app/f/g")), "CORRUPT",
        "app/f")
refused("folder-becomes-a-file", slug(folder(b"app/d"), file(b"app/d/x"), file(b"app/d")), "CORRUPT",
        "app/d")
refused("file-as-a-folder", slug(file(b"app/f"), file(b"app/f/g")), "CORRUPT", "app/f/g")
taken("folder-without-rights-first", slug(
    folder(b"app/d", mode=0), file(b"app/d/x"), folder(b"app/d/e", mode=0o111), file(b"app/d/e/y")))
taken("folder-locked-first-then-open", slug(
    folder(b"app/d", mode=0), file(b"app/d/x"), folder(b"app/d", mode=0o755), folder(b"app/e", mode=0o55),
    folder(b"app/e", mode=0o755), folder(b"app/g", mode=0o755), folder(b"app/g", mode=0)))
taken("folder-locked-behind-its-contents", slug(
    file(b"app/d/e/f"), folder(b"app/d/e", mode=0o500), folder(b"app/d", mode=0o500)))
taken("set-id-and-sticky", slug(file(b"app/su", mode=0o6755), folder(b"app/t", mode=0o1777)),
      {"mode_bits": 2})

# --- kinds ---

for name, kind in {"character-device": b"3", "block-device": b"4", "fifo": b"6"}.items():
    refused(f"{name}", slug(header(b"app/s", kind=kind, device=(1, 3))), "SPECIAL_FILE", "app/s")
refused("overlay-whiteout", slug(header(b"app/s", kind=b"3", device=(0, 0))), "SPECIAL_FILE", "app/s")
refused("device-beside-dev", folder(b"./dev") + header(b"./devices", kind=b"3", device=(1, 3)) + END,
        "SPECIAL_FILE", "./devices", kind="stack")
refused("dev-of-a-slug-is-no-dev", slug(header(b"app/dev/null", kind=b"3", device=(1, 3))),
        "SPECIAL_FILE", "app/dev/null")
taken("devices-of-a-stack", folder(b"./") + folder(b"./dev") +
      header(b"./dev/sda", kind=b"4", device=(8, 0)) + header(b"./dev/p", kind=b"6") +
      hardlink(b"./dev/sdb", b"./dev/sda") + END, {"devices": 3}, kind="stack",
      unlike="GNU tar makes them", holds={"dev/sda": None, "dev/p": None, "dev/sdb": None})
for name, target in {"never": b"./dev/never", "itself": b"./dev/a", "later": b"./dev/sda",
                     "below": b"./dev/p/x"}.items():
    refused(f"hardlink-in-dev-to-{name}", folder(b"./") + folder(b"./dev") + header(b"./dev/p", kind=b"6") +
            hardlink(b"./dev/a", target) + header(b"./dev/sda", kind=b"4", device=(8, 0)) + END,
            "HARDLINK_OUTSIDE", "./dev/a", kind="stack")
refused("hardlink-from-dev-out-of-it", folder(b"./") + header(b"./dev/p", kind=b"6") +
        hardlink(b"./p", b"./dev/p") + END, "HARDLINK_OUTSIDE", "./p", kind="stack")
taken("contiguous", slug(file(b"app/c", b"data", kind=b"7")), holds={"c": b"data"})
taken("v7", file(b"app/Procfile", b"web: x\n", magic=b"", kind=b"\0") + END)
taken("v7-folder-by-its-slash", header(b"app/", magic=b"", kind=b"\0", mode=0o755) +
      file(b"app/Procfile", b"web: x\n", magic=b"", kind=b"\0") + END)
taken("volume-label", header(b"label", kind=b"V", magic=b"ustar  \0") + slug())
refused("volume-label-with-a-body", slug(file(b"label", b"data", kind=b"V")), "CORRUPT", "label")
refused("multi-volume", slug(file(b"app/k", b"data", kind=b"M")), "CORRUPT", "app/k")
# A file to GNU tar.
refused("solaris-acl", slug(file(b"app/k", b"data", kind=b"A"), file(b"app/x")), "CORRUPT", "app/k")
for name, kind in {"dump-folder": b"D", "old-long-name": b"N", "vendor": b"Z", "no-ascii": b"\xff"}.items():
    taken(f"kind-{name}", slug(file(b"app/k", b"data", kind=kind)))

refused("multi-volume-with-the-kind-in-its-mode", slug(file(b"app/k", kind=b"M", mode=0o100644)), "CORRUPT",
        "app/k")
for name, kind in {"vendor": b"Z", "old-long-name": b"N"}.items():
    refused(f"kind-{name}-with-a-slash", slug(file(b"app/d/", b"", kind=kind)), "CORRUPT", "app/d/")
refused("kind-sparse-with-a-slash", slug(gnu_sparse(b"app/d/", [(0, 512)], 512, DATA)), "CORRUPT", "app/d/")
taken("contiguous-folder-by-its-slash", slug(file(b"app/d/", b"", kind=b"7")))
# Where is the next header?
for name, kind in {"symlink": b"2", "character-device": b"3", "block-device": b"4", "folder": b"5",
                   "fifo": b"6", "file-that-is-a-folder": b"0", "v7-folder": b"\0"}.items():
    refused(f"body-of-a-{name}", slug(header(b"app/d/", kind=kind, link=b"x", size=512), header(b"app/hidden")),
            "CORRUPT", "app/d/")
refused("folder-by-its-slash-with-an-empty-header-inside", slug(
    header(b"app/d/", size=1024), header(b""), file(b"app/hidden")), "CORRUPT", "app/d/")
taken("volume-label-of-pax", slug(pax((b"GNU.volume.label", b"backup"), kind=b"g"), file(b"app/f")))
refused("volume-of-pax", slug(pax((b"GNU.volume.filename", b"app/f"), kind=b"g"), file(b"app/f")), "CORRUPT",
        "app/f")
refused("pax-then-a-volume-label", slug(pax((b"path", b"app/a")), header(b"label", kind=b"V", magic=GNU),
                                        file(b"app/b")), "CORRUPT", "app/a")
refused("long-name-then-a-volume-label", slug(long_name(b"app/a"), header(b"label", kind=b"V", magic=GNU),
                                              file(b"app/b")), "CORRUPT", "app/a")

# --- sparse files ---

taken("sparse-old-gnu", slug(gnu_sparse(b"app/s", [(1024, 512), (4096, 0)], 4096, DATA)))
for form, make in {"0.0": pax_sparse_0_0, "0.1": pax_sparse_0_1, "1.0": pax_sparse_1_0}.items():
    taken(f"sparse-{form}", slug(make(b"app/s", [(1024, 512), (4096, 0)], 4096, DATA)))
    refused(f"sparse-{form}-of-8-exabytes", slug(
        make(b"app/s", [(0, 512), ((1 << 63) - 1, 0)], (1 << 63) - 1, DATA)), "CORRUPT", "app/s")
    refused(f"sparse-{form}-of-half-an-exabyte", slug(
        make(b"app/s", [(0, 512), (1 << 59, 0)], 1 << 59, DATA)), "TOO_LARGE", "app/s")
    refused(f"sparse-{form}-behind-its-end", slug(make(b"app/s", [(1 << 40, 512)], 1024, DATA)),
            "CORRUPT", "app/s")
    refused(f"sparse-{form}-negative", slug(make(b"app/s", [(-512, 512)], 1024, DATA)), "CORRUPT", "app/s")
    refused(f"sparse-{form}-overlapping",
            slug(make(b"app/s", [(0, 512), (256, 512)], 4096, DATA + MORE)), "CORRUPT", "app/s")
    refused(f"sparse-{form}-unsorted",
            slug(make(b"app/s", [(2048, 512), (0, 512)], 4096, DATA + MORE)), "CORRUPT", "app/s")
refused("sparse-old-gnu-of-8-exabytes", slug(
    gnu_sparse(b"app/s", [(0, 512), ((1 << 63) - 1, 0)], (1 << 63) - 1, DATA)),
        "TOO_LARGE", "app/s")
refused("sparse-old-gnu-behind-its-end", slug(gnu_sparse(b"app/s", [(1 << 40, 512)], 1024, DATA)),
        "CORRUPT", "app/s")
refused("sparse-old-gnu-negative", slug(gnu_sparse(b"app/s", [(-512, 512)], 1024, DATA)), "CORRUPT", "app/s")
refused("sparse-1.0-map-is-no-number", slug(
    pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"app/s"),
        (b"GNU.sparse.realsize", b"9")) + file(b"x", padded(b"one\ntwo\n"))), "CORRUPT", "app/s")
refused("sparse-1.0-name-with-dotdot", slug(pax_sparse_1_0(b"../s", [(0, 512)], 512, DATA)),
        "NAME_DOTDOT", "../s")

# Of a body longer than its map, GNU tar passes over the rest, and libarchive takes it for headers.
HIDDEN = header(b"app/hidden")
for form, make in {"old-gnu": gnu_sparse, "0.0": pax_sparse_0_0, "0.1": pax_sparse_0_1,
                   "1.0": pax_sparse_1_0}.items():
    taken(f"sparse-{form}-in-parts", slug(make(b"app/s", [(512, 512), (4096, 300)], 4396, DATA + MORE[:300]),
                                          file(b"app/f")))
    refused(f"sparse-{form}-shorter-than-its-body", slug(make(b"app/s", [(0, 512)], 512, DATA + HIDDEN)),
            "CORRUPT", "app/s")
    refused(f"sparse-{form}-longer-than-its-body", slug(make(b"app/s", [(0, 1024)], 1024, DATA)),
            "CORRUPT", "app/s")
    # GNU tar ends the file there.
    refused(f"sparse-{form}-shorter-than-its-file", slug(make(b"app/s", [(0, 512)], 4096, DATA)), "CORRUPT",
            "app/s")
    # GNU tar looks for each part in a block of its own.
    refused(f"sparse-{form}-of-ragged-parts", slug(make(b"app/s", [(0, 100), (512, 412)], 924, DATA)),
            "CORRUPT", "app/s")
    refused(f"sparse-{form}-without-a-part", slug(make(b"app/s", [], 512, b"")), "CORRUPT", "app/s")
    taken(f"sparse-{form}-of-a-hole", slug(make(b"app/s", [(1 << 20, 0)], 1 << 20, b"")))
    if form != "old-gnu":
        for kind in (b"2", b"5", b"7", b"\0"):
            refused(f"sparse-{form}-of-kind-{kind.hex()}",
                    slug(make(b"app/s", [(0, 512)], 512, DATA, kind=kind, link=b"x")), "CORRUPT", "app/s")
        refused(f"sparse-{form}-of-a-gnu-header", slug(make(b"app/s", [(0, 512)], 512, DATA, magic=GNU)),
                "CORRUPT", "app/s")
        refused(f"sparse-{form}-of-a-star-header", slug(
            make(b"app/s", [(0, 512)], 512, DATA, tail=bytes(131) + b"00000000000 " * 2)), "CORRUPT", "app/s")
taken("sparse-old-gnu-of-many-parts", slug(gnu_sparse(
    b"app/s", [(1024 * i, 512) for i in range(60)], 1024 * 59 + 512, DATA * 60), file(b"app/f")))
refused("sparse-old-gnu-continued-behind-its-end", slug(
    gnu_sparse(b"app/s", [(0, 512)], 512, DATA, extended=True)), "CORRUPT", "app/s")
refused("sparse-old-gnu-with-a-gap", slug(
    gnu_sparse(b"app/s", [(0, 512), None, (512, 512)], 1024, DATA + MORE)), "CORRUPT", "app/s")
refused("sparse-old-gnu-of-a-posix-header", slug(
    file(b"s", DATA, kind=b"S", prefix=b"app/" + b"p" * 140)), "CORRUPT", "app/" + "p" * 140 + "/s")
refused("sparse-of-star", slug(
    file(b"app/s", DATA, kind=b"S", tail=bytes(131) + b"00000000000 " * 2 + bytes(8) + b"tar\0")), "CORRUPT",
        "app/s")
for name, at in {"map": 386, "extension": 482, "size": 483}.items():
    tail = bytes(at - 345) + b"1" + bytes(511 - at)
    refused(f"sparse-{name}-of-a-gnu-file", slug(file(b"app/f", DATA, magic=GNU, tail=tail)), "CORRUPT", "app/f")
ONE = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"512")]
OLD = [(b"GNU.sparse.size", b"512"), (b"GNU.sparse.numblocks", b"1")]
MAP = (b"GNU.sparse.map", b"0,512")
for name, records in {
        "major-2": [(b"GNU.sparse.major", b"2"), *ONE[1:]], "minor-1": [ONE[0], (b"GNU.sparse.minor", b"1"), ONE[2]],
        "minor-alone": ONE[1:], "major-alone": [ONE[0], ONE[2]], "no-realsize": ONE[:2],
        "realsize-alone": ONE[2:], "size-alone": OLD[:1], "numblocks-alone": OLD[1:], "map-alone": [MAP],
        "map-first": [MAP, *OLD], "map-twice": [*OLD, MAP, MAP], "map-and-version": [*OLD, MAP, *ONE[:2]],
        "map-of-three": [*OLD, (b"GNU.sparse.map", b"0,512,512")], "map-with-a-comma": [
            *OLD, (b"GNU.sparse.map", b"0,512,")], "map-and-parts": [*OLD, MAP, (b"GNU.sparse.offset", b"0"), (
                b"GNU.sparse.numbytes", b"512")], "offset-twice": [
                    *OLD, (b"GNU.sparse.offset", b"0"), (b"GNU.sparse.offset", b"0"), (
                        b"GNU.sparse.numbytes", b"512")], "numblocks-of-two": [
                            OLD[0], (b"GNU.sparse.numblocks", b"2"), MAP], "name-alone": [(
                                b"GNU.sparse.name", b"app/s")], "unknown": [*OLD, MAP, (b"GNU.sparse.x", b"1")],
        "realsize-of-star": [(b"SCHILY.realsize", b"4096")], "holes-of-solaris": [(
            b"SUN.holesdata", b" 0 512")]}.items():
    refused(f"sparse-records-{name}", slug(pax(*records), file(b"app/s", padded(b"1\n0\n512\n") + DATA)),
            "CORRUPT", "app/s")
for name, text in {"comment": b"#\n1\n0\n512\n", "empty-line": b"\n1\n0\n512\n", "no-end": b"1" * 512,
                   "too-few": b"2\n0\n512\n", "endless": b"1\n0\n" + b"0" * 600 + b"512\n",
                   "2-to-the-32": b"4294967297\n0\n512\n", "sign": b"+1\n0\n512\n"}.items():
    refused(f"sparse-1.0-map-{name}", slug(pax(*ONE), file(b"app/s", padded(text) + DATA)), "CORRUPT", "app/s")
refused("sparse-1.0-map-as-long-as-its-body", slug(pax(*ONE), file(b"app/s", b"1\n0\n512\n"), padded(b"hidden")),
        "CORRUPT", "app/s")

# --- GNU's long names ---

refused("long-name-of-1-gb", slug(file(b"././@LongLink", b"x" * 512, kind=b"L", size=1 << 30), end=b""),
        "CORRUPT")
refused("long-name-then-nothing", slug(long_name(b"app/" + b"n" * 120), end=b""), "CORRUPT")
refused("long-name-then-the-end", slug(long_name(b"app/" + b"n" * 120)), "CORRUPT")
taken("long-name-twice", slug(long_name(b"app/first"), long_name(b"app/second"), file(b"app/x")),
      holds={"second": b"x", "first": None, "x": None})
taken("long-name-and-long-link", slug(long_name(b"app/" + b"n" * 120), long_name(b"t/" * 60, b"K"),
                                      symlink(b"x", b"t/" * 50)))
refused("long-name-of-nothing", slug(file(b"././@LongLink", b"", kind=b"L"), file(b"app/x")), "CORRUPT", "app/x")
# GNU tar reads on to the next NUL.
refused("long-name-behind-its-size", slug(header(b"././@LongLink", kind=b"L", size=5), padded(b"app/abcd"),
                                          file(b"app/x")), "CORRUPT", "app/a")
taken("long-name-without-a-nul", slug(file(b"././@LongLink", b"app/" + b"n/" * 254, kind=b"L"), folder(b"x")))
refused("long-name-and-pax", slug(long_name(b"app/a"), pax((b"path", b"app/b")), file(b"x")), "CORRUPT", "app/b")
refused("pax-and-long-name", slug(pax((b"path", b"app/b")), long_name(b"app/a"), file(b"x")), "CORRUPT", "app/a")
refused("long-link-of-a-hardlink", slug(long_name(b"../" * 50, b"K"), hardlink(b"app/h", b"app/Procfile")),
        "HARDLINK_OUTSIDE", "app/h")

# --- pax ---

taken("pax-names", slug(pax((b"path", b"app/real"), (b"uid", b"0"), (b"gname", b"root")), file(b"../x")),
      holds={"real": b"x"})
taken("pax-unknown-keys", slug(pax((b"DYNOD.x", b"y"), (b"comment", b"c"), (b"a", b"")), file(b"app/x")))
taken("pax-path-twice", slug(pax((b"path", b"app/one"), (b"path", b"app/two")), file(b"app/x")),
      holds={"two": b"x", "one": None})
taken("pax-global-comment", pax((b"comment", b"git"), kind=b"g") + slug())
for key in [b"path", b"linkpath", b"size", b"mtime", b"GNU.sparse.name"]:
    refused(f"pax-global-{key.decode()}", slug(pax((key, b"5"), kind=b"g"), file(b"app/f")), "CORRUPT",
            "app/f")
refused("pax-twice", slug(pax((b"path", b"app/a")), pax((b"path", b"app/b")), file(b"x")), "CORRUPT", "app/b")
refused("pax-size-of-a-folder", slug(pax((b"size", b"512")), folder(b"app/d"), header(b"app/hidden")),
        "CORRUPT", "app/d")
refused("nul-behind-a-signed-checksum", slug(
    file(b"app/\xe9\xe9", signed=True), pax((b"path", b"app/a\0b")), file(b"x")), "NAME_NUL", "app/a?b")
refused("nul-behind-a-long-name-of-nothing", slug(
    pax((b"path", b"app/a\0b")), file(b"x"), file(b"././@LongLink", b"", kind=b"L")), "NAME_NUL", "app/a?b")
taken("pax-size-over-ustar", slug(pax((b"size", b"512")), file(b"app/f", b"d" * 512, size=0)))
taken("pax-size-under-ustar", slug(pax((b"size", b"0")), header(b"app/f", size=512),
                                   file(b"app/inner", b"y")), holds={"f": b"", "inner": b"y"})
taken("pax-size-hides-an-entry", slug(pax((b"size", b"1024")), file(b"app/f", b"d" * 512),
                                      header(b"app/hidden")), holds={"hidden": None})
refused("pax-size-negative", slug(pax((b"size", b"-1")), file(b"app/f")), "CORRUPT", "app/f")
refused("pax-size-of-8-exabytes", slug(pax((b"size", b"9223372036854775807")), file(b"app/f")),
        "CORRUPT", "app/f")
refused("pax-size-of-an-exabyte", slug(pax((b"size", b"999999999999999999")), file(b"app/f")),
        "TOO_LARGE", "app/f")
taken("pax-mtime-fine", slug(pax((b"mtime", b"1500000000.123456789")), file(b"app/f")))
taken("pax-mtime-negative", slug(pax((b"mtime", b"-1000000000")), file(b"app/f")))
# libarchive adds the fraction that is to be taken away.
for i, value in enumerate([b"-1000000000.5", b"-1000.0", b"-1.1000000001", b"-0.9999999999", b"-2.", b"7.0000000019",
                           b"-0.25"]):
    taken(f"pax-mtime-negative-and-fine-{i}", slug(pax((b"mtime", value)), file(b"app/f")))
for name, value in {"nan": b"nan", "huge": b"99999999999999999999", "words": b"yesterday",
                    "empty": b"", "half": b".5", "hexadecimal": b"0x5"}.items():
    refused(f"pax-mtime-{name}", slug(pax((b"mtime", value)), file(b"app/f")), "CORRUPT", "app/f")
taken("pax-binary-charset", slug(pax((b"hdrcharset", b"BINARY"), (b"path", b"app/\xff\xfe")), file(b"x")))
taken("pax-bad-utf8", slug(pax((b"path", b"app/\xff\xfe")), file(b"x")))
for name, records in {"length-too-long": b"99 path=app/x\n", "length-too-short": b"5 path=app/x\n",
                      "length-of-words": b"xx path=app/x\n", "length-zero": b"0 path=app/x\n",
                      "no-equals": b"12 path app\n", "no-newline": b"14 path=app/xx",
                      "length-huge": b"99999999999999999999 path=x\n"}.items():
    refused(f"pax-{name}", slug(pax(records), file(b"app/x")), "CORRUPT", "app/x")
refused("pax-key-with-a-nul", slug(pax((b"si\0ze", b"512")), file(b"app/x")), "CORRUPT", "app/x")
refused("pax-key-of-nothing", slug(pax((b"", b"512")), file(b"app/x")), "CORRUPT", "app/x")
taken("pax-value-twice", slug(pax((b"path", b"app/a"), (b"mtime", b"5"), (b"path", b"app/b"), (b"mtime", b"7")),
                              file(b"app/x")), holds={"b": b"x", "a": None, "x": None})
refused("pax-of-all-entries-broken-and-none-behind", slug(pax(b"xx path=app/x\n", kind=b"g")), "CORRUPT")
refused("pax-then-nothing", slug(pax((b"path", b"app/x")), end=b""), "CORRUPT")
refused("pax-header-of-1-gb", slug(file(b"p", b"x" * 512, kind=b"x", size=1 << 30), end=b""), "CORRUPT")
taken("xattrs-acls-flags", slug(
    pax((b"SCHILY.xattr.security.capability", b"\1\0\0\2\1\0\0\0"),
        (b"SCHILY.xattr.trusted.overlay.opaque", b"y"), (b"SCHILY.xattr.user.overlay.redirect", b"/etc"),
        (b"LIBARCHIVE.xattr.user.x", b"eA=="), (b"SCHILY.fflags", b"immutable"),
        (b"SCHILY.acl.access", b"user::rw-,user:daemon:rwx,group::r--,mask::rwx,other::r--")),
    file(b"app/f", mode=0o674)), {"xattrs": 1})
# libarchive would take the mode out of the ACL.
for name, acl in {"owner": b"user::rwx,group::---,other::---", "group": b"user::rw-,group::r--,other::---",
                  "other": b"user::rw-\ngroup::---\nother::r--\n", "mask": b"user::rw-,mask::r--",
                  "twice": b"user::rw-,user::rw-", "short": b"u::rwx"}.items():
    taken(f"acl-that-contradicts-the-mode-{name}", slug(
        pax((b"SCHILY.acl.access", acl)), file(b"app/f", mode=0o600)), {"xattrs": 1} if b"mask" in acl else {})
for name, acl in {"letters": b"user::wrx", "words": b"everybody"}.items():
    taken(f"acl-of-{name}", slug(pax((b"SCHILY.acl.access", acl)), file(b"app/f", mode=0o600)))
taken("acl-as-star-writes-it", slug(
    pax((b"SCHILY.acl.access", b"user::rw-,user:lisa:rw-:1000,group::r--,mask::rw-,other::---")),
    file(b"app/f", mode=0o660)), {"xattrs": 1})
taken("acl-as-gnu-tar-writes-it", slug(
    pax((b"SCHILY.acl.access", b"user::rwx\nuser:1000:rwx\t#effective:r-x\ngroup::rwx\t#effective:r-x\n"
         b"mask::r-x\nother::---\n")), file(b"app/f", mode=0o750)), {"xattrs": 1})
refused("acl-of-all-entries", slug(
    pax((b"SCHILY.acl.access", b"user::rw-"), kind=b"g"), file(b"app/f", mode=0o644)), "CORRUPT",
        "app/f")

# --- headers ---

refused("checksum-of-the-first", file(b"app/x", checksum=b"000000\0 ") + END, "NOT_AN_ARCHIVE")
refused("checksum-of-a-later", slug(file(b"app/x", checksum=b"000000\0 ")), "CORRUPT")
taken("checksum-signed", slug(file(b"app/\xe9\xe9\xe9", signed=True)))
refused("size-negative", slug(file(b"app/x", size=base256(-1, 12))), "CORRUPT", "app/x")
refused("size-over-63-bits", slug(file(b"app/x", size=base256((1 << 63) + 5, 12))), "CORRUPT", "app/x")
refused("size-of-8-exabytes", slug(file(b"app/x", size=base256((1 << 63) - 1, 12))), "CORRUPT", "app/x")
refused("size-of-an-exabyte", slug(file(b"app/x", size=base256(1 << 60, 12))), "TOO_LARGE", "app/x")
refused("size-of-letters", slug(file(b"app/x", size=b"hello world")), "CORRUPT", "app/x")
taken("size-with-spaces", slug(file(b"app/x", b"data", size=b"         4 ")), holds={"x": b"data"})
refused("mode-of-letters", slug(file(b"app/x", mode=b"rwxr-x")), "CORRUPT", "app/x")
taken("mtime-negative", slug(file(b"app/x", mtime=base256(-5, 12))))
taken("mtime-far", slug(file(b"app/x", mtime=base256(1 << 62, 12))))
taken("gnu-magic", slug(file(b"app/x", magic=b"ustar  \0")))
taken("no-magic-for-one", slug(file(b"app/x", magic=b"")))

for name, number in {"nul-first": b"\x0012", "blank": b" " * 7, "tab-first": b"\t12", "base-64": b"-5",
                     "base-256-of-another-kind": b"\x81\0\0\0\0\0\0\5"}.items():
    for field in ("size", "mode", "mtime"):
        refused(f"{field}-{name}", slug(file(b"app/x", **{field: number.ljust(12, number[-1:])[
            :8 if field == "mode" else 12]})), "CORRUPT", "app/x")
taken("numbers-of-nuls", slug(file(b"app/x", b"", size=bytes(12), mode=bytes(8), mtime=bytes(12))))
taken("mode-of-base-256", slug(file(b"app/x", mode=base256(0o640, 8))))
# libarchive is content with "ustar" to look for a prefix, GNU tar wants all of it.
for name, magic in {"with-a-space": b"ustar 00", "cut": b"ustarx00", "gnu-version": b"ustar 1\0"}.items():
    refused(f"magic-{name}", slug(file(b"app/x", magic=magic, prefix=b"app/p")), "CORRUPT", "app/x")
taken("magic-of-any-version", slug(file(b"x", magic=b"ustar\0\0\0", prefix=b"app/p")))
taken("magic-of-nobody", slug(file(b"app/x", magic=b"USTAR\x0000", prefix=b"app/p")))
taken("prefix-with-a-slash", slug(file(b"x", prefix=b"app/p/")))
taken("prefix-of-a-gnu-header-is-none", slug(file(b"app/x", magic=GNU, prefix=b"00000000001\x0000000000001\0")))
taken("thirty-special-headers", slug(*[pax((b"comment", b"c"), kind=b"g")] * 30, file(b"app/x")))
refused("forty-special-headers", slug(*[pax((b"comment", b"c"), kind=b"g")] * 40, file(b"app/x")), "CORRUPT",
        "app/x")

# --- ends ---

refused("nothing", b"", "NOT_AN_ARCHIVE")
taken("zeroes-alone", bytes(10240))
taken("one-block-of-zeroes", bytes(512))
taken("iso-whose-first-blocks-are-zeroes", bytes(32768) + b"\1CD001\1" + bytes(4000))
refused("no-end", slug(end=b""), "CORRUPT")
refused("no-end-behind-a-global-header", slug(pax((b"comment", b"c"), kind=b"g"), end=b""), "CORRUPT")
taken("half-an-end", slug(end=bytes(512)))
taken("second-archive-behind-the-end", slug() + slug(file(b"app/second")), holds={"second": None})
taken("garbage-behind-the-end", slug() + os.urandom(4000))
taken("zero-block-in-between", slug(bytes(512), file(b"app/x")), holds={"x": None})

# --- packing ---

taken("gzip-fields", lambda: gzip_with_fields(slug(), 30))
taken("gzip-members", lambda: gzip.compress(slug()[:700]) + gzip_with_fields(slug()[700:], 30))
refused("gzip-garbage-behind", lambda: gzip.compress(slug()) + b"garbage", "CORRUPT")
refused("gzip-wrong-crc", lambda: gzip.compress(slug())[:-8] + b"\1\2\3\4" + gzip.compress(slug())[-4:],
        "CORRUPT")
refused("gzip-wrong-length", lambda: gzip.compress(slug())[:-4] + b"\1\2\3\4", "CORRUPT")
refused("gzip-reserved-flags", lambda: gzip_with_fields(slug(), 0xe0), "CORRUPT")
taken("xz-streams", lambda: lzma.compress(slug()[:700]) + lzma.compress(slug()[700:]))
taken("xz-huge-dictionary", lambda: lzma.compress(slug(), filters=[
    {"id": lzma.FILTER_LZMA2, "dict_size": 1536 << 20, "preset": 0}]))
refused("xz-garbage-behind", lambda: lzma.compress(slug()) + b"garbage", "CORRUPT")
refused("lzma-alone", lambda: lzma.compress(slug(), format=lzma.FORMAT_ALONE), "NOT_AN_ARCHIVE")
zstd = tool("zstd", "-q", "-c")
SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
taken("zstd-frames", lambda: zstd() + SKIPPED + zstd())
taken("zstd-skippable-behind", lambda: zstd() + SKIPPED)
refused("zstd-skippable-first", lambda: SKIPPED + zstd(), "NOT_AN_ARCHIVE")
refused("zstd-huge-window", tool("zstd", "-q", "-c", "--ultra", "--long=31", "--single-thread"), "CORRUPT")
refused("zstd-garbage-behind", lambda: zstd() + b"garbage", "CORRUPT")
refused("gzip-in-gzip", lambda: gzip.compress(gzip.compress(slug())), "NOT_AN_ARCHIVE")
refused("zstd-in-xz", lambda: lzma.compress(zstd()), "NOT_AN_ARCHIVE")
refused("bzip2", lambda: bz2.compress(slug()), "NOT_AN_ARCHIVE")
refused("zip", lambda: zip_of("app/Procfile", "web: x\n"), "NOT_AN_ARCHIVE")
refused("cpio-with-a-socket", lambda: cpio_of(b"app/s", 0o140755), "NOT_AN_ARCHIVE")
refused("7z", b"7z\xbc\xaf\x27\x1c" + bytes(2000), "NOT_AN_ARCHIVE")
refused("ar", b"!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n",
        "NOT_AN_ARCHIVE")
refused("shell-script", b"#!/bin/sh\nrm -rf /\n" * 100, "NOT_AN_ARCHIVE")

# --- bombs ---

refused("bomb-of-zeroes", lambda: gzip.compress(slug(file(b"app/z", bytes(64 << 20))), 9), "RATIO",
        limits=(1 << 30, 10_000, 100))
refused("bomb-of-entries", slug(*(file(b"app/%d" % i, b"") for i in range(200))), "TOO_MANY_ENTRIES",
        "app/98", limits=(1 << 30, 100, 1000))
refused("bomb-of-hardlinks", slug(*(hardlink(b"app/%d" % i, b"app/Procfile") for i in range(200))),
        "TOO_MANY_ENTRIES", "app/98", limits=(1 << 30, 100, 1000))
refused("bomb-of-folders", slug(*(folder(b"app/%d" % i) for i in range(200))), "TOO_MANY_ENTRIES",
        "app/98", limits=(1 << 30, 100, 1000))
# Folders that no entry is about are entries all the same.
refused("bomb-of-implied-folders", slug(*(file(b"app/%d/" % i + b"d/" * 40 + b"f") for i in range(9))),
        "TOO_MANY_ENTRIES", "app/2/" + "d/" * 40 + "f", limits=(1 << 30, 100, 1000))
refused("bomb-of-bytes", slug(file(b"app/z", os.urandom(2 << 20))), "TOO_LARGE", "app/z",
        limits=(1 << 20, 100, 1000))
refused("bomb-of-pax-headers", lambda: gzip.compress(
    slug(*(pax((b"comment", b"c" * 60_000)) + file(b"app/x") for _ in range(1000))), 9), "RATIO",
        limits=(1 << 30, 10_000, 100))

# --- what dynod itself looks at ---

refused("app-is-a-link", folder(b"./real") + symlink(b"./app", b"real") + END, "SLUG_APP_IS_LINK", "./app")
refused("stack-proc-is-a-hardlinked-link", symlink(b"./l", b"/usr") + hardlink(b"./proc", b"./l") + END,
        "STACK_DIR_IS_LINK", "proc", kind="stack")
refused("app-is-a-hardlinked-link", folder(b"./real") + symlink(b"./l", b"real") +
        hardlink(b"./app", b"./l") + END, "SLUG_APP_IS_LINK", "app")
taken("app-is-a-file", file(b"./app") + END, holds={"app": b"x"})
refused("procfile-is-a-link", APP + symlink(b"./app/Procfile", b"/etc/passwd") + END, "PROCFILE",
        "it is a link that leads nowhere")
taken("procfile-is-a-link-inside", APP + file(b"./app/P", b"web: x\n") +
        symlink(b"./app/Procfile", b"P") + END)
refused("procfile-is-a-folder", APP + folder(b"./app/Procfile") + END, "PROCFILE",
        "it is not a regular file")
refused("procfile-is-huge", APP + file(b"./app/Procfile", b"web: " + b"x" * (2 << 20)) + END, "PROCFILE",
        "it is larger than 256 KiB")
refused("procfile-is-binary", APP + file(b"./app/Procfile", b"\0\1\xff\xfe" * 99) + END, "PROCFILE",
        "?\x01??" * 99)
refused("procfile-and-the-terminal", APP + file(b"./app/Procfile", b"web: x\n\x1b]0;t\x07\n") + END,
        "PROCFILE", "\x1b]0;t\x07")
for name in ["dev", "proc", "sys", "app", "tmp", "var", "etc"]:
    refused(f"stack-{name}-is-a-link", folder(b"./") + symlink(b"./%s" % name.encode(), b"/usr") + END,
            "STACK_DIR_IS_LINK", f"./{name}", kind="stack")
    refused(f"stack-{name}-is-a-file", folder(b"./") + file(b"./%s" % name.encode()) + END,
            "STACK_DIR_IS_LINK", name, kind="stack")
taken("stack-passwd-is-a-link", folder(b"./") + folder(b"./etc") + symlink(b"./etc/passwd", b"/etc/shadow") +
      symlink(b"./etc/group", b"../../etc/shadow") + END, {"replaced": 2}, kind="stack",
      unlike="dynod mounts its own over them", holds={"etc/passwd": b"", "etc/group": b""})
