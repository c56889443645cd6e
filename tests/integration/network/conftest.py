# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import lab as lab_module  # noqa: E402


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
