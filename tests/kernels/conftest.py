"""Every kind of processor whose operators run here."""

import pytest
import torch

from striate.kernels import load_library

BEST = load_library().striate_processor() if load_library() else b""
PROCESSORS = ("amx", "avx512_bf16", "avx512", "avx2", "scalar")


@pytest.fixture(params=PROCESSORS, scope="module")
def processor(request):
    library = load_library()
    if library is None:
        pytest.skip("the operators are not compiled")
    best = library.striate_processor()
    if not library.striate_use_processor(request.param.encode()):
        pytest.skip(f"this processor has no {request.param}")
    assert library.striate_processor() == request.param.encode()
    yield request.param
    library.striate_use_processor(best)


@pytest.fixture
def check_threads():
    """A check that a function's tensors have the same bits with any number of threads."""
    threads = torch.get_num_threads()

    def check(make):
        results = []
        for count in (1, 2, 3, 4, 7):
            torch.set_num_threads(count)
            results.append(list(make()))
        for others in results[1:]:
            assert all(map(torch.equal, results[0], others))

    yield check
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def own_processor(request):
    """Tests that do not ask for each kind of processor have the operators of this one."""
    library = load_library()
    if library is not None and "processor" not in request.fixturenames:
        library.striate_use_processor(BEST)
