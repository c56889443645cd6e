# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import lab as lab_module  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def pytest_configure(config):
    config.addinivalue_line("markers", "two_kernels: in the VM too, where each takes ten times as long")


def pytest_collection_modifyitems(config, items):
    """In the VM a few tests show that its kernel takes what this one takes."""
    if os.environ.get("DYNOD_INSTALLED") != "1":
        return
    dropped = [item for item in items if str(item.path).startswith(HERE)
               and not item.get_closest_marker("two_kernels")]
    if dropped:
        items[:] = [item for item in items if item not in dropped]
        config.hook.pytest_deselected(items=dropped)


@pytest.fixture
def lab():
    """A host without any driver."""
    it = lab_module.Lab()
    yield it
    it.close()


@pytest.fixture
def net(lab):
    """A host with the network started."""
    driver = lab.start()
    if driver.tc_error != 0:
        pytest.fail(f"the kernel refuses the tc program: errno {-driver.tc_error}")
    return lab
