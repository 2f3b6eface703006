"""How the images of a checkpoint were prepared: from its config, its metadata, or the usual."""

import json

import pytest
import torch
from safetensors.torch import save_file

from striate.errors import ModelError
from striate.model.pretrained import open_pretrained
from striate.model.pretrained.settings import IMAGENET_MEAN, IMAGENET_STD

TENSORS = {"fc.weight": torch.zeros(3, 5), "fc.bias": torch.zeros(3)}
TIMM = {
    "architecture": "resnet18",
    "num_classes": 3,
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "input_size": [3, 160, 176],
        "fixed_input_size": False,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.15],
        "label_names": ["ash", "beech", "oak"],
        "first_conv": "conv1",
    },
}


@pytest.fixture
def opened(tmp_path):
    """Open a file with a config beside it, and metadata in it."""

    def call(config=None, metadata=None, tensors=TENSORS):
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            (tmp_path / "config.json").write_text(text)
        save_file(tensors, tmp_path / "model.safetensors", metadata=metadata)
        return open_pretrained(str(tmp_path / "model.safetensors")).settings

    return call


def test_timms_config_beside_the_file(opened):
    settings = opened(TIMM)
    assert settings.mean == (0.5, 0.4, 0.3)
    assert settings.std == (0.25, 0.2, 0.15)
    assert settings.size == (160, 176)
    assert settings.interpolation == "bicubic"
    assert settings.classes == ("ash", "beech", "oak")
    assert settings.origin == "config.json"


def test_timms_older_flat_config(opened):
    assert opened(TIMM["pretrained_cfg"]) == opened(TIMM)


def test_the_metadata_of_the_file(opened):
    settings = opened(metadata={"format": "pt", "mean": "[0.1, 0.1, 0.1]", "std": "[1, 1, 1]"})
    assert (settings.mean, settings.origin) == ((0.1, 0.1, 0.1), "the file's metadata")
    assert settings.size == (224, 224)


@pytest.mark.parametrize("config", [None, {"architectures": ["ResNetForImageClassification"]}])
def test_the_usual_where_nothing_is_said(config, opened):
    settings = opened(config, metadata={"format": "pt"})
    assert (settings.mean, settings.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert (settings.size, settings.interpolation) == ((224, 224), "bilinear")
    assert "ImageNet" in settings.origin


def test_googlenet_takes_pixels_from_minus_one_to_one(opened):
    tensors = {"inception3a.branch1.conv.weight": torch.zeros(1, 1, 1, 1), **TENSORS}
    settings = opened(tensors=tensors)
    assert (settings.mean, settings.std) == ((0.5,) * 3, (0.5,) * 3)
    assert "GoogLeNet" in settings.origin


def test_grey_images_get_the_mean_over_the_channels(opened):
    settings = opened(TIMM)
    assert settings.for_channels(1) == ((0.4,), (0.2,))
    assert settings.for_channels(3) == (settings.mean, settings.std)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "config.json: not valid JSON"),
        ("[1]", "config.json: a JSON object was expected"),
        ('{"mean": [NaN, 0, 0], "std": [1, 1, 1]}', "config.json: not valid JSON: NaN"),
        ({"mean": [0.5, 0.5], "std": [1, 1]}, "mean and std need one number for each of 1 or 3"),
        ({"mean": [0.5] * 3, "std": [1, 1, 0]}, "std.2: Input should be greater than 0"),
        ({"mean": "x", "std": [1, 1, 1]}, "mean: "),
        ({"mean": [0.5] * 3, "std": [1] * 3, "input_size": [3, 10**9, 5]}, "size.0: "),
        ({"mean": [0.5] * 3, "std": [1] * 3, "input_size": 7}, "size: "),
    ],
)
def test_a_wrong_config_is_one_clear_line(config, message, opened):
    with pytest.raises(ModelError, match=message) as caught:
        opened(config)
    assert "\n" not in str(caught.value)


def test_metadata_that_is_no_json_is_refused(opened):
    with pytest.raises(ModelError, match="not valid JSON"):
        opened(metadata={"mean": "[0.1, ", "std": "[1, 1, 1]"})


def test_a_huge_config_is_not_read(opened, tmp_path):
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(ModelError, match="at most 1,048,576 are read"):
        opened()
