"""Any net: its text is stable, and what is predicted of it is what PyTorch builds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from striate.errors import NetError
from striate.nets import NetModule, parse_net
from striate.nets.graph import Convolution, Pool, TransposedConvolution, Volume, Whiten, steps
from striate.nets.printing import print_layer
from striate.nets.shapes import output_of
from striate.nets.windows import MisfitError
from striate.nets.words import canonical_word, parse_word

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 1), st.integers(0, 1))
windows = {
    "kernel": pairs,
    "channels": st.sampled_from([2, 4]),
    "stride": pairs,
    "padding": paddings,
    "groups": st.sampled_from([1, 2]),
    "dilation": st.tuples(st.integers(1, 2), st.integers(1, 2)),
    "bias": st.sampled_from([None, False, True]),
    "ceil": st.booleans(),
}
convolutions = st.builds(Convolution, **windows, shared=st.booleans())
transposed = st.builds(TransposedConvolution, **windows)
pools = st.builds(
    Pool, st.sampled_from(["max", "avg", "l2"]), pairs, pairs, paddings, st.booleans()
)
PLAIN_WORDS = """
relu tanh sigmoid gelu silu leaky identity softmax bn bnw0m0.4e1e-12 ln lrn dropout0.5 code
scale1/256 nearest2 nails2x1 gap whiten1 maxpool2
"""
plain = st.sampled_from(PLAIN_WORDS.split()).map(parse_word)
layers = st.one_of(convolutions, transposed, pools, plain, st.builds(Whiten, pairs))


def fits(word: str, volume: Volume) -> Volume | None:
    try:
        after = output_of(parse_word(word), volume)
    except MisfitError:
        return None
    return after if after.size <= 4_000 else None


@st.composite
def chains(draw, volume: Volume, depth: int = 2) -> tuple[str, Volume]:
    """A text that fits a volume, and the volume after it."""
    words: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.integers(0, 8)) if depth else 0
        if kind == 1:
            text, volume = draw(joins(volume, depth - 1))
        elif kind == 2:
            text, volume = draw(repeats(volume))
        elif kind == 3:
            text = draw(pools_undone(volume))
        elif kind == 4:
            text, volume = draw(reshapes(volume))
        else:
            text = print_layer(draw(layers))
            after = fits(text, volume)
            if after is None:
                continue
            volume = after
        words.append(text)
    return " ".join(words) or "relu", volume


@st.composite
def joins(draw, volume: Volume, depth: int) -> tuple[str, Volume]:
    """A drawn branch, joined with the identity or with itself and one convolution more."""
    inner, after = draw(chains(volume, depth))
    if draw(st.booleans()) and after == volume:
        return f"({inner} + skip)", after
    channels = draw(st.sampled_from([2, 4]))
    tail = f"{inner} conv1-{channels}"
    total = Volume(after.height, after.width, after.channels + channels)
    return f"({inner} | {tail})", total


@st.composite
def repeats(draw, volume: Volume) -> tuple[str, Volume]:
    count = draw(st.integers(1, 3))
    channels = volume.channels
    body = draw(st.sampled_from([f"conv3-{channels} relu", "tanh", f"conv3-{channels} bn"]))
    return f"[{body}]*{count}", volume


@st.composite
def pools_undone(draw, volume: Volume) -> str:
    """A maxpool and its unpool, with what keeps the volume between them, perhaps another pair."""
    pool = draw(pools.filter(lambda layer: layer.kind == "max"))
    after = fits(print_layer(pool), volume)
    if after is None:
        return "relu"
    between = draw(st.sampled_from(["", "tanh ", f"conv3-{volume.channels} ", "(skip + relu) "]))
    if draw(st.booleans()):
        between += draw(pools_undone(after)) + " "
    down, across = pool.kernel
    return f"{print_layer(pool)} {between}unpool{down}x{across}"


@st.composite
def reshapes(draw, volume: Volume) -> tuple[str, Volume]:
    """The same values as another volume."""
    height = draw(st.sampled_from([d for d in range(1, 9) if volume.size % d == 0]))
    rest = volume.size // height
    width = draw(st.sampled_from([d for d in range(1, 9) if rest % d == 0]))
    after = Volume(height, width, rest // width)
    return f"reshape{after}", after


@st.composite
def nets(draw) -> tuple[str, tuple[int, int, int]]:
    size = (draw(st.integers(3, 8)), draw(st.integers(3, 8)), draw(st.sampled_from([2, 4])))
    text, _ = draw(chains(Volume(*size)))
    head = draw(st.sampled_from(["", " fc-3", " fc-3b0 relu fc-2 scale1/2"]))
    return text + head, size


@given(nets())
@settings(deadline=None, max_examples=100)
def test_a_net_prints_and_parses_back_to_itself(net: tuple[str, tuple[int, int, int]]) -> None:
    text, _ = net
    parsed = parse_net(text)
    again = parse_net(parsed.text)
    assert again.text == parsed.text
    assert again.graph == parsed.graph


@given(nets())
@settings(deadline=None, max_examples=100)
def test_what_is_predicted_is_what_is_built(net: tuple[str, tuple[int, int, int]]) -> None:
    text, size = net
    summary = parse_net(text).summary(size)
    module = parse_net(text).build(size).eval()
    x = torch.rand(2, size[2], size[0], size[1])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        stages = module.stages(x)
    rows = {row.name: row for row in summary.layers}
    assert list(rows) == list(stages)
    for name, value in stages.items():
        height, width, channels = rows[name].output
        assert value.shape[1:] in ((channels, height, width), (channels,))
    assert summary.parameters == sum(p.numel() for p in module.parameters())
    assert summary.multiply_adds * 2 * 2 == counter.get_total_flops()


@given(nets())
@settings(deadline=None, max_examples=25)
def test_any_net_has_gradients_that_are_numbers(net: tuple[str, tuple[int, int, int]]) -> None:
    text, size = net
    module = parse_net(text).build(size)
    rows = parse_net(text).summary(size).layers
    x = torch.rand(4, size[2], size[0], size[1])
    # Batch normalisation cannot normalise one value: there it only runs as after training.
    single = any(row.text.startswith("bn") and row.output[:2] == (1, 1) for row in rows)
    output = module.train(not single)(x)
    if not output.requires_grad:
        return
    output.square().mean().backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@given(st.text(alphabet="conv3-64 relu[]()*|+=,x/pgdb0cfn#\n", max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_is_a_net_or_a_net_error(text: str) -> None:
    try:
        net = parse_net(text)
    except NetError:
        return
    assert parse_net(net.text).graph == net.graph


PIECES = (
    *["relu", "conv3-4", "bn", "[", "]", "]*2", "(", ")", "|", "+", "skip", "u(2)", "v", "="],
    "\n",
)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
@settings(deadline=None, max_examples=300)
def test_any_row_of_words_is_a_net_or_a_net_error(words: list[str]) -> None:
    text = "u(n) = conv3-n\nv = tanh\n" + " ".join(words)
    try:
        net = parse_net(text)
    except NetError:
        return
    assert parse_net(net.text).graph == net.graph


@given(layers)
@settings(deadline=None)
def test_layers_print_and_parse_back(layer: object) -> None:
    assert parse_word(print_layer(layer)) == layer


@given(layers, layers, st.integers(1, 3), st.integers(1, 3))
@settings(deadline=None)
def test_a_definition_is_what_it_stands_for(
    first: object, second: object, number: int, count: int
) -> None:
    one, two = print_layer(first), print_layer(second)
    net = parse_net(
        f"inner(n, s) = {one} [{two} conv3-n/sxn]*s maxpool3xs/s\n"
        f"outer(m) = tanh inner(m, {count}) inner({count}, m) fc-m\n"
        f"outer({number}) code"
    )

    def written_out(n: int, s: int) -> str:
        return f"{one} [{two} conv3-{n}/{s}x{n}]*{s} maxpool3x{s}/{s} "

    inner = written_out(number, count) + written_out(count, number)
    assert net.graph == parse_net(f"tanh {inner} fc-{number} code").graph
    assert parse_net(net.text).graph == net.graph


@given(st.floats(1e-9, 0.99), st.floats(1e-12, 0.5))
@settings(deadline=None)
def test_any_number_has_one_spelling(momentum: float, epsilon: float) -> None:
    once = canonical_word(f"bnm{max(momentum, 1e-6):.8f}e{epsilon:.3g}")
    assert canonical_word(once) == once


@pytest.mark.parametrize("text", ["conv3-4 bn fc-2", "whiten2 gelu maxpool2 fc-3"])
def test_modules_are_modules_and_steps_are_leaves(text: str) -> None:
    module = parse_net(text).build((6, 6, 2))
    assert isinstance(module, NetModule)
    assert [name for name, _ in module.layers.named_children()] == [
        step.name for step in steps(parse_net(text).graph)
    ]
