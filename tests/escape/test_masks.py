# SPDX-License-Identifier: Apache-2.0
"""What the masks of /proc hide, AppArmor refuses as well, and no more: a mask needs a file to lie over.

A file that a module brings when a dyno runs already (/proc/asound, /proc/scsi, /proc/mdstat)
has no mask in it.
"""

import pathlib
import re

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
ALWAYS_THERE = {"fs"}  # the kernel's own folder, so that it is masked in every dyno
OF_OTHER_KERNELS = {"kmem", "mem"}


def masked():
    """{name: whether it is a folder} of rootfs_plan.c."""
    text = (SOURCE / "src/sandbox/rootfs_plan.c").read_text(encoding="ascii")
    return {name: kind == "DIR" for kind, name in re.findall(r'^ +MASK_(FILE|DIR)\("([^"]+)"\)', text, re.MULTILINE)}


def refused():
    """{name: whether what is below it is refused, too} of the profile's rules for reading."""
    text = (SOURCE / "profiles/apparmor/dynod-dyno.in").read_text(encoding="ascii")
    found = {}
    for names, one, below in re.findall(r"^  deny @\{PROC\}/(?:\{([\w./,-]+)\}|([\w./-]+))(\{,/\*\*\})? rwlx,$", text,
                                        re.MULTILINE):
        found |= dict.fromkeys(names.split(",") if names else [one], bool(below))
    return found


@pytest.mark.native  # the sources are not in the guest
def test_what_is_masked_is_refused_by_name():
    names = masked()
    assert len(names) > 30 and names["asound"] and not names["vmstat"], names
    rules = refused()
    missing = {name for name, folder in names.items() - set(dict.fromkeys(ALWAYS_THERE, True).items())
               if name not in rules or (folder and not rules[name])}
    assert not missing
    assert set(rules) - set(names) == OF_OTHER_KERNELS
