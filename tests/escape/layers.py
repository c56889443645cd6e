# SPDX-License-Identifier: Apache-2.0
"""Dynos with one layer off, and the table of what still stops each attempt in them."""

import json
import os
import pathlib
import re
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
}

# Who starts dyno-init with the layers of its own off.
INITS = {"dumpable": "dyno-init-dumpable", "init-flag": "dyno-init-dumpable", "init-descriptors": "dyno-init-descriptors", "pid": "dyno-init-pid"}
WITHOUT_OWN_FILTER = {"own-filter", "filters"}


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
        os.chown(tree / "bin", TREES, TREES)
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
        """What became of each attempt with @layer off, by name; and what the read-back saw."""
        init = self.work / "libexec/dyno-init"
        init.unlink()
        shutil.copy(self.build / "tests/escape" / INITS[layer] if layer in INITS else
                    self.build / "bin/dyno-init", init)
        init.chmod(0o755 if layer in ("dumpable", "init-mode") else 0o711)
        # What an earlier dyno had the kernel load must not be there already; TLS is where it is used.
        for words in (["--remove", "squashfs"], ["--remove", "sctp"], ["--remove", "rxrpc"], ["tls"]):
            if shutil.which("modprobe"):
                subprocess.run(["modprobe", "--quiet", *words], check=False)
        env = os.environ | {"ESCAPE_LAYER_OFF": layer}
        if layer not in WITHOUT_OWN_FILTER:
            env["CONFINE"] = "1"
        # Where a namespace is off, the dyno has the driver's, which is not the machine's.
        done = subprocess.run(
            ["unshare", "--net", "--ipc", "--uts", "sh", "-c",
             'ip link set lo up && ip link add eth0 type bridge && ip link set eth0 up && exec "$@"', "-",
             self.build / "tests/escape/escape_layers", self.work / "dynod.conf", self.work, self.cgroup,
             "app", "/app/escape run all"],
            capture_output=True, text=True, timeout=120 * time_factor(), check=False, env=env)
        assert done.returncode == 0, f"{layer}: {done.stdout[-1000:]}{done.stderr[-2000:]}"
        assert "exit=0" in done.stdout and "removed=0" in done.stdout, f"{layer}: {done.stdout[-1000:]}"
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        seen = [line.partition("=")[2] for line in done.stdout.splitlines() if line.startswith("readback=")]
        return {line["name"]: line["error"] if line["outcome"] == "refused" else line["outcome"]
                for line in lines}, seen


def single(table):
    """Pairs (attempt, layer): with that one layer off, nothing stops the attempt."""
    return {(name, layer) for layer, found in table.items() for name, told in found.items() if told == "through"}


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
STATED = {"filters": "seccomp", "uid": "user", "init-descriptors": "descriptors", "init-flag": "dumpable",
          "init-mode": "dumpable"}


def unstated(attempts, table):
    """Pairs (attempt, layer) that single() found, and whose attempt does not name the layer."""
    return {(name, layer) for name, layer in single(table)
            if STATED.get(layer, layer) not in attempts[name]["stopped_by"].split()}


def network_attempts():
    """What tests/integration/network tries with either half of the firewall off, and with both."""
    text = (pathlib.Path(__file__).resolve().parents[1] / "integration/network/test_network_isolation.py").read_text()
    found = re.findall(r'"layers", LAYERS\)\n(?:@.*\n)*def test_(\w+)\(', text)
    assert found
    return [name.replace("_", " ") for name in found]


def document(attempts, table, seen, exceptions):
    """docs/escape-layers.md."""
    lines = ["""\
# What stops an escape

Made by `tests/escape/test_layers.py` in the guest of the VM tests; do not edit. To make it anew:
`tests/vm/run … -k test_layers --show-layer-table`, see docs/HACKING.md.

Each attempt of `tests/escape` was made in a dyno with all layers and in dynos with one layer
off each. An answer is an errno, "killed" (by the filter), "nothing" (the call worked and
reached nothing of anybody else), "absent" (what to attack is not in there) or **through**.
The archives' own layer, the unpacker, is off in all of them: set-id bits and file
capabilities are in the trees.

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
              "Layers whose absence changes no answer are not named.", "",
              "| attempt | tries to | answer | with one layer off |", "|---|---|---|---|"]
    for name, attempt in attempts.items():
        if name not in table["none"]:
            continue
        base = table["none"][name]
        groups = {}
        for layer, found in table.items():
            if found[name] != base:
                groups.setdefault("**through**" if found[name] == "through" else found[name], []).append(layer)
        cell = "; ".join(f"{', '.join(layers)}: {told}" for told, layers in groups.items()) or "same"
        lines.append(f"| `{name}` | {attempt['tries']} | {base} | {cell} |")
    lines += ["", "## The two halves of the firewall", "",
              "`tests/integration/network` makes each of these attempts with both halves, with either one off, and",
              "with neither, when it must get through.", "",
              "| attempt | tc off | nft off | both off |", "|---|---|---|---|"]
    lines += [f"| {name} | holds | holds | **through** |" for name in network_attempts()]
    return "\n".join(lines) + "\n"
