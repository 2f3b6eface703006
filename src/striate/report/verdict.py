"""The verdict in words: rules that turn figures into sentences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from striate.report.facts import Confusion, Facts
from striate.report.files import Point
from striate.report.wording import (
    compact,
    count,
    duration,
    listed,
    percent,
    plural,
    quoted,
    shortened,
)

Tone = Literal["good", "fair", "poor", "plain"]

REAL_GAP = 0.03  # of accuracy between training and validation; less is not worth a sentence
RISE = 1.1  # a validation loss this many times its lowest has risen
STILL_IMPROVING = 0.01  # of validation accuracy, over the last third of the training
TRUE_TO_WORD = 0.02  # expected calibration error up to which probabilities can be taken as they are
ROUGHLY_TRUE = 0.05
HARDLY_MORE = 1.5  # times the calibration error that chance alone gives


@dataclass(frozen=True)
class Finding:
    """One thing the verdict says, on one topic."""

    topic: str
    text: str
    tone: Tone = "plain"


def headline(facts: Facts) -> str:
    """The whole verdict in one sentence.

    Args:
        facts: The figures of the run.
    """
    if facts.scores is None:
        return "Trained, and not yet tried on images it has not seen."
    share = percent(facts.scores.accuracy)
    if facts.at_chance:
        better = "no better" if _within_noise(facts) else "hardly better"
        return f"It has not learned: right {share} of the time, {better} than one fixed answer."
    if facts.scores.accuracy == 1:
        return (
            f"Right on every one of {plural(facts.scores.images, 'image')} it had not trained on."
        )
    return f"Right {share} of the time on images it had not trained on."


def verdict(facts: Facts) -> tuple[Finding, ...]:
    """What there is to say, in the order in which one asks."""
    rules: tuple[Callable[[Facts], Finding | None], ...] = (
        _training,
        _accuracy,
        _baseline,
        _confusions,
        _fit,
        _calibration,
    )
    return tuple(finding for rule in rules if (finding := rule(facts)) is not None)


def _training(facts: Facts) -> Finding:
    run = facts.run
    text = (
        f"A net of {plural(facts.net.layers, 'layer')} with weights and "
        f"{compact(facts.net.parameters)} parameters learned to tell "
        f"{plural(len(facts.classes), 'class', 'classes')} apart, from "
        f"{plural(run.data.counts.train, 'image')} of {shortened(run.data.name, 60)}"
        f"{_effort(facts)}. {_held_back(facts)}"
    )
    return Finding("What was trained", text)


def _effort(facts: Facts) -> str:
    result = facts.run.result or {}
    epochs, seconds = result.get("epochs"), result.get("seconds")
    if facts.last is not None:
        epochs = facts.last.epoch if epochs is None else epochs
        seconds = facts.last.seconds if seconds is None else seconds
    parts = [] if epochs is None else [f", in {plural(round(epochs), 'epoch')}"]
    if seconds is not None:
        parts.append(f" and {duration(seconds)} of training")
    parts.append(f" on {_machine(facts)}")
    return "".join(parts)


def _machine(facts: Facts) -> str:
    run = facts.run
    if "gpu" in run.machine:
        return f"one {run.machine['gpu']}"
    if run.device == "cpu" and "processor" in run.machine:
        threads = "" if run.threads is None else f"{plural(run.threads, 'thread')} of "
        return f"{threads}{run.machine['processor']}"
    return run.device


def _held_back(facts: Facts) -> str:
    counts = facts.run.data.counts
    parts = [
        f"{count(number)} to {purpose}"
        for number, purpose in (
            (counts.validation, "choose the best weights"),
            (counts.test, "test at the end"),
        )
        if number
    ]
    if not parts:
        return "No images were held back."
    return f"{listed(parts)} were held back."


def _accuracy(facts: Facts) -> Finding:
    scores = facts.scores
    if scores is None:
        text = (
            "There is no test split and no validation split, so how good it is on new images is "
            "unknown: the training accuracy says nothing about it."
        )
        return Finding("How good", text, "poor")
    low, high = (percent(bound) for bound in scores.interval)
    text = (
        f"Of {plural(scores.images, f'{facts.split} image')} it names {percent(scores.accuracy)} "
        f"rightly. The true share lies between {low} and {high}, with 95{chr(160)}% confidence."
    )
    if facts.split == "validation":
        text += (
            " There is no test split: the best weights were chosen by these same images, so the "
            "figure flatters a little."
        )
    return Finding("How good", text, "poor" if facts.at_chance else "plain")


def _baseline(facts: Facts) -> Finding | None:
    if facts.scores is None or facts.majority is None:
        return None
    topic = "Against chance"
    name, share = facts.majority
    fixed = f"Always answering {quoted(name)} would be right {percent(share)} of the time"
    guesses = f"Guessing: {percent(facts.chance)}."
    if facts.at_chance:
        net = "cannot be told from that" if _within_noise(facts) else "does hardly better"
        text = f"{fixed}. The net {net}: it has not learned. {guesses}"
        return Finding(topic, text, "poor")
    if facts.scores.accuracy == 1:
        return Finding(topic, f"{fixed}. {guesses}", "good")
    times = (1 - share) / (1 - facts.scores.accuracy)
    text = f"{fixed}, with {times:.{0 if times >= 10 else 1}f} times as many mistakes. {guesses}"
    return Finding(topic, text, "good" if times >= 2 else "fair")


def _within_noise(facts: Facts) -> bool:
    """Whether the accuracy's interval reaches down to that of one fixed answer."""
    if facts.scores is None or facts.majority is None:
        return False
    return facts.scores.interval[0] <= facts.majority[1]


