"""A recipe: every choice of a training that is not the data, the net or the seed.

Named recipes are TOML files in `recipes/`. `--set optimizer.lr=0.1` changes one field; an unknown
name or a value out of range is an error that lists what there is.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from striate.errors import RecipeError
from striate.training.sections import (
    OWN_DEFAULTS,
    Augment,
    Average,
    DataChoices,
    Initialize,
    Loss,
    Optimizer,
    Regularize,
    Schedule,
    Section,
    Stop,
    Transfer,
)

LARGEST_FILE = 1_000_000  # bytes; a recipe is a page of text

_UNION_MEMBER = re.compile(r"^(int|float|constrained-\w+)$|\[")


# Fields that only some names of their section look at.
READERS: dict[str, dict[str, set[str]]] = {
    "optimizer": {
        "momentum": {*OWN_DEFAULTS, "muon"} - {"sgd"},
        "beta2": {"rmsprop", "adam", "adamw"},
        "epsilon": {"rmsprop", "adam", "adamw"},
        **{name: {"muon"} for name in ("side_lr", "side_momentum", "head_lr")},
    },
    "schedule": {
        "floor": {"linear", "cosine", "one_cycle", "step", "inverse"},
        "milestones": {"step"},
        "factor": {"step"},
        "power": {"inverse"},
    },
    "average": {"decay": {"ema", "lookahead"}, "every": {"ema", "lookahead"}},
}


class Recipe(Section):
    """Everything a training does.

    `effort` multiplies the epochs that "auto" chooses; `kernels` "off" leaves all to PyTorch's
    operators, "compiled" to what its compiler makes of them; `workers` processes share each batch;
    `views` in the evaluation, "auto": the image, and its mirror image where training mirrors too.
    """

    epochs: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = "auto"
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=1_000_000)] = "auto"
    effort: float = Field(1.0, gt=0, le=100)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    kernels: Literal["on", "off", "compiled"] = "on"
    workers: int = Field(1, ge=1, le=1000)
    checkpoint_seconds: float = Field(30.0, ge=0)
    views: Literal["auto", 1, 2, 6, 10] = 1
    data: DataChoices = DataChoices()
    initialize: Initialize = Initialize()
    transfer: Transfer = Transfer()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    loss: Loss = Loss()
    regularize: Regularize = Regularize()
    augment: Augment = Augment()
    average: Average = Average()
    stop: Stop = Stop()

    def with_settings(self, settings: Mapping[str, object]) -> Recipe:
        """This recipe with some fields changed.

        Args:
            settings: Dotted field names to values; a value that is text is read as a TOML value
                where it is one (`0.1`, `true`, `[0.5, 0.75]`), else taken as it stands. Another
                `optimizer.name` starts from that optimiser's own defaults.

        Raises:
            RecipeError: On an unknown name (the message lists what there is), a value out of
                range, or a field that the optimiser, schedule or average does not look at.

        Examples:
            >>> Recipe().with_settings({"optimizer.lr": "0.1", "epochs": 3}).optimizer.lr
            0.1
        """
        given = {k: _read_value(v) if isinstance(v, str) else v for k, v in settings.items()}
        document = self.model_dump()
        name = _given_optimizer(given)
        if name in OWN_DEFAULTS.keys() | {"muon"} and name != self.optimizer.name:
            document["optimizer"] = Optimizer.model_validate({"name": name}).model_dump()
        for field, value in given.items():
            _set_field(document, field, value)
        recipe = _validated(document, "the settings")
        _refuse_unread(recipe, given, None)
        return recipe


def recipe_names() -> list[str]:
    """The names of the recipes that come with Striate."""
    files = resources.files("striate.training").joinpath("recipes").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The recipe of that name, or in that TOML file.

    Raises:
        RecipeError: If there is none, it is not a valid recipe, or it sets a field that the
            optimiser, schedule or average does not look at.
    """
    text = _recipe_text(str(name_or_path))
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"is not TOML: {error}", path=name_or_path) from error
    recipe = _validated(document, name_or_path)
    _refuse_unread(recipe, document, name_or_path)
    return recipe


