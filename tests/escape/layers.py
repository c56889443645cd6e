# SPDX-License-Identifier: Apache-2.0
"""Dynos with one layer off, and the table of what still stops each attempt in them."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration/sandbox"))

from dynod_testing import time_factor  # noqa: E402
from sandbox_lab import TREES, Lab, open_to_all  # noqa: E402

# In the order of the table's columns. What is off is what layers.c says under that name.
LAYERS = {
    "none": "nothing: all layers are on",
    "seccomp": "the dyno's filter; dynod's own, which every dyno inherits, still holds",
    "own-filter": "dynod's own filter; the dyno's still holds",
    "filters": "every filter, dynod's own too",
    "apparmor": "the profile",
    "capabilities": "capabilities: the dyno has every one of its user namespace",
    "no_new_privs": "the flag",
    "user": "the user namespace: the dyno's uid is one of the host's",
    "uid": "the change of uid: the dyno is the host's uid 0, without capabilities",
    "namespace-limits": "that its user namespace allows no further namespaces",
    "pid": "the pid namespace",
    "ipc": "the ipc namespace",
    "uts": "the uts namespace",
    "cgroup": "the cgroup namespace",
    "net": "the network namespace",
    "old-root": "that the old root is unmounted",
    "pivot": "pivot_root: chroot in its place, with the host's tree mounted above",
    "masks": "the masks of /proc",
    "readonly": "read-only mounts",
    "nosuid": "nosuid, nodev and noexec of mounts",
    "limits": "resource limits",
    "keyring": "a session keyring of its own",
    "descriptors": "that descriptors of dynod close at the exec of dyno-init",
    "init-descriptors": "that dyno-init closes its own before the app starts",
    "init-flag": "that dyno-init sets itself not dumpable",
    "init-mode": "that dyno-init is a file that its user may not read, and so not dumpable",
    "dumpable": "both: dyno-init is dumpable",
    "filters+namespace-limits": "two at once, of which either holds alone",
    "filters+keyring": "the same",
    "nosuid+no_new_privs": "the same",
    "descriptors+init-descriptors": "the same",
}

# dyno-init's own: a program without the layer, or its file's mode, and nothing to be switched.
OF_INIT = {"none", "init-descriptors", "init-flag", "init-mode", "dumpable"}
# What an ordinary host holds, in the namespaces that a dyno is in when it has none of its own.
OF_THE_HOST = ["ipc/shared-memory", "ipc/messages", "ipc/semaphores", "ipc/queue", "ipc/host-name", "ipc/domain-name",
               "ipc/abstract-socket", "network/listener-of-others"]

# Who starts dyno-init with the layers of its own off.
INITS = {"dumpable": "dyno-init-dumpable", "init-flag": "dyno-init-dumpable", "init-descriptors": "dyno-init-descriptors",
         "descriptors+init-descriptors": "dyno-init-descriptors", "pid": "dyno-init-pid"}


def file_capability(owner):
    """The attribute of a program with every capability, to whom @owner is root."""
    return struct.pack("<IIIIII", 0x03000001, 0xffffffff, 0, 0x1ff, 0, owner)


class LayerLab(Lab):
    """A stack and a slug that nothing was taken from: set-id programs, capabilities."""

    def __init__(self, work, build):
        open_to_all(work)
        super().__init__(work, build)
        tree, slug = work / "stack/tree", work / "slug"
        (tree / "bin").mkdir()
        (tree / "etc/debian_version").write_text("12\n", encoding="ascii")
        for path in (tree / "bin", tree / "etc/debian_version"):
            os.chown(path, TREES, TREES)
        # On a disk, whose file system does what an attempt asks of it when no layer is in the way.
        self.scratch = work / "scratch"
        self.scratch.mkdir()
        subprocess.run(["mount", "--bind", self.scratch, self.scratch], check=True)
        self.config("apparmor cgroup-memory cgroup-cpu cgroup-pids cgroup-io tc quota", self.scratch)
        for path, mode, capability in (
                (slug / "escape", 0o755, None), (slug / "setuid", 0o4755, None), (slug / "setgid", 0o2755, None),
                (slug / "filecap", 0o755, TREES), (tree / "bin/escape-setuid", 0o6755, None),
                (tree / "bin/escape-filecap", 0o755, TREES)):
            shutil.copy(build / "tests/escape/escape", path)
            os.chown(path, TREES, TREES)
            path.chmod(mode)
            if capability:
                os.setxattr(path, "security.capability", file_capability(capability))

    def attempts(self, layer):
        """What became of each attempt with @layer off, by name; what the read-back saw; and
        which layers were switched."""
        init = self.work / "libexec/dyno-init"
        init.unlink()
        shutil.copy(self.build / "tests/escape" / INITS[layer] if layer in INITS else
                    self.build / "bin/dyno-init", init)
        init.chmod(0o755 if layer in ("dumpable", "init-mode") else 0o711)
        # What an earlier dyno had the kernel load must not be there already; TLS is where it is used.
        for words in (["--remove", "squashfs"], ["--remove", "sctp"], ["--remove", "rxrpc"], ["tls"]):
            if shutil.which("modprobe"):
                subprocess.run(["modprobe", "--quiet", *words], check=False)
        env = os.environ | {"ESCAPE_LAYER_OFF": layer, "CONFINE": "1"}
        shutil.rmtree(self.scratch / "sbx", ignore_errors=True)
        # Where a namespace is off, the dyno has the driver's, which is not the machine's.
        done = subprocess.run(
            ["unshare", "--net", "--ipc", "--uts", "sh", "-c",
             'ip link set lo up && ip link add eth0 type bridge && ip link set eth0 up && exec "$@"', "-",
             self.build / "tests/escape/escape", "hold", *OF_THE_HOST, "--",
             self.build / "tests/escape/escape_layers", self.work / "dynod.conf", self.work, self.cgroup,
             "app", "/app/escape run all"],
            capture_output=True, text=True, timeout=120 * time_factor(), check=False, env=env)
        assert done.returncode == 0, f"{layer}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
        assert "exit=0" in done.stdout and "removed=0" in done.stdout, f"{layer}: {done.stdout[-1000:]}"
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        seen, switched = ([line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith(key + "=")]
                          for key in ("readback", "switched"))
        return {line["name"]: line["error"] if line["outcome"] == "refused" else line["outcome"]
                for line in lines}, seen, switched

    def close(self):
        subprocess.run(["umount", self.scratch], check=True)
        super().close()


def single(table):
    """Pairs (attempt, layer): with that one layer off, nothing stops the attempt."""
    return {(name, layer) for layer, found in table.items() for name, told in found.items()
            if told == "through" and "+" not in layer}


def load_profile(name):
    """The dyno's profile, as installed, under the name that the lab's instance needs."""
    text = pathlib.Path("/etc/apparmor.d/dynod-dyno").read_text()
    text = text.replace("dynod-dyno", name).replace("peer=dynod,", "peer=unconfined,")
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=text, text=True, check=True)


def unload_profile(name):
    pathlib.Path("/sys/kernel/security/apparmor/.remove").write_text(name)


def read_exceptions(path):
    """{(attempt, layer): reason} of a file of paragraphs: a reason, a colon, pairs below it."""
    found = {}
    reason = ""
    for line in path.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            reason = line.rstrip(":")
            continue
        layer, *names = line.split()
        for name in names:
            assert (name, layer) not in found, f"{name} {layer} is there twice"
            found[name, layer] = reason
    return found


# The name in an attempt's "stopped_by", where another one is switched off here.
STATED = {"filters": "seccomp", "pivot": "apparmor", "uid": "user", "init-descriptors": "descriptors",
          "init-flag": "dumpable", "init-mode": "dumpable"}


def unstated(attempts, table):
    """Pairs (attempt, layer) that single() found, and whose attempt does not name the layer."""
    return {(name, layer) for name, layer in single(table)
            if STATED.get(layer, layer) not in attempts[name]["stopped_by"].split()}


# What tests/integration/network leaves on, by the columns of the table.
HALVES = {"nft": "tc off", "tc": "nft off", "none": "both off"}
FIREWALL_HEAD = f"| attempt | {' | '.join(HALVES.values())} |\n|---|---|---|---|\n"


def firewall_rows(results):
    """Lines of the firewall's table, of {test: {what was on: whether it ended as it must}}."""
    rows = []
    for test, found in results.items():
        if not HALVES.keys() <= found.keys():
            continue  # about one half alone
        # With both off the attempt must get through, or it proves nothing.
        cells = ["**through**" if found[on] == (on == "none") else "holds" for on in HALVES]
        rows.append(f"| {test.removeprefix('test_').replace('_', ' ')} | {' | '.join(cells)} |")
    return rows


