"""What the commands load, and Python's search for cycles meanwhile."""

import gc
import subprocess
import sys

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


@pytest.mark.parametrize(
    "command", [("train", "digits", "--epochs", "1", "--out"), ("show", "lenet5", "--input")]
)
def test_what_takes_seconds_to_load_is_not(command, tmp_path):
    """PyTorch's compiler and scikit-learn, each of which takes as long as PyTorch itself."""
    last = {"train": str(tmp_path / "run"), "show": "28x28x1"}[command[0]]
    code = (
        "import sys; from striate.cli import run; run(sys.argv[1:]);"
        "print(*(m for m in ('torch._dynamo', 'sklearn', 'scipy.stats') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command, last], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""
