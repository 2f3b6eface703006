"""The picture of a net: whole, safe, readable, and each volume where it belongs."""

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import NetError
from striate.nets import load_net, parse_net, zoo_nets
from striate.nets.picture import LARGEST_FILE, MOST_BLOCKS, svg
from striate.nets.picture.blocks import Block, Fork, Frame, picture_blocks

SVG = "{http://www.w3.org/2000/svg}"
SIZES = {"word": 12, "times": 12, "volume": 11, "title": 12, "legend": 12}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def drawn(text: str, *size: int) -> str:
    return parse_net(text).picture(tuple(size) or None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Written:
    """A text in the picture, and the room it takes."""

    content: str
    kind: str
    left: float
    right: float
    bottom: float

    @property
    def top(self) -> float:
        return self.bottom - 0.8 * SIZES[self.kind]


def texts(
    node: ElementTree.Element, x: float = 0, y: float = 0, depth: int = 0
) -> Iterator[Written]:
    """Every text with its place on the page."""
    moved = re.fullmatch(r"translate\((\S+) (\S+)\)", node.get("transform", ""))
    if moved:
        x, y = x + float(moved[1]), y + float(moved[2])
    if node.tag == f"{SVG}text":
        kind, content = node.get("class", ""), node.text or ""
        width = svg.text_width(content, SIZES[kind])
        share = {"middle": 0.5, "start": 0.0, "end": 1.0}[node.get("text-anchor", "middle")]
        left = x + float(node.get("x", "0")) - share * width
        yield Written(content, kind, left, left + width, y + float(node.get("y", "0")))
    for child in node:
        yield from texts(child, x, y, depth + 1)


def written(picture: str) -> list[Written]:
    return list(texts(ElementTree.fromstring(picture)))


def contents(picture: str, kind: str) -> list[str]:
    return [one.content for one in written(picture) if one.kind == kind]


def assert_readable(picture: str) -> None:
    """All texts are on the page, none lies over another."""
    root = ElementTree.fromstring(picture)
    width, height = float(root.get("width", "0")), float(root.get("height", "0"))
    found = sorted(written(picture), key=lambda one: one.top)
    for i, one in enumerate(found):
        assert one.left >= 0, one
        assert one.right <= width, one
        assert 0 <= one.top <= one.bottom <= height, one
        for other in found[i + 1 :]:
            if other.top >= one.bottom:
                break
            assert other.left >= one.right - 0.5 or other.right <= one.left + 0.5, (one, other)


NAMES = [entry.name for entry in zoo_nets()]


@pytest.mark.parametrize("name", NAMES)
def test_every_net_of_the_zoo_is_drawn(name: str) -> None:
    picture = load_net(name).picture()
    assert len(picture.encode()) < 100_000
    assert "nan" not in picture
    assert_readable(picture)


@pytest.mark.parametrize("name", ["resnet50", "googlenet"])
def test_the_file_stands_alone_and_runs_nothing(name: str) -> None:
    picture = load_net(name).picture()
    without_namespace = picture.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//|<script|<image|<use|@import|\bon\w+=|href", without_namespace)
    assert re.findall(r"url\(.*?\)", picture)[0] == "url(#head)"
    assert set(re.findall(r"url\(.*?\)", picture)) == {"url(#head)"}
    assert "prefers-color-scheme:dark" in picture
    root = ElementTree.fromstring(picture)
    assert [child.tag.removeprefix(SVG) for child in root][:3] == ["title", "desc", "style"]


def test_each_volume_of_lenet_with_its_layers() -> None:
    picture = load_net("lenet5").picture()
    assert contents(picture, "volume") == [
        "32x32x1", "28x28x6", "14x14x6", "10x10x16", "5x5x16", "120", "84", "10",
    ]  # fmt: skip
    assert contents(picture, "word")[:6] == [
        "input", "conv5-6p0", "tanh", "avgpool2", "conv5-16p0", "tanh",
    ]  # fmt: skip
    assert contents(picture, "legend")[-1].startswith("61,706 parameters, 416,520 multiply-adds")


def test_what_is_written_alike_is_drawn_once() -> None:
    picture = load_net("densenet121").picture()
    assert contents(picture, "times") == ["x6", "x12", "x24", "x16"]
    assert contents(picture, "title") == [
        "dense", "shrink(128)", "dense", "shrink(256)", "dense", "shrink(512)", "dense",
    ]  # fmt: skip
    assert "56x56x96" in contents(picture, "volume")  # after the first copy
    assert "56x56x256" in contents(picture, "volume")  # after the last


def test_the_folded_copies_are_all_there() -> None:
    assert contents(load_net("vgg16").picture(), "times") == ["x2", "x2", "x3", "x3", "x3", "x2"]
    assert contents(load_net("resnet50").picture(), "times") == ["x2", "x3", "x5", "x2"]


def test_stages_that_shrink_the_map_are_not_folded() -> None:
    """`[[conv relu]*2 maxpool2]*3` is three stages of different height, as in the lectures."""
    picture = drawn("[[conv3-8 relu]*2 maxpool2]*3 fc-4", 32, 32, 3)
    assert contents(picture, "times") == ["x2"] * 3
    assert [v for v in contents(picture, "volume") if v.endswith("x8")] == [
        "32x32x8", "16x16x8", "16x16x8", "8x8x8", "8x8x8", "4x4x8",
    ]  # fmt: skip


def test_repetition_is_found_without_brackets() -> None:
    folded = contents(drawn("conv3-8 relu conv1-8 conv3-8 relu conv1-8", 8, 8, 3), "times")
    assert folded == ["x2"]
    assert contents(drawn("conv3-8 conv1-8 conv3-8 relu conv1-8", 8, 8, 3), "times") == []


def blocks(text: str, *size: int) -> tuple[Block | Fork | Frame, ...]:
    net = parse_net(text)
    height, width, channels = size
    return picture_blocks(net.syntax, net.trace((height, width, channels)).chain)


def test_layers_on_values_share_a_block() -> None:
    (only,) = blocks("bn relu conv3-8 bn relu", 8, 8, 3)
    assert isinstance(only, Block)
    assert (only.before, only.word, only.after) == (("bn", "relu"), "conv3-8", ("bn", "relu"))
    (alone,) = blocks("bn relu", 8, 8, 3)
    assert isinstance(alone, Block)
    assert (alone.before, alone.word, alone.kind) == (("bn", "relu"), "", "other")


def test_a_definition_of_layers_on_values_needs_no_frame() -> None:
    (only,) = blocks("norm = bn relu\nconv3-8 norm", 8, 8, 3)
    assert isinstance(only, Block)
    assert only.after == ("bn", "relu")


def test_definitions_are_named_with_their_values_within_each_other() -> None:
    text = "two(n) = conv3-n/1 relu one(n)\none(k) = conv1-k maxpool2\ntwo(4) two(8)"
    outer, second = blocks(text, 16, 16, 3)
    assert isinstance(outer, Frame)
    assert isinstance(second, Frame)
    assert (outer.title, second.title) == ("two(4)", "two(8)")
    first, inner = outer.body
    assert isinstance(first, Block)
    assert first.word == "conv3-4"  # in its canonical spelling
    assert isinstance(inner, Frame)
    assert inner.title == "one(4)"


@pytest.mark.parametrize(
    "text",
    [
        "(conv3-4 | skip | maxpool3/1p1) relu fc-3",
        "(skip + skip) gap",
        "(skip | relu | conv3-4 ((conv1-4 + skip) | gelu)) conv1-2",
        "conv3-8 [(conv3-8 relu + skip + conv1-8)]*3 fc-2",
        "d = (skip | conv3-4)\n([d]*3 conv1-4 | [d]*5) relu [d]*2",  # lanes that grow
        "unit(n) = (conv1-n bn relu conv3-n + conv1-n)\n[unit(2)]*2 [unit(3)]*2 gap fc-7",
        "fc-4 reshape2x2x1 nearest2 tconv2-3/2 local3-2 whiten2",
        "[relu tanh bn]*3000",
        "conv3x2-4/2x1p0x1d2b0c lrn dropout0.5 ln scale1/256 leaky",
        "fc-1000000 fc-1",
    ],
)
def test_unusual_nets_are_readable(text: str) -> None:
    assert_readable(drawn(text, 12, 20, 3))


@st.composite
def chains(draw, depth: int = 2) -> str:
    """Layers that keep 8 channels, height and width, in branches and repeats of any kind."""
    words = st.sampled_from(["conv3-8", "relu", "bn", "conv1-8 relu", "maxpool3/1p1", "d", "u(8)"])
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.integers(0, 4)) if depth else 0
        inner = draw(st.lists(chains(depth=depth - 1), min_size=1, max_size=3)) if kind else []
        if kind == 1:
            parts.append(f"({' + '.join(inner)} + skip)")
        elif kind == 2:
            parts.append(f"(skip | {' | '.join(inner)}) conv1-8")
        elif kind == 3:
            parts.append(f"[{inner[0]}]*{draw(st.integers(1, 4))}")
        else:
            parts.append(draw(words))
    return " ".join(parts)


