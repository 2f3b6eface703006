"""Python's search for cycles while modules load."""

import gc

import pytest

from striate.cli.loading import loading


def test_cycles_are_looked_for_again_afterwards():
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_also_after_a_module_that_does_not_load():
    with pytest.raises(ImportError), loading():
        import striate.nothing  # noqa: F401
    assert gc.isenabled()
