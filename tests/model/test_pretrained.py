"""Weights with the names of torchvision, timm, older files and Striate, loaded by structure."""

import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.model import torchvision_like as published

from striate.data import Preprocessing
from striate.errors import ModelError
from striate.model import Model
from striate.model.pretrained import open_pretrained
from striate.nets import load_net, parse_net

CLASSES = [f"class {number}" for number in range(1000)]
NARROW = 16  # stands for the 4096 hidden units of AlexNet and VGG, whose file has half a gigabyte


def net_of(name, size=224, classes=1000):
    net = parse_net(load_net(name).text.replace("fc-4096", f"fc-{NARROW}"))
    return net.with_input((size, size, 3)).with_classes(classes)


def save(module, path, rename=str, dtype=None):
    tensors = {rename(name): tensor.clone() for name, tensor in module.state_dict().items()}
    if dtype is not None:
        tensors = {n: t.to(dtype) if t.is_floating_point() else t for n, t in tensors.items()}
    save_file(tensors, path)
    return str(path)


def loaded(path, net):
    """The net with the file's weights, and with its head, which `read` leaves out as new."""
    fitted = open_pretrained(path).fit(net, CLASSES)
    module = net.build().eval()
    outcome = module.load_state_dict(fitted.read(), strict=False)
    assert not outcome.unexpected_keys
    wanted, there = fitted.pairs[-1]
    head = {f"{wanted.prefix}.{part}" for part in there.tensors}
    assert set(outcome.missing_keys) == head
    weights = load_file(path)
    module.load_state_dict(
        {f"{wanted.prefix}.{p}": weights[there.tensor_name(p)] for p in there.tensors}, strict=False
    )
    return module


@torch.no_grad()
def assert_alike(first, second, size):
    images = torch.randn(1, 3, size, size)
    torch.testing.assert_close(first(images), second(images), rtol=1e-4, atol=1e-5)


RESNETS = {
    "resnet18": (published.BasicBlock, (2, 2, 2, 2)),
    "resnet34": (published.BasicBlock, (3, 4, 6, 3)),
    "resnet50": (published.Bottleneck, (3, 4, 6, 3)),
    "resnet101": (published.Bottleneck, (3, 4, 23, 3)),
    "resnet152": (published.Bottleneck, (3, 8, 36, 3)),
}
DENSENETS = {
    "densenet121": ((6, 12, 24, 16), 32, 64),
    "densenet161": ((6, 12, 36, 24), 48, 96),
    "densenet169": ((6, 12, 32, 32), 32, 64),
    "densenet201": ((6, 12, 48, 32), 32, 64),
}


def source_of(name):
    """The published net of a name in the zoo."""
    if name in RESNETS:
        return published.ResNet(*RESNETS[name])
    if name in DENSENETS:
        counts, growth, width = DENSENETS[name]
        return published.DenseNet(counts, growth=growth, width=width)
    if name == "alexnet-torchvision":
        return published.AlexNet(hidden=NARROW)
    if name == "googlenet-torchvision":
        return published.GoogLeNet()
    depth, *norm = re.fullmatch(r"vgg(\d+)(-bn)?(-timm)?", name).groups()
    kind = published.TimmVGG if norm[1] else published.VGG
    return kind(int(depth), batch_norm=norm[0] is not None, hidden=NARROW)


