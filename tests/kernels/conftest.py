"""Every kind of processor whose operators run here."""

import pytest

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


@pytest.fixture(autouse=True)
def own_processor(request):
    """Tests that do not ask for each kind of processor have the operators of this one."""
    library = load_library()
    if library is not None and "processor" not in request.fixturenames:
        library.striate_use_processor(BEST)