@given(chains())
@settings(deadline=None, max_examples=60)
def test_any_net_is_readable_and_loses_no_layer(text: str) -> None:
    net = parse_net(f"d = conv5-8 relu\nu(n) = (conv3-n bn + skip) relu\n{text}")
    nodes = picture_blocks(net.syntax, net.trace((8, 8, 8)).chain)
    assert list(spelled(nodes)) == [row.text for row in net.summary((8, 8, 8)).layers]
    assert_readable(net.picture((8, 8, 8)))


def spelled(nodes: tuple[Block | Fork | Frame, ...]) -> Iterator[str]:
    """The words of all layers and joins, with the copies written out."""
    for node in nodes:
        match node:
            case Block():
                yield from [*node.before, *filter(None, [node.word]), *node.after] * node.count
            case Fork():
                for branch in node.branches:
                    yield from spelled(branch)
                yield from (node.join, *node.after)
            case Frame():
                yield from list(spelled(node.body)) * node.count


def test_texts_are_escaped() -> None:
    mark = svg.text(0, 0, '</text><script>alert("&")</script>', "word")
    assert mark == (
        '<text x="0" y="0" class="word">&lt;/text&gt;&lt;script&gt;alert(&quot;&amp;&quot;)'
        "&lt;/script&gt;</text>"
    )
    document = svg.document((1, 1), "", title="<b>", description="a & b")
    root = ElementTree.fromstring(document)
    assert [child.text for child in root][:2] == ["<b>", "a & b"]


