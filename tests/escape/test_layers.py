# SPDX-License-Identifier: Apache-2.0
"""Each layer off in turn: what still stops the attempts, and does the read-back see it?

layers.c switches off; layers.py starts the dynos and draws the table. What only one layer
stops is listed with its reason in single-layer.txt, and the table is docs/escape-layers.md.
"""

import json
import os
import pathlib
import subprocess

import pytest

import layers

BUILD = pathlib.Path(os.environ.get("DYNOD_BUILD", "build"))
HERE = pathlib.Path(__file__).resolve().parent
HUGE_PAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")
INSTALLED = os.environ.get("DYNOD_INSTALLED") == "1"

# The layer of ps:inspect that names what is off. Not there: nothing of it shows in /proc.
READ_BACK = {
    "seccomp": "seccomp", "filters": "seccomp", "apparmor": "apparmor", "capabilities": "capabilities",
    "no_new_privs": "no_new_privs", "user": "user", "uid": "user", "pid": "namespaces", "ipc": "namespaces",
    "uts": "namespaces", "cgroup": "namespaces", "net": "network", "old-root": "rootfs", "masks": "rootfs",
    "readonly": "rootfs", "nosuid": "rootfs", "limits": "limits",
}


@pytest.fixture(scope="module")
def attempts():
    listed = subprocess.run([BUILD / "tests/escape/escape", "list"], capture_output=True, text=True, check=True)
    return {attempt["name"]: attempt for attempt in map(json.loads, listed.stdout.splitlines())}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """({layer: {attempt: answer}}, {layer: what the read-back saw}), one dyno for each layer."""
    if INSTALLED:
        layers.load_profile("sbx-dyno")
        HUGE_PAGES.write_text("4")  # what nobody reserved is no loss to anybody
    lab = layers.LayerLab(tmp_path_factory.mktemp("layers"), BUILD)
    try:
        runs = {layer: lab.attempts(layer) for layer in layers.LAYERS}
    finally:
        lab.close()
        if INSTALLED:
            layers.unload_profile("sbx-dyno")
            HUGE_PAGES.write_text("0")
    return {layer: run[0] for layer, run in runs.items()}, {layer: run[1] for layer, run in runs.items()}


def test_every_attempt_is_made_in_every_dyno(attempts, found):
    for layer, answers in found[0].items():
        assert set(answers) == set(attempts), layer
        assert not {name: told for name, told in answers.items() if told in ("broken", "timeout", "signal")}, layer


def test_nothing_gets_through_with_all_layers(found):
    assert not {name for name, told in found[0]["none"].items() if told == "through"}
    assert found[1]["none"] == []


@pytest.mark.parametrize("layer", READ_BACK)
def test_read_back_sees_what_is_off(found, layer):
    """Which also shows that the layer was off."""
    if layer == "apparmor" and not INSTALLED:
        return
    assert READ_BACK[layer] in {line.split()[0] for line in found[1][layer]}, found[1][layer]


def test_attempts_name_what_alone_stops_them(attempts, found):
    assert not layers.unstated(attempts, found[0])


def told_alike(pairs):
    """One pair a line, for a message that says what to change."""
    return "\n".join(f"        {layer} {name}" for name, layer in sorted(pairs, key=lambda pair: (pair[1], pair[0])))


@pytest.mark.vm
def test_what_one_layer_stops_alone_has_a_reason(attempts, found, request):
    exceptions = layers.read_exceptions(HERE / "single-layer.txt")
    text = layers.document(attempts, found[0], {layer: "; ".join(sorted({line.split()[0] for line in lines}))
                                                for layer, lines in found[1].items()}, exceptions)
    if request.config.getoption("--show-layer-table"):
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n-----BEGIN TABLE-----\n{text}-----END TABLE-----")
    single = layers.single(found[0])
    assert single == set(exceptions), \
        f"without a reason:\n{told_alike(single - set(exceptions))}\n" \
        f"no longer so:\n{told_alike(set(exceptions) - single)}"
