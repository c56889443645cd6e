# SPDX-License-Identifier: Apache-2.0
"""Each layer off in turn: what still stops the attempts, and does the read-back see it?

layers.c switches off; layers.py starts the dynos and draws the table. What only one layer
stops is listed with its reason in single-layer.txt, and the table is docs/escape-layers.md.
"""

import difflib
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
    "uts": "namespaces", "cgroup": "namespaces", "net": "network", "old-root": "rootfs",
    "masks": "rootfs", "readonly": "rootfs", "nosuid": "rootfs", "limits": "limits",
}

# Two layers of which either holds alone: with both off something gets through.
PAIRS = {layer: layer.split("+") for layer in layers.LAYERS if "+" in layer} | {"dumpable": ["init-flag", "init-mode"]}

# The column that takes a stated layer away altogether, where it is not of that name.
TAKEN_AWAY = {"seccomp": "filters", "descriptors": "descriptors+init-descriptors"}
# Answers that only say that a thing is not there: whose doing that is they do not say.
NOT_THERE = {"absent", "ENOENT", "ENODEV", "ENXIO", "ENOTTY", "EOPNOTSUPP", "ENOPROTOOPT"}
# Of a dyno's terminal: only a console has what this asks for, and there is none in a dyno.
OF_ANOTHER_KIND = {"terminal/console-paste"}


@pytest.fixture(scope="module")
def attempts():
    listed = subprocess.run([BUILD / "tests/escape/escape", "list"], capture_output=True, text=True, check=True)
    return {attempt["name"]: attempt for attempt in map(json.loads, listed.stdout.splitlines())}


@pytest.fixture(scope="module")
def here(attempts):
    """The names of those that are for this kernel."""
    return {name for name, attempt in attempts.items()
            if not {"native" if INSTALLED else "vm"} & set(attempt["control"])}


@pytest.fixture(scope="module")
def found(here, tmp_path_factory):
    """({layer: {attempt: answer}}, {layer: what the read-back saw}, {layer: which were
    switched}), one dyno for each layer."""
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
    answers = {layer: {name: told for name, told in run[0].items() if name in here} for layer, run in runs.items()}
    return (answers, *({layer: run[i] for layer, run in runs.items()} for i in (1, 2)))


def test_every_attempt_is_made_in_every_dyno(here, found):
    for layer, answers in found[0].items():
        assert set(answers) == here, layer
        assert not {name: told for name, told in answers.items() if told in ("broken", "timeout", "signal")}, layer


def test_nothing_gets_through_with_all_layers(found):
    assert not {name for name, told in found[0]["none"].items() if told == "through"}
    assert found[1]["none"] == []


def of_layers(names):
    """Each but AppArmor, which a host may lack, is to be seen everywhere."""
    return [pytest.param(name, marks=pytest.mark.vm) if name == "apparmor" else name for name in names]


@pytest.mark.parametrize("layer", of_layers(READ_BACK))
def test_read_back_sees_what_is_off(found, layer):
    """Which also shows that the layer was off."""
    assert READ_BACK[layer] in {line.split()[0] for line in found[1][layer]}, found[1][layer]


@pytest.mark.parametrize("layer", of_layers(layer for layer in layers.LAYERS if layer not in layers.OF_INIT))
def test_what_is_off_was_switched_off(found, layer):
    """It was called, and did nothing."""
    assert set(found[2][layer]) == set(layer.split("+")) - layers.OF_INIT


@pytest.mark.parametrize("pair", PAIRS)
def test_of_two_layers_each_was_off(found, pair):
    """Together they let something through that neither does alone."""
    through = {layer: {name for name, told in found[0][layer].items() if told == "through"}
               for layer in (pair, *PAIRS[pair])}
    assert through[pair] - set().union(*(through[half] for half in PAIRS[pair])), through


def test_attempts_name_what_alone_stops_them(attempts, found):
    assert not layers.unstated(attempts, found[0])


def works_here(attempt):
    """Whether its control works on this kernel."""
    return ("control-native" if INSTALLED else "control-vm") not in attempt["control"]


def test_what_one_layer_is_said_to_stop_gets_through_without_it(attempts, found):
    """Or something else stops it, perhaps no more than that the thing is not there."""
    wrong = {}
    for name, attempt in attempts.items():
        stated = attempt["stopped_by"].split()
        column = TAKEN_AWAY.get(stated[0], stated[0])
        told = found[0].get(column, {}).get(name, "through")
        if len(stated) == 1 and works_here(attempt) and told != "through":
            wrong[name] = f"{column} off: {told}"
    assert not wrong


def test_no_answer_without_a_layer_is_that_a_thing_is_not_there(attempts, found):
    """It would be the lab's, and not an attempt."""
    wrong = {f"{name} with {layer} off: {told}, not {found[0]['none'][name]}"
             for layer, answers in found[0].items() for name, told in answers.items()
             if told in NOT_THERE and told != found[0]["none"][name] and works_here(attempts[name])
             and name not in OF_ANOTHER_KIND}
    assert not wrong, "\n".join(sorted(wrong))


def told_alike(pairs):
    """One pair a line, for a message that says what to change."""
    return "\n".join(f"        {layer} {name}" for name, layer in sorted(pairs, key=lambda pair: (pair[1], pair[0])))


@pytest.mark.vm
def test_what_one_layer_stops_alone_has_a_reason(found):
    exceptions = layers.read_exceptions(HERE / "single-layer.txt")
    single = layers.single(found[0])
    assert single == set(exceptions), \
        f"without a reason:\n{told_alike(single - set(exceptions))}\n" \
        f"no longer so:\n{told_alike(set(exceptions) - single)}"


DOCUMENT = HERE.parents[1] / "docs/escape-layers.md"


def test_firewall_is_as_the_document_has_it(request):
    """What tests/integration/network came to in the same run: all of it natively, a part in the guest."""
    rows = set(layers.firewall_rows(request.config.firewall_results))
    written = set(layers.rows_of(DOCUMENT.read_text(), layers.FIREWALL_HEAD))
    assert rows <= written
    assert INSTALLED or not rows or rows == written


@pytest.mark.vm
def test_guards_are_as_the_document_has_them(request):
    rows = layers.guard_rows(request.config.guard_results)
    assert not rows or set(rows) == set(layers.rows_of(DOCUMENT.read_text(), layers.GUARDS_HEAD))


def test_document_counts_every_attempt(attempts):
    """Said at once on a machine that cannot make the whole document."""
    assert f" of {len(attempts)} attempts, and why" in DOCUMENT.read_text()


@pytest.mark.vm
def test_document_is_what_was_seen(attempts, found, request):
    written = DOCUMENT.read_text()
    tables = [layers.renewed(layers.rows_of(written, head), found) for head, found in (
        (layers.FIREWALL_HEAD, layers.firewall_rows(request.config.firewall_results)),
        (layers.GUARDS_HEAD, layers.guard_rows(request.config.guard_results)))]
    seen = {layer: "; ".join(sorted({line.split()[0] for line in lines})) for layer, lines in found[1].items()}
    text = layers.document(attempts, found[0], seen, layers.read_exceptions(HERE / "single-layer.txt"), *tables)
    if request.config.getoption("--show-layer-table"):
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(f"\n-----BEGIN TABLE-----\n{text}-----END TABLE-----")
    assert written == text, "\n".join(difflib.unified_diff(written.splitlines(), text.splitlines(), lineterm=""))
