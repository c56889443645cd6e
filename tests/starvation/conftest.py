# SPDX-License-Identifier: Apache-2.0

import pytest

from arena import Arena


@pytest.fixture(scope="module")
def arena(daemon, stack, tmp_path_factory, request):
    arena = Arena(daemon, stack, tmp_path_factory.mktemp("starvation"))
    yield arena
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print("\nneighbour beside a bomb (beside a benign dyno)")
        print("\n".join(arena.rows))
    arena.destroy()


@pytest.fixture(autouse=True)
def same_victim(request):
    """No bomb restarts the neighbour, or dynod."""
    if "arena" not in request.fixturenames:
        yield
        return
    arena = request.getfixturevalue("arena")
    pids = [arena.daemon.main_pid(), *arena.daemon.pids_of("dynod-supervisor"),
            *arena.daemon.pids_of("dynod-logger")]
    yield
    dyno = arena.daemon.dyno(arena.victim, "web.1")
    assert (dyno["id"], dyno["pid"], dyno["state"]) == (arena.web["id"], arena.web["pid"], "up")
    assert pids == [arena.daemon.main_pid(), *arena.daemon.pids_of("dynod-supervisor"),
                    *arena.daemon.pids_of("dynod-logger")]
