"""Steps by PyTorch's compiler: the same training, and errors that say what to do."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from striate.data import TEST, TRAIN
from striate.errors import RecipeError, UsageError
from striate.jobs.bench import bench
from striate.nets import load_net, parse_net
from striate.nets.fused import use_fused
from striate.training import compiling
from striate.training.compiling import compile_steps
from striate.training.loop import fit

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's, of itself
COMPILER = os.environ.get("CXX", "g++")
compiles = pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"there is no {COMPILER}")

NETS = [
    "conv3-8 bn relu maxpool2 dropout0.5 conv3-8/2g2 silu avgpool2 lrn fc-10",
    "local3-8 ln leaky l2pool2 (conv1-8 | skip) maxpool2 unpool2 tconv3-8/2 nails2 gap fc-10",
    "whiten2 gelu conv3-15b0 maxpool2 bnw0 gelu (conv1-8/2 + conv3-8/2) gap fc-10 scale1/8",
    "conv3-8d2 tanh conv1-6/2c sigmoid nearest2 tconv1-4/2c identity code gap fc-12 reshape2x3x2 "
    "conv1-4 fc-10 softmax",
]


def forget_programs(monkeypatch, cache):
    """Have all compiled anew."""
    monkeypatch.setattr(compiling, "_compiled_for", [])
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))


def weights_of(state):
    return {name: tensor.clone() for name, tensor in state.module.state_dict().items()}


@compiles
def test_a_compiled_training_is_the_same_to_rounding_and_repeats(
    prepared, folder, heard, monkeypatch, tmp_path
):
    ends = []
    for kernels in ("off", "compiled", "compiled"):
        forget_programs(monkeypatch, tmp_path / str(len(ends)))
        task, state = prepared(kernels=kernels, epochs=2, stop__evaluate_every=1)
        assert fit(task, state, folder, heard) == "finished"
        ends.append(weights_of(state))
    plain, compiled, again = ends
    assert plain.keys() == compiled.keys()
    for name, tensor in plain.items():
        assert torch.allclose(tensor, compiled[name], rtol=1e-3, atol=1e-4)
        assert torch.equal(compiled[name], again[name])


@pytest.mark.parametrize("net", [*NETS, "resnet20", "densenet40", "googlenet"])
def test_every_net_is_one_program(net):
    """Nothing in it that the compiler would have to leave out; no code is made of it here."""
    module = load_net(net).adapted_to((32, 32, 3)).build((32, 32, 3))
    use_fused(module, False)
    images = torch.randn(4, 3, 32, 32)
    torch.compiler.reset()
    program = torch.compile(module, fullgraph=True, dynamic=False, backend="eager")
    outputs = []
    for forward in (module, program):
        torch.manual_seed(0)
        outputs.append(forward(images))
    assert torch.equal(*outputs)


@compiles
def test_more_nets_than_the_compiler_keeps_programs_of():
    with torch._dynamo.config.patch(recompile_limit=1):
        for width in (2, 3, 4):
            module = parse_net(f"input 4x4x1 conv1-{width} fc-2").build()
            use_fused(module, False)
            compile_steps(module, width)
            assert module(torch.zeros(2, 1, 4, 4)).shape == (2, 2)


@compiles
def test_more_images_than_before_in_the_only_batch(prepared, split_data, folder, heard):
    train = np.flatnonzero(split_data.splits == TRAIN)
    with torch._dynamo.config.patch(recompile_limit=1):
        for fewer in (1, 2, 3):
            splits = split_data.splits.copy()
            splits[train[:fewer]] = TEST
            task, state = prepared(
                kernels="compiled",
                data=replace(split_data, splits=splits),
                batch_size=len(train),
                epochs=1,
            )
            assert fit(task, state, folder, heard) == "finished"


@compiles
def test_where_the_compiler_gives_up_one_line_says_so(prepared, folder, heard):
    task, state = prepared(kernels="compiled", net="conv3-4 relu maxpool2 fc-3")
    state.module(torch.zeros(3, *task.batches.images.shape[3:], *task.batches.images.shape[1:3]))
    with (
        torch._dynamo.config.patch(recompile_limit=1),
        pytest.raises(UsageError, match="PyTorch's compiler failed: Hard failure"),
    ):
        fit(task, state, folder, heard)


@compiles
def test_trainings_that_differ_by_their_seed_share_programs(prepared, folder, heard):
    compiled = []
    for seed, batch in ((0, 16), (1, 16), (1, 8)):
        task, state = prepared(kernels="compiled", seed=seed, batch_size=batch)
        fit(task, state, folder, heard)
        compiled.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert compiled[0] == compiled[1] < compiled[2]


def test_without_a_compiler_one_line_says_so(prepared, folder, heard, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    task, state = prepared(kernels="compiled", net="conv3-5 tanh fc-3")
    absent = {"cpp.cxx": (str(tmp_path / "no-compiler"),), "force_disable_caches": True}
    with (
        torch._inductor.config.patch(absent),
        pytest.raises(UsageError, match="kernels: PyTorch's compiler failed: .*kernels=on needs"),
    ):
        fit(task, state, folder, heard)


def test_activations_cannot_be_penalised(prepared):
    with pytest.raises(RecipeError, match="activation_l1 has no effect on a compiled net"):
        prepared(kernels="compiled", regularize__activation_l1=0.1)


def test_a_compiled_step_has_no_phases():
    with pytest.raises(UsageError, match="kernels: a compiled step has no phases"):
        bench("lenet5", kernels="compiled")