NAMES = [
    *RESNETS,
    *DENSENETS,
    *("vgg11", "vgg13-bn", "vgg16", "vgg19-bn"),
    "vgg16-timm",
    "vgg16-bn-timm",
    "alexnet-torchvision",
    "googlenet-torchvision",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_published_checkpoint_gives_the_published_outputs(name, tmp_path):
    torch.manual_seed(0)
    source = published.randomised(source_of(name))
    path = save(source, tmp_path / "weights.safetensors")
    module = loaded(path, net_of(name.removesuffix("-timm"), size=64))
    assert_alike(module, source, 64)


@pytest.mark.parametrize(
    ("name", "size"),
    [  # timm slides its first fully connected layer over a larger map than that of 224
        *(("vgg11-timm", 64), ("vgg11-timm", 224)),
        *((name, size) for name in ("vgg11-bn", "alexnet-torchvision") for size in (64, 224, 288)),
    ],
)
def test_fully_connected_weights_fit_a_map_of_any_size(name, size, tmp_path):
    torch.manual_seed(0)
    source = published.randomised(source_of(name))
    net = net_of(name.removesuffix("-timm"), size=size)
    path = save(source, tmp_path / "weights.safetensors")
    fitted = open_pretrained(path).fit(net, CLASSES)
    assert [word for _, word in fitted.converted()] == ([] if size == 224 else ["pool"])
    assert_alike(loaded(path, net), source, size)


def test_the_names_of_old_densenets(tmp_path):
    source = published.randomised(source_of("densenet121"))
    path = save(
        source,
        tmp_path / "old.safetensors",
        lambda name: re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name),
    )
    net = net_of("densenet121", size=64)
    fitted = open_pretrained(path).fit(net, CLASSES)
    assert fitted.pairs[2][1].name == "features.denseblock1.denselayer1.norm.1"
    assert_alike(loaded(path, net), source, 64)


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"module.{name}",
        lambda name: f"model.backbone.{name}",
        lambda name: name.replace("downsample", "shortcut"),
        lambda name: name.replace("bn", "norm"),
        lambda name: re.sub(r"layer(\d)\.(\d+)", r"encoder.stages.\1.layers.\2", name),
    ],
    ids=["module", "backbone", "shortcut", "norm", "transformers"],
)
def test_other_names_of_the_same_structure(rename, tmp_path):
    source = published.randomised(source_of("resnet50"))
    path = save(source, tmp_path / "weights.safetensors", rename)
    assert_alike(loaded(path, net_of("resnet50", size=64)), source, 64)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_widths_become_fp32(dtype, tmp_path):
    source = published.randomised(source_of("resnet18"))
    net = net_of("resnet18", size=64)
    path = save(source, tmp_path / "weights.safetensors", dtype=dtype)
    weights = open_pretrained(path).fit(net, CLASSES).read()
    assert {t.dtype for name, t in weights.items() if "num_batches" not in name} == {torch.float32}
    expected = source.conv1.weight.to(dtype).float()
    assert torch.equal(weights["layers.conv1.weight"], expected)


def test_a_file_without_a_head_and_without_counters(tmp_path):
    source = published.randomised(source_of("resnet18"))
    tensors = {
        name: tensor
        for name, tensor in source.state_dict().items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }
    save_file(tensors, tmp_path / "body.safetensors")
    net = net_of("resnet18", size=64, classes=5)
    fitted = open_pretrained(str(tmp_path / "body.safetensors")).fit(net, CLASSES[:5])
    assert fitted.old_classes == 0
    assert len(fitted.read()) == len(tensors)


def test_the_head_is_new_where_the_number_of_classes_differs(tmp_path):
    source = source_of("resnet18")
    net = net_of("resnet18", size=64, classes=7)
    path = save(source, tmp_path / "weights.safetensors")
    fitted = open_pretrained(path).fit(net, CLASSES[:7])
    assert (fitted.old_classes, fitted.head_rows) == (1000, None)
    assert "layers.fc1.weight" not in fitted.read()


