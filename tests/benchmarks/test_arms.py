"""Arms answer in turn, a missing library leaves one out, and finished runs are not repeated."""

import argparse
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


def test_finished_runs_are_read_back_on_the_machine_they_are_of(module, tmp_path):
    accuracy = module("time_to_accuracy")
    goal = accuracy.GOALS[0]
    entry = accuracy.Entry(goal.name, goal.striate(Path("anywhere.npz")), goal.target)
    runs = tmp_path / "runs.jsonl"
    accuracy.Kept(runs, "here").add(entry.key, 3, {"accuracy": 0.5, "seconds": 1.0})
    kept = accuracy.Kept(runs, "here")
    elsewhere = accuracy.Entry(goal.name, goal.striate(Path("elsewhere.npz")), goal.target)
    assert (elsewhere.key, 3) in kept
    assert (elsewhere.key, 2) not in kept
    assert kept.of(elsewhere, seeds=5) == [{"accuracy": 0.5, "seconds": 1.0}]
    assert (elsewhere.key, 3) not in accuracy.Kept(runs, "another machine")


def test_an_arm_sees_a_gpu_if_it_is_to(module, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    arms = module("arms")
    answers = "import os; from serving import serve; serve(lambda: dict(os.environ))"
    path = str(script(tmp_path, answers))
    started = [arms.Arm(str(sees), path, sees_gpu=sees) for sees in (True, False)]
    with arms.running(started) as running:
        seen = [arm.measure()["CUDA_VISIBLE_DEVICES"] for arm in running]
    assert seen == ["1", "-1"]


def test_on_a_gpu_both_run_through_the_compiler_too_and_nothing_else_runs(module):
    accuracy = module("time_to_accuracy")
    options = argparse.Namespace(device="cuda", quick=False, peer_seeds=2, only=[], peers="")
    assert not accuracy.entries("mnist", Path("x.npz"), options)
    found = accuracy.entries("cifar10", Path("x.npz"), options)
    names = ["Striate", "Striate, compiled"]
    names += ["PyTorch, same recipe", "PyTorch, same recipe, compiled"]
    assert [entry.arm.name for entry in found] == names
    assert [entry.most > 2 for entry in found] == [True, True, False, False]
    for entry in found:
        words = " ".join(map(str, entry.arm.arguments))
        assert "--device cuda" in words
        assert entry.arm.sees_gpu
        compiled = '"kernels": "compiled"' in words or "--compile" in words
        assert compiled == ("compiled" in entry.arm.name)
    options.device = "cpu"
    for entry in accuracy.entries("cifar10", Path("x.npz"), options):
        assert "compiled" not in entry.arm.name
        assert not entry.arm.sees_gpu


def test_times_are_set_against_those_of_others_alone(module):
    accuracy = module("time_to_accuracy")
    names = ("Striate", "Striate, compiled", "PyTorch, same recipe")
    rows = [
        (accuracy.Entry("a-94", accuracy.Arm(name, "x.py")), [{"seconds": seconds}])
        for name, seconds in zip(names, (2.0, 1.0, 4.0), strict=True)
    ]
    assert accuracy.ratios(rows) == [
        "- a-94, Striate: 0.50 of the time of PyTorch, same recipe (a-94)",
        "- a-94, Striate, compiled: 0.25 of the time of PyTorch, same recipe (a-94)",
    ]
