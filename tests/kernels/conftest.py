"""Every kind of processor whose operators run here."""

import pytest

from striate.kernels import load_library

PROCESSORS = ("avx512_bf16", "avx512", "avx2", "scalar")


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
