"""The page: everything the template shows, and the template filled in."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from striate.data import Data
from striate.model import Model
from striate.nets import Summary
from striate.report.advice import causes_of_chance, next_steps
from striate.report.classes import class_rows
from striate.report.confusion import confusion_matrix, describe_matrix
from striate.report.curves import curve_note, learning_curves
from striate.report.facts import Facts, NetSize, gather_facts
from striate.report.files import RunFiles
from striate.report.filters import first_filters
from striate.report.gallery import Curator
from striate.report.layers import layer_table
from striate.report.problems import group_problems
from striate.report.provenance import provenance, trace
from striate.report.reliability import reliability_diagram
from striate.report.strip import accuracy_strip
from striate.report.thumbnails import Thumbnails
from striate.report.verdict import headline, verdict
from striate.report.wording import (
    compact,
    count,
    duration,
    moment,
    number,
    percent,
    plural,
    printable,
    with_code,
)

MOST_POINTS = 1000  # evaluations in the table under the curves
LONGEST_LEVEL_NAME = 4  # characters; longer class names stand upright above the matrix
LARGEST_PAGE = 5_000_000  # bytes
BUDGETS = (3_000_000, 1_000_000, 0)  # bytes of thumbnails to try in turn


@dataclass(frozen=True)
class Inputs:
    """What a page is made from; `data` is None where its images cannot be shown."""

    files: RunFiles
    data: Data | None
    model: Model
    remarks: tuple[str, ...] = ()


def render(inputs: Inputs) -> str:
    """The page as HTML of at most LARGEST_PAGE bytes: pictures give way first."""
    for budget in BUDGETS:
        page = _fill(_context(inputs, budget=budget))
        if len(page.encode()) <= LARGEST_PAGE:
            break
    return page


def _context(inputs: Inputs, *, budget: int) -> dict[str, Any]:
    files, run = inputs.files, inputs.files.run
    summary = inputs.model.net.summary(run.data.size)
    facts = gather_facts(files, net_size(summary))
    table = layer_table(summary)
    thumbnails = Thumbnails(inputs.data, budget=budget)
    loss, accuracy = learning_curves(
        files.points, baseline=None if facts.majority is None else facts.majority[1]
    )
    return {
        "run": run,
        "files": files,
        "facts": facts,
        "scores": files.scores,
        "headline": headline(facts),
        "findings": verdict(facts),
        "steps": next_steps(facts),
        "causes": causes_of_chance(facts),
        "key_figures": key_figures(facts),
        "strip": accuracy_strip(facts),
        "curve_note": curve_note(files.points, run.recipe),
        "listed_points": files.points[-MOST_POINTS:],
        "loss_chart": loss,
        "accuracy_chart": accuracy,
        "diagram": reliability_diagram(files.predictions),
        "filters": first_filters(inputs.model.module, run.data.size),
        "problems": group_problems(run.data.problems),
        "table": table,
        "remarks": [
            *inputs.remarks,
            *(note for note in run.notes if note not in table.warnings),
        ],
        "provenance": provenance(files),
        "sources": trace(files),
        **_images(facts, files, thumbnails),
    }


def _images(facts: Facts, files: RunFiles, thumbnails: Thumbnails) -> dict[str, Any]:
    """The galleries come before the matrix: they have the first claim on the budget."""
    curator = Curator(files.predictions, facts.classes, thumbnails)
    galleries = {
        "worst": curator.worst(),
        "least_sure": curator.least_sure(),
        "most_sure": curator.most_sure(),
    }
    if facts.scores is None:
        return {
            **galleries,
            "matrix": None,
            "matrix_note": "",
            "class_rows": (),
            "long_names": False,
        }
    matrix = confusion_matrix(facts.scores, facts.confusions, curator)
    return {
        **galleries,
        "matrix": matrix,
        "matrix_note": describe_matrix(matrix),
        "long_names": max(len(name) for name in matrix.names) > LONGEST_LEVEL_NAME,
        "class_rows": class_rows(facts.scores, facts.confusions),
    }


def net_size(summary: Summary) -> NetSize:
    """A net's size in three figures."""
    return NetSize(
        layers=sum(layer.multiply_adds > 0 for layer in summary.layers),
        parameters=summary.parameters,
        multiply_adds=summary.multiply_adds,
    )


def key_figures(facts: Facts) -> tuple[tuple[str, str], ...]:
    """The figures under the headline, as name and value."""
    result, scores = facts.run.result or {}, facts.scores
    figures: list[tuple[str, str]] = []
    if scores is not None:
        figures += [
            (f"{facts.split} images", count(scores.images)),
            ("Loss", number(scores.loss)),
            ("Calibration error", percent(scores.ece)),
        ]
    figures.append(("Training images", count(facts.run.data.counts.train)))
    if facts.last is not None:
        figures.append(("Epochs", f"{facts.last.epoch:g}"))
    if isinstance(seconds := result.get("seconds"), int | float):
        figures.append(("Training time", duration(seconds)))
    if facts.last is not None and facts.last.images_per_second:
        figures.append(("Images per second", count(round(facts.last.images_per_second))))
    figures.append(("Parameters", compact(facts.net.parameters)))
    return tuple((name.capitalize(), value) for name, value in figures)


def _fill(context: dict[str, Any]) -> str:
    environment = Environment(
        loader=PackageLoader("striate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_read(environment, name) for name in ("report.css", "report.js"))
    template = environment.get_template("report.html.j2")
    return template.render(
        **context,
        style=style,
        script=script,
        style_hash=_content_hash(style),
        script_hash=_content_hash(script),
        newline=Markup("\n"),
        percent=percent,
        number=number,
        count=count,
        plural=plural,
        moment=moment,
        with_code=with_code,
    )


def _read(environment: Environment, name: str) -> Markup:
    assert environment.loader is not None
    text, _, _ = environment.loader.get_source(environment, name)
    return Markup(text)


def _content_hash(text: str) -> str:
    """What a content security policy names an inline style or script by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _printable_text(value: Any) -> Any:
    """No text reaches the page with a control character, undecodable byte or direction trick."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value)
    return value
