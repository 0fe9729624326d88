"""The models in huggingface_hub's cache: listed, and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lapwing.errors import ConfigError, ModelNotFoundError
from lapwing.weights.files import CONFIG
from lapwing.weights.jsonfile import read_json_object

if TYPE_CHECKING:
    from huggingface_hub import HFCacheInfo


MIN_COMMIT_DIGITS = 7  # fewer could name more than one commit


@dataclass(frozen=True)
class CachedRevision:
    """One commit of a model; `refs` are the branches and tags known to be at it."""

    commit: str
    refs: tuple[str, ...]
    directory: Path
    size_bytes: int


@dataclass(frozen=True)
class CachedModel:
    """A model in the cache, newest revision first; `size_bytes` counts shared files once."""

    name: str
    revisions: tuple[CachedRevision, ...]
    size_bytes: int
    model_type: str | None  # from config.json; None: not cached or unreadable

    @property
    def directory(self) -> Path:
        """The snapshot of main, or the newest one."""
        return _current(self.revisions).directory


def cached_models() -> list[CachedModel]:
    """Every model in the cache, by name, whoever fetched it."""
    scan = _scan()
    models = []
    for repo in scan.repos if scan else ():
        if repo.repo_type != "model" or not repo.revisions:
            continue
        revisions = tuple(
            CachedRevision(r.commit_hash, tuple(sorted(r.refs)), r.snapshot_path, r.size_on_disk)
            for r in sorted(repo.revisions, key=lambda r: r.last_modified, reverse=True)
        )
        model_type = _model_type(_current(revisions).directory)
        models.append(CachedModel(repo.repo_id, revisions, repo.size_on_disk, model_type))
    return sorted(models, key=lambda model: model.name)


def cached_revisions(repo_id: str, revision: str | None = None) -> list[CachedRevision]:
    """Of a model in the cache, all or one (branch, tag, first digits of a commit).

    Raises ModelNotFoundError where there is none.
    """
    models = {model.name: model for model in cached_models()}
    model = models.get(repo_id)
    if model is None:
        raise ModelNotFoundError(
            f"{repo_id}: not in the cache. Cached models: {', '.join(models) or 'none'}."
        )
    found = [
        r
        for r in model.revisions
        if revision is None
        or revision in r.refs
        or (len(revision) >= MIN_COMMIT_DIGITS and r.commit.startswith(revision))
    ]
    if not found:
        known = ", ".join(" ".join((*r.refs, r.commit[:12])) for r in model.revisions)
        raise ModelNotFoundError(
            f"{repo_id}: revision {revision!r} is not in the cache. Cached: {known}."
        )
    return found


def delete_cached(repo_id: str, revision: str | None = None) -> int:
    """Delete a model, or one revision of it (branch, tag, first digits of a commit).

    Returns the bytes freed; files shared with a revision that stays are kept. Raises
    ModelNotFoundError.
    """
    doomed = cached_revisions(repo_id, revision)
    scan = _scan()
    assert scan is not None  # it listed the model a moment ago
    strategy = scan.delete_revisions(*(r.commit for r in doomed))
    strategy.execute()
    left = [str(r.directory) for r in doomed if r.directory.exists()]
    if left:
        raise ModelNotFoundError(
            f"{repo_id}: could not delete {', '.join(left)}. Check who owns the cache."
        )
    return strategy.expected_freed_size


def _current(revisions: tuple[CachedRevision, ...]) -> CachedRevision:
    return next((r for r in revisions if "main" in r.refs), revisions[0])


def _scan() -> HFCacheInfo | None:
    """None if there is no cache yet."""
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        return scan_cache_dir()
    except CacheNotFound:
        return None


def _model_type(directory: Path) -> str | None:
    try:
        model_type = read_json_object(directory / CONFIG, ConfigError).get("model_type")
    except ConfigError:
        return None
    return model_type if isinstance(model_type, str) else None
