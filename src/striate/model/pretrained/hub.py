"""Weights from the Hugging Face hub, through the hub's own client."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from striate.errors import DataError, ModelError, ResourceError, StriateError, UsageError
from striate.model.pretrained.settings import CONFIG_NAME

PREFIX = "hf:"
USUAL_NAME = "model.safetensors"
SUFFIX = ".safetensors"
_NAME = re.compile(r"hf:([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,200}))?", re.ASCII)


@dataclass(frozen=True)
class HubFile:
    """A file of the hub, in the client's cache.

    Attributes:
        path: Where it lies, its config.json beside it.
        commit: The commit of the repository that it belongs to.
    """

    path: Path
    commit: str


def fetch_from_hub(source: str, *, cache: Path | None = None) -> HubFile:
    """Fetch the weights of a repository, and its config.json, unless the client has them.

    No other file is fetched. `HF_ENDPOINT` names another hub, `HF_HOME` another cache, `HF_TOKEN`
    the token for a private repository: they are the client's own.

    Args:
        source: "hf:OWNER/NAME", perhaps with "@REVISION": a branch, tag or commit.
        cache: The client's cache folder, if not its own choice.

    Raises:
        UsageError: The name is none, or the client is not installed.
        ModelError: There is no such repository or revision, or no one safetensors file in it.
        DataError: The hub cannot be reached.
        ResourceError: The disk is full.
    """
    match = _NAME.fullmatch(source)
    if match is None:
        raise UsageError(
            "is no name on the hub", path=source, hint="write hf:OWNER/NAME[@REVISION]"
        )
    repository, revision = match.groups()
    client = _client(source)

    def get(name: str, revision: str | None) -> Path:
        return Path(client.hf_hub_download(repository, name, revision=revision, cache_dir=cache))

    weights = _guarded(source, lambda: _weights(client, get, repository, revision, source))
    commit = weights.parent.name  # the cache keeps a folder for each commit
    _guarded(source, lambda: _config(get, commit))
    return HubFile(weights, commit)


def _client(source: str) -> Any:
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415 - an extra, and a second to load
    except ImportError:
        raise UsageError(
            "needs the hub's client, huggingface_hub, which is not installed",
            path=source,
            hint='pip install "striate[hub]", or give a file',
        ) from None
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="striate")


def _weights(
    client: Any,
    get: Callable[[str, str | None], Path],
    repository: str,
    revision: str | None,
    source: str,
) -> Path:
    """The file of the usual name, or the only one with the ending."""
    from huggingface_hub.errors import RemoteEntryNotFoundError  # noqa: PLC0415

    try:
        return get(USUAL_NAME, revision)
    except RemoteEntryNotFoundError:
        names = client.list_repo_files(repository, revision=revision)
    found = [name for name in names if name.endswith(SUFFIX) and "/" not in name]
    if len(found) == 1:
        return get(found[0], revision)
    listed = ", ".join(sorted(found or names)[:5])
    what = "several .safetensors files" if found else "no .safetensors file"
    raise ModelError(
        f"holds {what}: {listed}",
        path=source,
        hint="fetch one and give its path" if found else "no other format is ever opened",
    )


def _config(get: Callable[[str, str | None], Path], commit: str) -> None:
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    try:
        get(CONFIG_NAME, commit)
    except EntryNotFoundError:
        return  # a repository may have none


def _guarded(source: str, work: Callable[[], Any]) -> Any:
    """What the work gives; the client's errors as one line of ours."""
    try:
        return work()
    except StriateError:
        raise
    except Exception as cause:
        raise _explained(cause, source) from cause


def _explained(cause: Exception, source: str) -> StriateError:
    from huggingface_hub import errors  # noqa: PLC0415

    if isinstance(cause, errors.GatedRepoError):
        return ModelError("asks for a login", path=source, hint="set HF_TOKEN, or give a file")
    if isinstance(cause, errors.RepositoryNotFoundError):
        return ModelError("there is no such repository on the hub", path=source)
    if isinstance(cause, errors.RevisionNotFoundError):
        return ModelError("the repository has no such revision", path=source)
    if isinstance(cause, OSError) and cause.errno is not None and not _is_of_the_net(cause):
        return ResourceError(f"cannot be written: {cause.strerror}", path=cause.filename)
    first = cause.__cause__ or cause  # the client wraps a failed connection
    reason = " ".join(str(first).split())[:160] or type(first).__name__
    return DataError(
        f"cannot be fetched from the hub: {reason}",
        path=source,
        hint="look at the connection, or fetch the file elsewhere and give its path",
    )


def _is_of_the_net(cause: OSError) -> bool:
    return isinstance(cause, ConnectionError | TimeoutError)
