import base64
import csv
import hashlib
import json
import resource
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from striate.data import TEST, Data
from striate.errors import ResourceError
from striate.evaluation import evaluate_logits, softmax
from striate.model import Model
from striate.nets import parse_net
from striate.report import REPORT_NAME, write_report
from striate.report.page import LARGEST_PAGE
from striate.report.wording import DASH

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=a()>\n\udcff\u202e"
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """What a browser finds in a page: its tags, attributes, and the text of scripts and styles."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.inside: dict[str, str] = {}
        self.text: list[str] = []
        self.source = path.read_text("utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.inside[self.open[-1]] = self.inside.get(self.open[-1], "") + data
        else:
            self.text.append(data)

    def values(self, attribute: str) -> list[str]:
        return [found for _, attrs in self.tags if (found := attrs.get(attribute)) is not None]

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())


def written(trained) -> Page:
    path = write_report(trained.path, trained.data, trained.model)
    assert path == trained.path / REPORT_NAME
    assert path.stat().st_size <= LARGEST_PAGE
    page = Page(path)
    assert_sound(page)
    return page


def assert_sound(page: Page) -> None:
    """Nothing that could reach a network or run code that is not ours."""
    targets = page.values("src") + page.values("href")
    assert targets
    assert all(target.startswith(("data:", "#")) for target in targets)
    assert {tag for tag, _ in page.tags} & {"iframe", "object", "embed", "base", "form"} == set()
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert page.values("style") == []
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "@import" not in page.inside["style"]
    assert "url(" not in page.inside["style"]
    policy = next(
        attrs["content"]
        for tag, attrs in page.tags
        if "content-security-policy" in str(attrs).lower()
    )
    assert policy.startswith("default-src 'none'; img-src data:;")
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(page.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    identities = Counter(page.values("id"))
    assert max(identities.values()) == 1
    assert set(page.values("popovertarget")) <= set(identities)


def test_the_page_says_what_the_files_say(trained) -> None:
    page = written(trained)
    scores = trained.read("evaluation.json")["test"]
    assert f"{scores['accuracy'] * 100:.1f} %" in page.words
    for section in ("verdict", "curves", "classes", "confusion", "images", "calibration"):
        assert section in page.values("id")
    for section in ("filters", "data", "net", "provenance"):
        assert section in page.values("id")
    assert f"From metrics.jsonl, lines 1{DASH}6" in page.words
    assert "conv3-16" in page.words
    assert "optimizer.lr" in page.words
    assert trained.data.manifest_hash in page.words
    assert "striate train digits --epochs 6" in page.words


def test_the_page_is_the_same_each_time(trained) -> None:
    first = write_report(trained.path, trained.data, trained.model).read_bytes()
    assert write_report(trained.path, trained.data, trained.model).read_bytes() == first


def test_hostile_names_are_text(trained) -> None:
    classes = tuple(f"{HOSTILE}{label}" for label in range(10))
    run = trained.read("run.json")
    run["data"] |= {"name": HOSTILE, "classes": list(classes)}
    run["data"]["problems"] = [{"kind": HOSTILE, "paths": [HOSTILE] * 9, "message": HOSTILE}]
    run |= {"command": ["striate", HOSTILE], "notes": [HOSTILE], "machine": {HOSTILE: HOSTILE}}
    trained.write("run.json", run)
    evaluations = trained.read("evaluation.json")
    for scores in evaluations.values():
        for figures, name in zip(scores["classes"], classes, strict=True):
            figures["name"] = name
    trained.write("evaluation.json", evaluations)
    rename(trained.path / "predictions.csv", dict(zip(trained.data.classes, classes, strict=True)))
    page = written(trained)
    assert "<script>alert(1)</script>" in page.words
    assert "\\xff\\u202e" in page.words
    assert "\u202e" not in page.source


def rename(path: Path, classes: dict[str, str]) -> None:
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for index, _, split, label, predicted, *rest in rows:
            writer.writerow([index, HOSTILE, split, classes[label], classes[predicted], *rest])


def test_a_thousand_classes_of_photos_fit(tmp_path, write_run) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3000, 96, 96, 3), dtype=np.uint8)  # noise: the largest JPEGs
    labels = np.arange(3000) % 1000
    data = Data.from_arrays(
        images[:1000],
        labels[:1000],
        classes=[f"a class with quite a long name {at}" for at in range(1000)],
        test_images=images[1000:],
        test_labels=labels[1000:],
        name="noise",
    ).split(validation=0, seed=0)
    net = parse_net("maxpool32 fc-1000")
    model = Model(
        net=net,
        module=net.build((96, 96, 3)),
        classes=data.classes,
        preprocessing=data.preprocessing,
    )
    assert len(data.indices(TEST)) == 2000
    page = written(write_run(tmp_path / "noise-1", data, model, []))
    assert len(page.source) > 1_000_000
    assert "24 most confused classes" in page.words
    assert "976 other classes" in page.words
    assert "No epoch was finished" in page.words


def test_pictures_give_way_to_the_limit(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = len(written(trained).source)
    monkeypatch.setattr("striate.report.page.LARGEST_PAGE", whole - 1)
    monkeypatch.setattr("striate.report.page.BUDGETS", (3_000_000, 5_000, 0))
    page = Page(write_report(trained.path, trained.data, trained.model))
    assert len(page.source) < whole
    assert "not shown" in page.words


def test_with_validation_alone_the_page_says_so(trained) -> None:
    trained.write("evaluation.json", {**trained.read("evaluation.json"), "test": None})
    page = written(trained)
    assert "There is no test split" in page.words
    assert "fitted on these same images" in page.words


def test_with_nothing_evaluated_the_page_says_so(trained) -> None:
    for name in ("evaluation.json", "predictions.csv", "metrics.jsonl"):
        (trained.path / name).unlink()
    page = written(trained)
    assert "how good it is on new images is unknown" in page.words
    assert "confusion" not in page.values("id")


def test_without_predictions_the_figures_stand(trained) -> None:
    (trained.path / "predictions.csv").unlink()
    page = written(trained)
    assert "predictions.csv has no rows" in page.words


def test_accuracy_at_chance_lists_causes(trained) -> None:
    random = np.random.default_rng(0)
    labels = trained.data.labels[trained.data.indices(TEST)]
    logits = random.normal(size=(len(labels), 10))
    scores = evaluate_logits(logits, labels, trained.data.classes).to_json()
    assert softmax(logits).shape == (len(labels), 10)
    trained.write("evaluation.json", {**trained.read("evaluation.json"), "test": scores})
    page = written(trained)
    assert "It has not learned" in page.words
    assert "Why accuracy may have stayed at chance" in page.words


def test_images_of_changed_data_are_not_shown(trained) -> None:
    changed = Data.from_arrays(255 - trained.data.images, trained.data.labels, name="digits")
    page = written(replace(trained, data=changed))
    assert "The data have changed since this run" in page.words
    galleries = [
        attrs for tag, attrs in page.tags if tag == "img" and attrs.get("class") == "pixels"
    ]
    assert galleries == []


def test_a_net_of_several_lines_keeps_them(trained) -> None:
    text = "unit(n) = conv3-n relu\nunit(8) gap fc-10"
    trained.write("run.json", {**trained.read("run.json"), "net": text})
    assert text.replace("\n", " ") in written(trained).words


def test_a_full_disk_leaves_the_earlier_report(trained) -> None:
    path = write_report(trained.path, trained.data, trained.model)
    earlier = path.read_bytes()
    metrics = trained.path / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + json.dumps({"epoch": 7, "restart": 0}) + "\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(earlier) // 2, hard))
    try:
        with pytest.raises(ResourceError, match="disk full"):
            write_report(trained.path, trained.data, trained.model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == earlier
    assert not list(trained.path.glob(".*"))
