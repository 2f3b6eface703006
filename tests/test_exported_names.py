"""The public names, locked, and what importing them costs."""

import subprocess
import sys

import pytest

import striate

HEAVY = ("torch", "numpy", "sklearn", "PIL", "pydantic", "matplotlib")


@pytest.mark.parametrize("name", striate.__all__)
def test_every_public_name_is_there_and_documented(name):
    assert getattr(striate, name).__doc__


def test_public_names_are_sorted_and_listed():
    assert striate.__all__ == sorted(striate.__all__, key=lambda n: (n.islower(), n))
    assert dir(striate) == striate.__all__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tran'"):
        striate.tran  # noqa: B018


@pytest.mark.parametrize(
    "statement", ["import striate", "import striate.cli as c; c.application()"]
)
def test_importing_loads_nothing_heavy(statement):
    code = f"{statement}\nimport sys\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
