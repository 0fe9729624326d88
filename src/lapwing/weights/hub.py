"""From a model's name to its directory: a path, a bundled model, or the hub through its cache.

huggingface_hub reads `HF_HOME`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` on its import.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lapwing.errors import ConfigError, LapwingError, ModelNotFoundError, RequestError, WeightsError
from lapwing.units import format_bytes
from lapwing.weights.files import (
    CONFIG,
    INDEX,
    SMALL_FILES,
    NoWeightsError,
    choose_weights,
    exists,
    is_dir,
    list_names,
    module_files,
)
from lapwing.weights.hub_errors import explain
from lapwing.weights.sentence_transformers import read_sentence_modules
from lapwing.weights.shards import read_shard_index

log = logging.getLogger("lapwing.weights.hub")

DEFAULT_REVISION = "main"
_DATA = Path(__file__).parent.parent / "data"
_REPO_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
_REVISION = re.compile(r"\w[\w./+-]*", re.ASCII)


@dataclass(frozen=True)
class RemoteFile:
    """One file of a model on the hub; `cached` if it need not be fetched."""

    name: str
    size_bytes: int
    cached: bool


@dataclass(frozen=True)
class DownloadPlan:
    """What a download of `repo_id` at `commit` fetches, in this order; known before it starts."""

    repo_id: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def total_bytes(self) -> int:
        """Of all files, cached or not."""
        return sum(file.size_bytes for file in self.files)

    @property
    def remaining_bytes(self) -> int:
        """Of the files still to be fetched."""
        return sum(file.size_bytes for file in self.files if not file.cached)


def bundled_models() -> dict[str, Path]:
    """Name → directory of the models inside this package."""
    if not _DATA.is_dir():
        return {}
    return {path.name: path for path in sorted(_DATA.iterdir()) if (path / CONFIG).is_file()}


def locate(
    name: str | os.PathLike[str],
    revision: str | None = None,
    *,
    progress: bool = True,
    refresh: bool = False,
) -> Path:
    """The local directory of a model, fetched from the hub if it is not here yet.

    `name` is, in this order: a directory, a bundled model, a hub id ("gpt2", "org/name@revision").
    A complete snapshot in the cache is used without asking the hub; `refresh` asks for a newer one.
    Raises ModelNotFoundError with what to do, RequestError for a revision that cannot apply.
    """
    text = os.fspath(name)
    if not text:
        raise RequestError(
            "The model's name is empty; pass a directory, a bundled name or a hub id."
        )
    path = expand(text)
    local = path if is_dir(path) else bundled_models().get(text)
    if local is not None:
        if revision is not None:
            raise RequestError(
                f"{text}: revision {revision!r} was asked for, but this model is a directory on "
                "this machine; "
                "only hub models have revisions."
            )
        return _refuse_pickles(local)
    repo_id, revision = parse_hub_name(text, revision)
    cached = find_cached(repo_id, revision)
    if cached is not None and not refresh and is_complete(cached):
        return cached
    try:
        return download(plan_download(repo_id, revision), progress=progress)
    except ModelNotFoundError as error:
        if cached is None or refresh or not _has_weights(cached):
            raise
        log.warning("%s: using the cached copy as it is; %s", text, error)
        return cached


def find_here(name: str | os.PathLike[str], revision: str | None = None) -> Path | None:
    """What `locate` would give without asking the hub; None where it would, or would refuse."""
    text = os.fspath(name)
    path = expand(text)
    if text and is_dir(path):
        return path
    if text in bundled_models():
        return bundled_models()[text]
    try:
        cached = find_cached(*parse_hub_name(text, revision))
    except LapwingError:
        return None
    return cached if cached is not None and is_complete(cached) else None


def parse_hub_name(text: str, revision: str | None = None) -> tuple[str, str]:
    """`"org/name@v1"` → `("org/name", "v1")`; the revision is "main" where none is given."""
    repo_id, at, named = text.partition("@")
    if at and revision is not None and named != revision:
        raise RequestError(f"{text}: names revision {named!r}, but revision={revision!r} is given.")
    names = ", ".join(bundled_models()) or "none"
    if exists(expand(text)):
        raise ModelNotFoundError(
            f"{text}: expected a model directory, found a file. Pass the directory that holds "
            f"{CONFIG}."
        )
    looks_local = text.startswith((".", "/", "~", "\\")) or text.endswith(("/", "\\"))
    if looks_local or repo_id.count("/") > 1 or "\\" in text or re.match(r"[A-Za-z]:", text):
        raise ModelNotFoundError(
            f"{text}: no such directory (looked in {Path.cwd()}). Check the path; bundled models: "
            f"{names}; "
            "a hub id is written org/name or org/name@revision."
        )
    if not _REPO_ID.fullmatch(repo_id) or ".." in repo_id or "--" in repo_id:
        raise ModelNotFoundError(
            f"{text!r}: neither a directory, nor a bundled model ({names}), nor a hub id "
            "(org/name, org/name@revision: letters, digits, '-', '_' and '.')."
        )
    revision = named if at else revision or DEFAULT_REVISION
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise RequestError(
            f"{text}: {revision!r} cannot be a revision; expected a branch, a tag or a commit."
        )
    return repo_id, revision


def plan_download(repo_id: str, revision: str | None = None) -> DownloadPlan:
    """Ask the hub which files there are, and choose those Lapwing reads: never a pickle.

    Raises ModelNotFoundError.
    """
    from huggingface_hub import HfApi, constants

    revision = revision or DEFAULT_REVISION
    try:
        info = HfApi().model_info(
            repo_id,
            revision=revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
    except Exception as error:
        raise explain(error, repo_id, revision) from error
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    try:
        named = None if revision == DEFAULT_REVISION else revision
        weights = choose_weights(sizes, repo_id, named)
    except NoWeightsError as problem:
        raise ModelNotFoundError(f"{problem}") from None
    commit = info.sha or revision
    snapshot = _repo_cache(repo_id) / "snapshots" / commit
    # Weights last: a snapshot that has them has everything else.
    wanted = [name for name in SMALL_FILES if name in sizes] + module_files(sizes) + weights
    files = (RemoteFile(name, sizes[name], (snapshot / name).is_file()) for name in wanted)
    return DownloadPlan(repo_id, revision, commit, tuple(files))


def download(plan: DownloadPlan, *, progress: bool = True) -> Path:
    """Fetch what the plan still lacks into the hub's cache; the snapshot's directory.

    A file that is there is not fetched again. Raises ModelNotFoundError.
    """
    from huggingface_hub import hf_hub_download

    _refuse_full_disk(plan)
    snapshot = _repo_cache(plan.repo_id) / "snapshots" / plan.commit
    try:
        with _progress_bars(progress):
            for file in plan.files:
                path = hf_hub_download(plan.repo_id, file.name, revision=plan.commit)
                snapshot = Path(path).parent
            if plan.revision != plan.commit:  # lets the cache know which commit the branch is at
                hf_hub_download(plan.repo_id, plan.files[0].name, revision=plan.revision)
    except Exception as error:
        raise explain(error, plan.repo_id, plan.revision) from error
    return snapshot


def find_cached(repo_id: str, revision: str = DEFAULT_REVISION) -> Path | None:
    """The cached snapshot of a branch, tag or full commit, complete or not; no network."""
    repo = _repo_cache(repo_id)
    try:
        commit = (repo / "refs" / revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = revision
    snapshot = repo / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def is_complete(snapshot: Path) -> bool:
    """Whether a snapshot has a configuration, all its weights and modules, and a tokenizer."""
    has_tokenizer = any(
        (snapshot / n).is_file() for n in ("tokenizer.json", "merges.txt", "vocab.txt")
    )
    has_files = (snapshot / CONFIG).is_file() and has_tokenizer
    return has_files and _has_weights(snapshot) and _has_modules(snapshot)


def _has_weights(snapshot: Path) -> bool:
    try:
        if choose_weights(list_names(snapshot), snapshot.name)[0] == INDEX:
            read_shard_index(snapshot / INDEX)
    except (NoWeightsError, WeightsError, OSError):
        return False
    return True


def _has_modules(snapshot: Path) -> bool:
    """Of a sentence-transformers model; others have none, and that is all of them."""
    try:
        modules = read_sentence_modules(snapshot)
    except ConfigError:
        return False
    return all(_has_weights(snapshot / module.folder) for module in modules.dense)


def _refuse_pickles(directory: Path) -> Path:
    """The directory itself; one without any weights is left to its reader to refuse."""
    try:
        choose_weights(list_names(directory), str(directory))
    except NoWeightsError as problem:
        if problem.only_pickles:
            raise ModelNotFoundError(str(problem)) from None
    except OSError as problem:
        raise ModelNotFoundError(f"{directory}: cannot be listed ({problem.strerror}).") from None
    return directory


def expand(text: str) -> Path:
    """With `~` and `~user` as shells have them, where there is such a user."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~nobody"
        return Path(text)


def free_disk(plan: DownloadPlan) -> tuple[Path, int] | None:
    """A directory of the disk that the download goes to, and its free bytes."""
    cache = _repo_cache(plan.repo_id)
    existing = next((path for path in (cache, *cache.parents) if exists(path)), None)
    return None if existing is None else (existing, shutil.disk_usage(existing).free)


def _refuse_full_disk(plan: DownloadPlan) -> None:
    disk = free_disk(plan)
    if disk is None:
        return
    existing, free = disk
    if free < plan.remaining_bytes:
        raise ModelNotFoundError(
            f"{plan.repo_id}: the download needs {format_bytes(plan.remaining_bytes)}, but the "
            "disk of "
            f"{existing} has {format_bytes(free)} free. Make room, or set HF_HOME to a larger disk."
        )


def _repo_cache(repo_id: str) -> Path:
    """Where huggingface_hub keeps a model: its documented layout, without its slow imports."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}"


@contextmanager
def _progress_bars(show: bool) -> Iterator[None]:
    """With `show` false, huggingface_hub's bars are off inside, and as they were outside."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if show or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