def recipe_from_json(document: object) -> Recipe:
    """The recipe of a `run.json`.

    Raises:
        RecipeError: If the document is not a recipe.
    """
    if not isinstance(document, Mapping):
        raise RecipeError("is not a recipe: a JSON object was expected", path="run.json")
    return _validated(document, "run.json")


def _recipe_text(name: str) -> str:
    if name in recipe_names():
        recipes = resources.files("striate.training").joinpath("recipes")
        return recipes.joinpath(f"{name}.toml").read_text("utf-8")
    path = Path(name)
    if not path.is_file():
        known = ", ".join(recipe_names())
        raise RecipeError(f"no recipe and no file {name!r}", hint=f"the recipes are {known}")
    if path.stat().st_size > LARGEST_FILE:
        raise RecipeError(f"is larger than {LARGEST_FILE:,} bytes", path=name)
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError("is not UTF-8 text", path=name) from error


def _read_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _given_optimizer(given: Mapping[str, object]) -> object:
    """The optimiser that settings name, dotted or in a mapping; None where they name none."""
    section = given.get("optimizer")
    name = section.get("name") if isinstance(section, Mapping) else None
    name = given.get("optimizer.name", name)
    return name if isinstance(name, str) else None


def _refuse_unread(recipe: Recipe, given: Mapping[str, object], where: object) -> None:
    """Refuse a field that has no effect; its default, which asks for nothing, may be written."""
    for name, value in _flattened(given):
        section, _, field = name.rpartition(".")
        readers = READERS.get(section, {}).get(field)
        if readers is None:
            continue
        chosen = getattr(recipe, section)
        usual = getattr(type(chosen).model_validate({"name": chosen.name}), field)
        if chosen.name not in readers and getattr(chosen, field) != usual:
            raise RecipeError(
                f"{name} = {value} has no effect with {section}.name {chosen.name!r}",
                path=where,
                hint=f"leave it out, or choose {' or '.join(sorted(readers))}",
            )
    if not recipe.transfer.weights and recipe.transfer != Transfer():
        raise RecipeError("transfer has no effect without transfer.weights", path=where)
    if recipe.kernels == "compiled" and recipe.regularize.activation_l1 > 0:
        message = (
            "regularize.activation_l1 has no effect on a compiled net, whose activations none see"
        )
        raise RecipeError(message, path=where, hint="use kernels on or off")


def _set_field(document: dict[str, Any], name: str, value: object) -> None:
    *sections, field = name.split(".")
    where = document
    for section in sections:
        inner = where.get(section)
        if not isinstance(inner, dict):
            raise _unknown(name)
        where = inner
    if field not in where:
        raise _unknown(name)
    if isinstance(where[field], dict):
        if not isinstance(value, Mapping):
            raise RecipeError(
                f"{name} is a section", hint=f"its fields are {', '.join(sorted(where[field]))}"
            )
        where[field] = {**where[field], **value}
    else:
        where[field] = value


def _unknown(name: str) -> RecipeError:
    known = list(_field_names(Recipe().model_dump()))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return RecipeError(
        f"unknown setting {name!r}", hint=f"{meant}the settings are {', '.join(known)}"
    )


def _field_names(document: Mapping[str, object]) -> Iterable[str]:
    return (name for name, _ in _flattened(document))


def _flattened(document: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _validated(document: Mapping[str, object], where: object) -> Recipe:
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise _explained(error, where) from error


def _explained(error: ValidationError, where: object) -> RecipeError:
    first, *others = error.errors()
    name = _dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(name)
    alternatives = [first, *(e for e in others if _dotted(e["loc"]) == name)]
    reasons = " or ".join(e["msg"].removeprefix("Input should be ") for e in alternatives)
    return RecipeError(f"{name} should be {reasons}, not {first['input']!r}", path=where)


def _dotted(location: tuple[int | str, ...]) -> str:
    # pydantic appends the tried member of a union, which is no field of the recipe
    fields = (str(part) for part in location)
    return ".".join(part for part in fields if not _UNION_MEMBER.search(part))
