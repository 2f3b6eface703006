"""What the machine has, and what is chosen for it."""

import pytest
import torch

from striate.errors import UsageError
from striate.kernels import processor
from striate.training import machine
from striate.training.machine import (
    WORTH_A_THREAD,
    choose_device,
    choose_precision,
    choose_threads,
    describe_machine,
    describe_versions,
    synchronize,
)
from striate.training.repeating import limited_threads

CPU = torch.device("cpu")


def test_a_device_by_name():
    assert choose_device("cpu") == CPU
    there = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type in (there, "mps")


def test_an_unknown_device_and_an_absent_one():
    with pytest.raises(UsageError, match="unknown device 'abacus'.*use auto, cpu, cuda"):
        choose_device("abacus")
    with pytest.raises(UsageError, match="has no device 'xpu'.*--device auto"):
        choose_device("xpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none():
    with pytest.raises(UsageError, match="has no device 'cuda:3'"):
        choose_device("cuda:3")


@pytest.mark.parametrize("wanted", ["fp32", "bf16"])
def test_a_precision_that_is_asked_for_is_taken(wanted):
    chosen, why = choose_precision(wanted, device=CPU, multiply_adds=10**9)
    assert chosen == wanted
    assert "as asked for" in why


def test_small_nets_stay_in_fp32():
    chosen, why = choose_precision("auto", device=CPU, multiply_adds=1000)
    assert (chosen, why) == ("fp32", "fp32: the net is too small to gain from bf16")


def test_on_a_processor_the_precision_is_measured():
    chosen, why = choose_precision("auto", device=CPU, multiply_adds=10**9)
    assert why.startswith(f"{chosen}: matrix products run ")


@pytest.mark.parametrize(
    ("bf16", "measured", "expected"),
    [
        ({128: 30.0, 768: 30.0}, [128], "fp32: matrix products run 0.033 times"),  # emulated
        ({128: 2.0, 768: 0.5}, [128, 768], "bf16: matrix products run 2 times"),  # by AMX tiles
        ({128: 0.5, 768: 1.0}, [128, 768], "fp32: matrix products run 1 times"),
    ],
)
def test_where_bf16_is_emulated_no_large_product_is_waited_for(
    bf16, measured, expected, monkeypatch
):
    sides = []

    def seconds(side, dtype):
        if dtype == torch.float32:
            sides.append(side)
            return 1.0
        return bf16[side]

    monkeypatch.setattr(machine, "_product_seconds", seconds)
    _, why = choose_precision("auto", device=CPU, multiply_adds=10**9)
    assert why.startswith(expected)
    assert sides == measured


def test_mps_stays_in_fp32():
    chosen, _ = choose_precision("auto", device=torch.device("mps"), multiply_adds=10**9)
    assert chosen == "fp32"


def test_threads_are_for_steps_that_are_worth_sharing():
    assert choose_threads(1_000_000) == 1
    assert choose_threads(10**10) == torch.get_num_threads()
    assert choose_threads(10**10, processes=1000) == 1
    with limited_threads(16):
        assert choose_threads(5 * WORTH_A_THREAD) == 5
        assert choose_threads(5 * WORTH_A_THREAD, processes=2) == 2


def test_what_is_written_down():
    versions = describe_versions()
    assert {"python", "striate", "torch", "numpy", "pillow"} <= set(versions)
    assert "unknown" not in versions.values()
    machine = describe_machine(CPU)
    assert set(machine) == {"processor", "kernels", "cores", "memory_gib", "system"}
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert machine["memory_gib"] >= 1
    assert machine["kernels"] == processor()
    synchronize(CPU)


def test_grey_images_train_in_fp32_unless_bf16_is_asked_for():
    options = {"device": CPU, "multiply_adds": 10**9, "colour": False}
    assert choose_precision("auto", **options)[0] == "fp32"
    assert choose_precision("bf16", **options)[0] == "bf16"
