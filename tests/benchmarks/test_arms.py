"""Arms answer in turn, a missing library leaves one out, and finished runs are not repeated."""

import importlib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    """A script of the benchmarks, by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def arrays(tmp_path):
    path = tmp_path / "images.npz"
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(64) % 10)
    return path


def script(folder, text):
    path = folder / "script.py"
    path.write_text(text)
    return path


def test_arms_alternate_and_one_without_its_library_is_left_out(
    module, arrays, tmp_path, monkeypatch, capsys
):
    arms = module("arms")
    monkeypatch.setattr(arms, "FOLDER", FOLDER)
    absent = script(tmp_path, "import a_library_that_is_not_there")
    started = [
        arms.Arm("one", "peers/pytorch_nets.py", (arrays, "--net", "mlp50", "--batch", 16)),
        arms.Arm("two", str(absent)),
    ]
    with arms.running(started, threads=1) as running:
        answers = arms.alternate(running, 2, {"images": 32, "seconds": 60.0})
        assert running[0].versions["torch"]
    assert [answer["images"] for answer in answers["one"]] == [32, 32]
    assert all(rate > 0 for rate in arms.rates(answers["one"]))
    assert "two" not in answers
    assert (
        "left out: two (No module named 'a_library_that_is_not_there')" in capsys.readouterr().out
    )


def test_an_arm_that_fails_is_not_left_out_but_told(module, tmp_path):
    arms = module("arms")
    broken = arms.Arm("broken", str(script(tmp_path, "raise ValueError('what went wrong')")))
    with pytest.raises(RuntimeError, match="what went wrong"), arms.running([broken]):
        pass


def test_a_ratio_is_that_within_the_rounds(module):
    # the machine was half as fast in the second round, and the ratio is the same
    assert module("arms").median_ratio([20.0, 10.0, 20.0], [10.0, 5.0, 10.0]) == 2


def test_growth_in_proportion_to_the_square_has_exponent_two(module):
    values = (1, 2, 4)
    assert module("growth").exponent(values, [3.0 * v**2 for v in values]) == pytest.approx(2)


def test_finished_runs_are_read_back(module, tmp_path):
    accuracy = module("time_to_accuracy")
    goal = accuracy.GOALS[0]
    entry = accuracy.Entry(goal.name, goal.striate(Path("anywhere.npz")), goal.target)
    accuracy.Kept(tmp_path / "runs.jsonl").add(entry.key, 3, {"accuracy": 0.5, "seconds": 1.0})
    kept = accuracy.Kept(tmp_path / "runs.jsonl")
    elsewhere = accuracy.Entry(goal.name, goal.striate(Path("elsewhere.npz")), goal.target)
    assert (elsewhere.key, 3) in kept
    assert (elsewhere.key, 2) not in kept
    assert kept.of(elsewhere, seeds=5) == [{"accuracy": 0.5, "seconds": 1.0}]
    changed = goal.__class__(**{**vars(goal), "epochs": goal.epochs + 1})
    other = accuracy.Entry(changed.name, changed.striate(Path("anywhere.npz")), changed.target)
    assert (other.key, 3) not in kept


def test_goals_name_nets_that_fit_their_images(module):
    accuracy, striate = module("time_to_accuracy"), importlib.import_module("striate")
    for goal in accuracy.GOALS:
        shape = (32, 32, 3) if goal.data.startswith("cifar") else (28, 28, 1)
        net = striate.load_net(goal.net or accuracy.whitened(goal.widths))
        assert net.summary(shape).layers[-1].output == (1, 1, 10)
