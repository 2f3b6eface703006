"""The document of `show`, and its table in plain text."""

import json

from striate.nets import load_net, parse_net


def test_the_document() -> None:
    document = parse_net("input 4x4x3 conv3-2 relu fc-2").summary(batch=8).to_json(0.5)
    assert list(document) == [
        "net", "input", "layers", "parameters", "multiply_adds", "activation_bytes", "warnings",
        "training_step",
    ]  # fmt: skip
    assert document["net"] == "input 4x4x3 conv3-2 relu fc-2"
    assert document["input"] == [4, 4, 3]
    assert document["layers"][0] == {
        "name": "conv1",
        "text": "conv3-2",
        "output": [4, 4, 2],
        "parameters": 56,
        "multiply_adds": 864,
        "activation_bytes": 128,
        "receptive_field": [3, 3],
        "receptive_field_stride": [1, 1],
    }
    assert document["training_step"]["batch"] == 8
    assert document["training_step"]["seconds"] == 0.5
    assert json.loads(json.dumps(document)) == document


def test_totals_are_sums_of_the_rows() -> None:
    summary = load_net("resnet18").summary()
    for name in ("parameters", "multiply_adds", "activation_bytes"):
        assert getattr(summary, name) == sum(getattr(row, name) for row in summary.layers)


def test_rows_of_branches_are_nested_and_joined() -> None:
    rows = parse_net("(conv3-4 (relu | skip) | skip) relu").summary((4, 4, 2)).layers
    assert [(row.text, row.nesting) for row in rows] == [
        ("conv3-4", 1), ("relu", 2), ("concat", 1), ("concat", 0), ("relu", 0),
    ]  # fmt: skip


def test_the_table_in_plain_text() -> None:
    table = str(parse_net("(conv3-8 | skip) fc-10").summary((4, 4, 1)))
    assert (
        table
        == """\
layer      output  parameters  multiply-adds  sees
  conv3-8   4x4x8          80          1,152   3x3
concat      4x4x9           0              0   3x3
fc-10      1x1x10       1,450          1,440   6x6
total                   1,530          2,592"""
    )