def test_long_titles_are_cut() -> None:
    name = "a" * 40
    picture = drawn(f"{name}(k, m, n) = conv3-k conv1-m conv3-n\n{name}(1000, 2000, 3000)", 8, 8, 3)
    (title,) = contents(picture, "title")
    assert title == f"{name}(1000..."
    assert_readable(picture)


@pytest.mark.parametrize(
    "text",
    [
        "[conv3-8 conv5-8 conv3-4 conv7-8 conv1-2 conv2-9p1 conv3-1 nearest1 maxpool1]*1000",
        "[(skip + skip + skip)]*3000",
        "(" + " | ".join(["skip"] * 2_000) + ")",
        " ".join(f"conv3-{n}" for n in range(1, 1_500)),
        "a = (conv1-1 + skip)\nb = [a]*9\nc = (b | b | b)\nd = (c | c | c)\n(d | d | d)",
    ],
)
def test_large_nets_are_drawn_or_refused_soon(text: str) -> None:
    start = time.process_time()
    picture, reason = "", ""
    try:
        picture = drawn(text, 64, 64, 1)
    except NetError as error:
        reason = str(error)
    assert time.process_time() - start < 10
    assert len(picture.encode()) <= LARGEST_FILE
    refused = rf"too large for a picture: .*(limit is {MOST_BLOCKS}|500 KB)"
    assert picture or re.search(refused, reason)


def test_a_file_that_would_be_too_large_is_refused() -> None:
    """Few blocks, but each with a long list of layers in front of it and behind it."""
    values = " ".join(f"bnm0.{n:06d}e0.{n:06d}" for n in range(1, 9))
    text = f"a(n) = {values} conv3-n {values} (relu {values} | conv1-n {values}) {values}\n"
    uses = " ".join(f"a({n})" for n in range(100_000, 100_150))
    with pytest.raises(NetError, match="too large for a picture: more than 500 KB"):
        drawn(text + uses, 1, 1, 1)


def test_the_largest_picture_is_within_the_limit() -> None:
    words = " ".join(f"conv3-{n} bn relu" for n in range(1, MOST_BLOCKS - 1))
    with pytest.raises(NetError, match=f"limit is {MOST_BLOCKS}"):
        drawn(words + " conv3-1 conv3-2 conv3-3", 64, 64, 1)
    assert len(drawn(words, 64, 64, 1).encode()) <= LARGEST_FILE


def test_the_picture_in_the_docs_is_what_is_drawn() -> None:
    """Else: striate show resnet18 --picture docs/pictures/resnet18.svg."""
    path = Path(__file__).parents[2] / "docs" / "pictures" / "resnet18.svg"
    assert path.read_text(encoding="utf-8") == load_net("resnet18").picture()


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_letters_are_as_wide_as_thought_and_stand_out(tmp_path, scheme: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "net.svg"
    path.write_text(load_net("googlenet").picture(), encoding="utf-8")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--headless"]
        )
        page = browser.new_page(color_scheme=scheme)
        page.set_default_timeout(120_000)  # milliseconds; other tests use the machine too
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        measured = page.evaluate(
            """() => [...document.querySelectorAll("text")].map((text) => [
                 text.textContent, text.getAttribute("class"), text.getComputedTextLength(),
                 getComputedStyle(text).fill])"""
        )
        paper = page.evaluate("getComputedStyle(document.querySelector('.paper')).fill")
        browser.close()
    assert asked == [path.as_uri()]
    assert len(measured) > 150
    for content, kind, width, colour in measured:
        assert width <= svg.text_width(content, SIZES[kind]) + 1, content
        assert contrast(colour, paper) >= 4.5, (content, colour)  # WCAG 2, level AA
    assert (luminance(paper) > 0.5) == (scheme == "light")


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)