GUARDS_HEAD = "| attack | guard | with it | with it off |\n|---|---|---|---|\n"


def guard_rows(results):
    """Lines of the guards' table, of {(guard, attack): {whether it was on: whether the attack got through}}."""
    told = {True: "**through**", False: "holds"}
    return [f"| {attack} | {guard} | {told[found[True]]} | {told[found[False]]} |"
            for (guard, attack), found in results.items() if len(found) == 2]


def rows_of(text, head):
    """The lines of a document's table."""
    lines = text.partition(head)[2].splitlines()
    return lines[:next((i for i, line in enumerate(lines) if not line.startswith("| ")), len(lines))]


def renewed(rows, found):
    """@rows of a document with those that a run @found, which may be a part of them."""
    fresh = {row.split(" | ")[0]: row for row in found}
    return [fresh.pop(row.split(" | ")[0], row) for row in rows] + list(fresh.values())


def document(attempts, table, seen, exceptions, firewall, guards):
    """docs/escape-layers.md."""
    lines = ["""\
# What stops an escape

Made by `tests/escape/test_layers.py` in the guest of the VM tests; do not edit. To make it anew:
`tests/vm/run … --show-layer-table`, see docs/HACKING.md; a stale one fails there.

Each attempt of `tests/escape` was made in a dyno with all layers and in dynos with one layer
off each. An answer is an errno, "killed" (by the filter), "nothing" (the call worked and
reached nothing of anybody else), "absent" (what to attack is not in there) or **through**.
The archives' own layer, the unpacker, is off in all of them: set-id bits and file
capabilities are in the trees. Where a namespace is off, the dyno is in one in which others have
System V objects, queues, abstract sockets, a listener on the loopback and a host name. The mount
namespace has no column: without it the dyno's root would become the host's; `pivot` is nearest.

## Layers

The read-back of every layer, which ends a dyno before its app starts, was told off for this.
It saw what was off as the last column says.

| off | is | the read-back sees |
|---|---|---|"""]
    for layer, text in LAYERS.items():
        lines.append(f"| `{layer}` | {text} | {seen[layer] or '–'} |")
    lines += ["", "## Stopped by one layer only", "",
              f"{len({name for name, _ in exceptions})} of {len(attempts)} attempts, and why that is so:", ""]
    reasons = {}
    for (name, layer), reason in exceptions.items():
        reasons.setdefault((reason, layer), []).append(name)
    for (reason, layer), names in reasons.items():
        lines.append(f"* `{layer}`: {reason}. {', '.join(f'`{name}`' for name in sorted(names))}")
    lines += ["", "## All attempts", "",
              "Layers whose absence changes no answer are not named; of two at once, what neither changes alone.", "",
              "| attempt | tries to | answer | with one layer off |", "|---|---|---|---|"]
    for name, attempt in attempts.items():
        if name not in table["none"]:
            continue  # not for the guest's kernel
        base = table["none"][name]
        groups = {}
        for layer, found in table.items():
            halves = {table[half][name] for half in layer.split("+")[:-1] + layer.split("+")[1:] if "+" in layer}
            if found[name] != base and found[name] not in halves:
                groups.setdefault("**through**" if found[name] == "through" else found[name], []).append(layer)
        cell = "; ".join(f"{', '.join(layers)}: {told}" for told, layers in groups.items()) or "same"
        lines.append(f"| `{name}` | {attempt['tries']} | {base} | {cell} |")
    lines += ["", "## The two halves of the firewall", "",
              "`tests/integration/network` makes each of these attempts with both halves, with either one off, and",
              "with neither, when it must get through.", "", FIREWALL_HEAD.rstrip("\n"), *firewall]
    lines += ["", "## The guards", "",
              "What `dynod-guards` has the kernel ask. `tests/escape/test_modules.py` and, in `tests/vm`,",
              "`test_file_locks.py`, `test_sockets.py`, `test_inet.py`, `test_sends.py`, `test_folders.py`,",
              "`test_flight.py`, `test_interrupts.py` and `test_terminals.py` make each of these attacks with the",
              "guard and with its programs unpinned; all other layers are on. `test_semaphores.py` does so, too, where",
              "it has both processors for itself.", "", GUARDS_HEAD.rstrip("\n"), *guards]
    return "\n".join(lines) + "\n"