def _confusions(facts: Facts) -> Finding | None:
    if facts.scores is None:
        return None
    if not facts.confusions:
        return Finding("What it confuses", "It makes no mistake on these images.", "good")
    mistakes = sum(pair.count for pair in facts.confusions)
    several = [pair for pair in facts.confusions if pair.count > 1][:3]
    if not several:
        text = f"{plural(mistakes, 'mistake')}, no two of the same kind."
        return Finding("What it confuses", text)
    pairs = [_pair(facts, pair) for pair in several]
    text = f"{plural(mistakes, 'mistake')}. Most often it takes {listed(pairs)}."
    return Finding("What it confuses", text)


def _pair(facts: Facts, pair: Confusion) -> str:
    true, predicted = facts.classes[pair.true], facts.classes[pair.predicted]
    return f"{quoted(true)} for {quoted(predicted)} ({count(pair.count)} of {count(pair.support)})"


def _fit(facts: Facts) -> Finding | None:
    last = facts.last
    if last is None:
        return None
    if last.validation_accuracy is None or facts.gap is None:
        text = "Nothing was held back for validation, so whether it overfits cannot be told."
        return Finding("Does it overfit", text, "fair")
    figures = (
        f"{percent(last.train_accuracy)} on the training images, "
        f"{percent(last.validation_accuracy)} on the validation images at the end"
    )
    risen = begins_to_overfit(facts)
    if overfits(facts):
        rise = "; the validation loss rose again" if risen else ""
        text = f"It overfits: {figures}{rise}.{_kept(facts)}"
        return Finding("Does it overfit", text, "poor" if facts.gap > 0.1 else "fair")
    if risen:
        text = f"It begins to overfit: the validation loss rose again ({figures}).{_kept(facts)}"
        return Finding("Does it overfit", text, "fair")
    if still_improving(facts):
        text = f"No, it was still improving when it stopped: {figures}."
        return Finding("Does it overfit", text, "fair")
    return Finding("Does it overfit", f"No: {figures}.", "good")


def _kept(facts: Facts) -> str:
    best = best_point(facts.points)
    if best is None or best is facts.last:
        return ""
    return f" The weights of epoch {best.epoch:g} are kept, where that loss was lowest."


def overfits(facts: Facts) -> bool:
    """Whether training accuracy is above validation accuracy, by more than noise and REAL_GAP."""
    return facts.gap is not None and facts.gap > REAL_GAP and facts.gap_is_real


def begins_to_overfit(facts: Facts) -> bool:
    """Whether the validation loss rose while the training images went clearly better."""
    return facts.gap is not None and facts.gap > REAL_GAP and loss_has_risen(facts.points)


def loss_has_risen(points: tuple[Point, ...]) -> bool:
    """Whether the validation loss ended clearly above its lowest."""
    losses = [point.validation_loss for point in points if point.validation_loss is not None]
    return len(losses) > 2 and losses[-1] > RISE * min(losses)


def best_point(points: tuple[Point, ...]) -> Point | None:
    """The evaluation with the lowest validation loss: the one whose weights are kept."""
    tried = [point for point in points if point.validation_loss is not None]
    return min(tried, key=lambda point: point.validation_loss or 0.0, default=None)


def still_improving(facts: Facts) -> bool:
    """Whether validation accuracy rose over the last third of the training, to its best.

    By more than STILL_IMPROVING, and by more than two standard errors of the accuracy.
    """
    found = [point.validation_accuracy for point in facts.points]
    shares = [share for share in found if share is not None]
    if len(shares) < 3:
        return False
    last, earlier = shares[-1], shares[-1 - len(shares) // 3]
    error = math.sqrt(last * (1 - last) / max(1, facts.run.data.counts.validation))
    return last >= max(shares) and last - earlier > max(STILL_IMPROVING, 2 * error)


def _calibration(facts: Facts) -> Finding | None:
    if facts.scores is None:
        return None
    topic = "Can its probabilities be trusted"
    error, noise = facts.scores.ece, facts.calibration_noise
    how = " after temperature scaling" if facts.scores.temperature != 1 else ""
    text = f"stated and true differ by {percent(error)} on average{how}"
    if error <= TRUE_TO_WORD:
        return Finding(topic, f"Yes: {text}.", "good")
    if error <= HARDLY_MORE * noise:
        images = plural(facts.scores.images, "image")
        text = f"{text}; chance alone gives {percent(noise)} on {images}."
        if noise > ROUGHLY_TRUE:
            return Finding(topic, f"Too few images to tell: {text}")
        return Finding(topic, f"Yes: {text}", "good")
    if miscalibrated(facts):
        return Finding(topic, f"No: {text}{_direction(facts)}.", "poor")
    return Finding(topic, f"Roughly: {text}{_direction(facts)}.", "fair")


def miscalibrated(facts: Facts) -> bool:
    """Whether stated and true probability differ by more than chance and ROUGHLY_TRUE."""
    if facts.scores is None:
        return False
    return facts.scores.ece > max(ROUGHLY_TRUE, HARDLY_MORE * facts.calibration_noise)


def _direction(facts: Facts) -> str:
    """Too sure or not sure enough, where the mean lies outside the accuracy's interval."""
    if facts.scores is None or facts.mean_probability is None:
        return ""
    low, high = facts.scores.interval
    if low <= facts.mean_probability <= high:
        return ""
    kind = "too sure" if facts.mean_probability > high else "not sure enough"
    return f"; it is {kind}, stating {percent(facts.mean_probability)}"
