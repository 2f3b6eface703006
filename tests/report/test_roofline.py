"""The roofline: a picture that stands alone, with every phase and layer in it."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from striate.errors import ResourceError, UsageError
from striate.report.performance import Bench, LayerPhase, Phase
from striate.training.ceilings import Ceilings


def made_up(layers=3, precision="bf16"):
    """A step of some layers, each ten times as large as the one before."""
    passes = [
        LayerPhase(f"conv{i}", "conv3-8", Phase(name, 0.1, 10 ** (8 + i), 10**7))
        for i in range(layers)
        for name in ("forward", "input gradient", "weight gradient")
    ]
    wholes = [
        Phase(name, 0.1 * layers, sum(10 ** (8 + i) for i in range(layers)), layers * 10**7)
        for name in ("forward", "input gradient", "weight gradient")
    ]
    rest = [Phase("pointwise", 0.2, bytes=10**9), Phase("optimiser", 0.1, flop=10**6)]
    phases = (Phase("gather", 0.01, bytes=10**6), *wholes, *rest, Phase("other", 0.01))
    return Bench(
        device="cpu",
        processor="A <machine> & more",
        threads=2,
        torch="2.13.0",
        kernels="avx2",
        ceilings=Ceilings(1e11, 4e11, 2e10),
        net="conv3-8 fc-3",
        input=(8, 8, 3),
        data=None,
        batch=16,
        precision=precision,
        step_threads=1,
        steps=3,
        seconds=sum(phase.seconds for phase in phases),
        range=(0.1, 0.9),
        phases=phases,
        layers=tuple(passes),
    )


def words(path):
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return " | ".join("".join(one.itertext()) for one in root.iter() if one.tag.endswith("}text"))


def test_an_svg_names_roofs_phases_and_layers(tmp_path):
    found = made_up()
    found.draw(tmp_path / "roofline.svg")
    text = words(tmp_path / "roofline.svg")
    for word in (
        "bf16 product 400 GFLOP/s",
        "fp32 product 100 GFLOP/s",
        "copy 20 GB/s",
        "forward: 37 GFLOP/s",
        "pointwise: 5 GB/s",
        "gather: 0.1 GB/s",
        "conv0",
        "conv2",
        "A <machine> & more, 1 thread",
        "16 images of 8x8x3 in bf16",
    ):
        assert word in text
    assert 'href="http' not in (tmp_path / "roofline.svg").read_text()  # it asks for nothing


def test_marks_above_the_roof_are_explained(tmp_path):
    below = made_up()
    above = replace(below, ceilings=Ceilings(1e7, 4e7, 2e10))
    for found, explained in ((below, False), (above, True)):
        found.draw(tmp_path / "roofline.svg")
        text = words(tmp_path / "roofline.svg")
        assert ("fewer products than the definition's" in text) == explained


def test_layers_at_one_place_share_a_name(tmp_path):
    found = made_up(layers=2)
    near = [replace(part, layer="conv9") for part in found.layers if part.layer == "conv1"]
    replace(found, layers=(*found.layers, *near)).draw(tmp_path / "roofline.svg")
    assert "conv1, conv9" in words(tmp_path / "roofline.svg")
    near = [replace(part, layer=f"conv{i}") for i in range(9, 13) for part in near]
    replace(found, layers=(*found.layers, *near)).draw(tmp_path / "roofline.svg")
    assert "conv1, conv9 and 3 more" in words(tmp_path / "roofline.svg")


def test_many_layers_are_not_named(tmp_path):
    passes = [replace(part, layer=f"conv{i}") for i in range(60) for part in made_up(1).layers]
    replace(made_up(1), layers=tuple(passes)).draw(tmp_path / "roofline.svg")
    assert "conv" not in words(tmp_path / "roofline.svg")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_png(tmp_path, precision):
    made_up(precision=precision).draw(tmp_path / "roofline.PNG")
    assert (tmp_path / "roofline.PNG").read_bytes().startswith(b"\x89PNG")


def test_the_same_figures_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        made_up().draw(tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"an SVG or a PNG, not roofline.pdf \(end its name"):
        made_up().draw(tmp_path / "roofline.pdf")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ResourceError, match="cannot be written"):
        made_up().draw(tmp_path / "nowhere" / "roofline.svg")


def test_rates_and_shares():
    found = made_up()
    by_name = {phase.name: phase for phase in found.phases}
    assert found.flop == 3 * (10**8 + 10**9 + 10**10)
    assert found.flop_rate == found.flop / found.seconds
    assert found.share_of_ceiling(by_name["pointwise"]) == 0.25
    assert found.share_of_ceiling(by_name["forward"]) == by_name["forward"].flop_rate / 4e11
    assert found.share_of_ceiling(by_name["other"]) is None
    assert replace(found, precision="fp32").ceiling == 1e11
    assert Phase("other", -0.1).flop_rate == 0
