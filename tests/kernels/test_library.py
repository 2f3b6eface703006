"""Which operators there are, and how to do without."""

import pytest
import torch

from striate.data.augment import Augmentation
from striate.data.fused import can_fuse_batches
from striate.kernels import can_fuse, can_gather, can_resize, load_library, processor


@pytest.fixture
def switched_off(monkeypatch):
    monkeypatch.setenv("STRIATE_KERNELS", "off")
    load_library.cache_clear()
    yield
    load_library.cache_clear()


def test_the_environment_switches_all_operators_off(switched_off):
    assert load_library() is None
    assert processor() == "pytorch"
    assert not can_fuse(torch.zeros(1, 3, 4, 4))
    assert not can_gather(channels=3, plain=True)
    assert not can_resize(3)
    assert not can_fuse_batches(Augmentation(), channels=3, device=torch.device("cpu"))


def test_the_library_names_the_processor():
    if load_library() is None:
        pytest.skip("the operators are not compiled")
    best, library = processor(), load_library()
    for name in ("scalar", best):
        assert library.striate_use_processor(name.encode())
        assert processor() == name
    assert not library.striate_use_processor(b"abacus")