def test_grey_images_see_the_sum_over_the_colours(tmp_path):
    source = published.randomised(source_of("resnet18"))
    net = load_net("resnet18").with_input((64, 64, 1)).with_classes(1000)
    path = save(source, tmp_path / "weights.safetensors")
    fitted = open_pretrained(path).fit(net, CLASSES)
    assert [(layer.name, word) for layer, word in fitted.converted()] == [("conv1", "grey")]
    grey = torch.randn(2, 1, 64, 64)
    module = loaded(path, net)
    with torch.no_grad():
        torch.testing.assert_close(
            module(grey), source(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
        )


# Striate's own files

PREPROCESSING = Preprocessing(size=(32, 32), channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
RESIDUAL = """input 32x32x3
unit(n) = (conv3-n bn relu conv3-n bn + skip) relu
conv3-8 bn relu [unit(8)]*2 maxpool2 bnw0 gap fc-3"""


def own_model(path, text=RESIDUAL, classes=("ash", "beech", "oak")):
    net = parse_net(text)
    model = Model(net, published.randomised(net.build()), classes, PREPROCESSING)
    model.save(path)
    return model


def test_a_model_of_striate_is_loaded_with_its_preprocessing(tmp_path):
    model = own_model(tmp_path / "model.safetensors")
    pretrained = open_pretrained(str(tmp_path))  # a run folder
    assert pretrained.settings.mean == PREPROCESSING.mean
    assert pretrained.settings.size == (32, 32)
    assert pretrained.likely_net()[1] == model.net
    weights = pretrained.fit(model.net, model.classes).read()
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(weights[name], tensor), name


def test_a_net_written_otherwise_takes_the_weights_by_structure(tmp_path):
    model = own_model(tmp_path / "model.safetensors")
    same = parse_net(
        "input 32x32x3\nconv3-8 bn relu (skip + conv3-8 bn relu conv3-8 bn) relu "
        "(conv3-8 bn relu conv3-8 bn + skip) relu maxpool2 bnw0 gap dropout0.1 fc-3"
    )
    module = same.build().eval()
    module.load_state_dict(
        open_pretrained(str(tmp_path)).fit(same, model.classes).read(), strict=False
    )
    assert_alike(module, model.module, 32)


def test_the_rows_of_a_kept_head_follow_the_names_of_the_classes(tmp_path):
    model = own_model(tmp_path / "model.safetensors")
    fitted = open_pretrained(str(tmp_path)).fit(model.net, ("oak", "ash", "beech"))
    assert fitted.head_rows == (2, 0, 1)
    own = model.module.state_dict()["layers.fc1.weight"]
    assert torch.equal(fitted.read()["layers.fc1.weight"], own[[2, 0, 1]])


@pytest.mark.parametrize(
    ("old", "new"), [(("ash", "beech", "oak"), ("ash", "beech", "elm")), ("012", ("0", "1", "2"))]
)
def test_a_head_of_other_or_nameless_classes_is_new(old, new, tmp_path):
    model = own_model(tmp_path / "model.safetensors", classes=tuple(old))
    assert open_pretrained(str(tmp_path)).fit(model.net, new).head_rows is None


def test_a_damaged_model_of_striate_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    own_model(path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged: the SHA-256 of its tensors differs"):
        open_pretrained(str(path))


# what does not fit


def resnet_with(tmp_path, **changes):
    """A ResNet-18 file with some tensors changed; None takes one out."""
    tensors = {name: t.clone() for name, t in source_of("resnet18").state_dict().items()}
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    save_file(tensors, tmp_path / "weights.safetensors")
    return str(tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("net", "message", "hint"),
    [
        (
            "resnet34",
            "'layer2.0.conv1.weight' is [128, 64, 3, 3] (a convolution), and the net's layer 11 "
            "with weights, conv6 (conv3-64, line 2, column 12 in unit(64)), takes [64, 64, 3, 3] "
            "(a convolution)",
            "the weights are those of resnet18",
        ),
        (
            "resnet50",
            "'layer1.0.conv1.weight' is [64, 64, 3, 3] (a convolution), and the net's layer 3 "
            "with weights, conv2 (conv1-64, line 3, column 18 in down(64, 256, 1)), takes "
            "[64, 64, 1, 1] (a convolution)",
            "the weights are those of resnet18",
        ),
        (
            "vgg11",
            "'conv1.weight' is [64, 3, 7, 7] (a convolution), and the net's layer 1 with weights, "
            "conv1 (conv3-64, line 1, column 17), takes [64, 3, 3, 3] (a convolution)",
            "the weights are those of resnet18",
        ),
        (
            "conv7-64/2 bn relu maxpool3/2p1 gap fc-9",
            "'layer1.0.conv1.weight' is [64, 64, 3, 3] (a convolution), and the net's layer 3 "
            "with weights, fc1 (fc-1000, line 1, column 53), takes [1000, 64] (fully connected)",
            "the weights are those of resnet18",
        ),
        (
            "conv7-64/2 relu maxpool3/2p1 gap fc-9",
            "has no tensor 'conv1.bias', and the net's layer 1 with weights, "
            "conv1 (conv7-64/2, line 1, column 17), takes one of [64]",
            "the weights are those of resnet18",
        ),
    ],
)
def test_the_first_mismatch_is_named(net, message, hint, tmp_path):
    path = resnet_with(tmp_path)
    wanted = load_net(net).with_input((224, 224, 3)).with_classes(1000)
    with pytest.raises(ModelError) as caught:
        open_pretrained(path).fit(wanted, CLASSES)
    assert (caught.value.message, caught.value.hint) == (message, hint)
    assert caught.value.status == 4
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"layer4.1.conv2.weight": torch.zeros(512, 512, 1, 1)},
            r"'layer4.1.conv2.weight' is \[512, 512, 1, 1\] \(a convolution\), and the net's layer "
            r"39 with weights, conv20 .* takes \[512, 512, 3, 3\]",
        ),
        ({"layer3.1.bn2.bias": None}, r"has no tensor 'layer3.1.bn2.bias', and .* of \[256\]"),
        (
            {"conv1.bias": torch.zeros(64)},
            r"has 'conv1.bias' \[64\], and .* conv1 .* takes no bias",
        ),
        (
            {"extra.weight": torch.zeros(9, 1000), "extra.bias": torch.zeros(9)},
            r"has more layers than the net: 'extra.weight' \[9, 1000\] follows on .* fc1",
        ),
        (
            {"fc.weight": torch.zeros(10, 99), "fc.bias": torch.zeros(10)},
            r"'fc.weight' is \[10, 99\] \(fully connected\), and .* takes \[1000, 512\]",
        ),
        ({"scale": torch.zeros(3)}, r"has more layers than the net: 'scale' \[3\] follows on"),
        (
            {"bn1.running_var": torch.full((64,), float("nan"))},
            "tensor 'bn1.running_var' holds NaN or infinity",
        ),
        (
            {"fc.weight": torch.zeros(1000, 512, dtype=torch.int8)},
            "tensor 'fc.weight' is I8: quantised weights cannot be trained",
        ),
    ],
)
def test_a_wrong_or_incomplete_file_is_one_clear_line(changes, message, tmp_path):
    path = resnet_with(tmp_path, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        open_pretrained(path).fit(net_of("resnet18"), CLASSES).read()
    assert "\n" not in str(caught.value)


def test_a_file_that_ends_too_early(tmp_path):
    source = source_of("resnet18").state_dict()
    body = {name: t for name, t in source.items() if not name.startswith(("layer4", "fc"))}
    save_file(body, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match=r"ends after 30 layers, and the net has 41; the first .*"):
        open_pretrained(str(tmp_path / "weights.safetensors")).fit(net_of("resnet18"), CLASSES)


def test_a_file_that_changes_between_two_looks(tmp_path):
    path = resnet_with(tmp_path)
    fitted = open_pretrained(path).fit(net_of("resnet18"), CLASSES)
    resnet_with(tmp_path, **{"bn1.bias": torch.ones(64)})
    with pytest.raises(ModelError, match="has changed while it was read"):
        fitted.read()


def test_an_own_file_for_another_net_names_its_own(tmp_path):
    own_model(tmp_path / "model.safetensors")
    with pytest.raises(ModelError) as caught:
        open_pretrained(str(tmp_path)).fit(net_of("resnet18"), CLASSES)
    assert caught.value.hint.startswith(
        "the weights are those of input 32x32x3 unit(n) = (conv3-n bn"
    )


def test_an_own_file_with_a_layer_too_many_or_of_another_width(tmp_path):
    own_model(tmp_path / "model.safetensors")
    pretrained = open_pretrained(str(tmp_path))
    shorter = parse_net(RESIDUAL.replace("gap fc-3", "gap fc-3").replace("]*2", "]*1"))
    with pytest.raises(ModelError, match=r"layers\.add2.* and the net's layer|has more layers"):
        pretrained.fit(shorter, ("ash", "beech", "oak"))
    wider = parse_net(RESIDUAL.replace("conv3-8 bn relu [", "conv5-8 bn relu ["))
    with pytest.raises(ModelError, match=r"'layers.conv1.weight' is \[8, 3, 3, 3\]"):
        pretrained.fit(wider, ("ash", "beech", "oak"))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet-torchvision"])
def test_the_net_is_known_by_its_weights(name, tmp_path):
    path = save(source_of(name), tmp_path / "weights.safetensors")
    found, net = open_pretrained(path).likely_net()
    assert (found, net) == (name, load_net(name))


def test_a_net_of_no_zoo_is_not_known(tmp_path):
    save_file({"a.weight": torch.zeros(3, 5), "a.bias": torch.zeros(3)}, tmp_path / "x.safetensors")
    assert open_pretrained(str(tmp_path / "x.safetensors")).likely_net() is None
