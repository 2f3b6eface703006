"""Seeds, threads and deterministic algorithms are set, and given back."""

import pytest
import torch
from torch.utils import deterministic

from striate.training.repeating import limited_threads, repeatable, seed_draws

CPU = torch.device("cpu")


def test_the_number_of_threads_is_given_back():
    before = torch.get_num_threads()

    def fail():
        with limited_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_num_threads() == before


def test_draws_are_those_of_manual_seed():
    torch.manual_seed(2**63 - 5)
    right = torch.rand(5)
    seed_draws(2**63 - 5, CPU)
    assert torch.equal(torch.rand(5), right)


@pytest.fixture
def races():
    """Whether cuDNN may choose by a race, as a user may have asked for."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    yield
    torch.backends.cudnn.benchmark = before


def determinism():
    algorithms = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    return *algorithms, deterministic.fill_uninitialized_memory, torch.get_num_threads()


def test_what_repeats_takes_its_threads_and_on_a_gpu_deterministic_algorithms(races):
    before = determinism()
    assert before[:3] == (0, True, True)
    with repeatable(CPU, 1):
        assert determinism() == (*before[:3], 1)
    with repeatable(torch.device("cuda"), 1):
        assert determinism() == (1, False, False, 1)
    assert determinism() == before


def test_layers_without_a_deterministic_algorithm_are_not_warned_of():
    places, values = torch.tensor([0, 1]), torch.ones(2)
    with repeatable(torch.device("cuda"), 1):
        torch.zeros(3).put_(places, values)  # warnings are errors here
    torch.set_deterministic_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="does not have a deterministic"):
            torch.zeros(3).put_(places, values)
    finally:
        torch.set_deterministic_debug_mode("default")


def test_who_forbids_other_algorithms_is_heeded():
    torch.set_deterministic_debug_mode("error")
    try:
        with repeatable(torch.device("cuda"), 1):
            assert torch.get_deterministic_debug_mode() == 2
        assert torch.get_deterministic_debug_mode() == 2
    finally:
        torch.set_deterministic_debug_mode("default")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's, of itself
def test_the_compiler_is_left_as_it_was():
    with repeatable(torch.device("cuda"), 1):
        torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2))
    assert not torch._inductor.config.deterministic
