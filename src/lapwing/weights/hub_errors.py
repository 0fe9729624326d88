"""What went wrong between here and the hub, in the words of someone who wants a model."""

from __future__ import annotations

import errno

from lapwing.errors import ModelNotFoundError


def explain(error: Exception, repo_id: str, revision: str) -> ModelNotFoundError:
    """The error to raise for whatever huggingface_hub raised while asking for a model."""
    if isinstance(error, ModelNotFoundError):
        return error
    return ModelNotFoundError(_text(error, repo_id, revision))


def _text(error: BaseException, repo_id: str, revision: str) -> str:
    from huggingface_hub import constants, errors

    hub = constants.ENDPOINT
    status = getattr(getattr(error, "response", None), "status_code", None)
    token = "set HF_TOKEN (or run `hf auth login`)"

    if isinstance(error, errors.GatedRepoError):
        if status == 403:
            return (
                f"{repo_id}: the model is gated and your token has no access to it (403). "
                f"Ask for access at {hub}/{repo_id} with the account that the token belongs to."
            )
        return (
            f"{repo_id}: the model is gated ({status}). "
            f"Accept its terms at {hub}/{repo_id}, then {token}."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"{repo_id}: the hub has no revision {revision!r} of it. "
            f"Expected a branch, a tag or a full commit; see {hub}/{repo_id}/tree/main."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"{repo_id}: no such model at {hub}, or it is private; nor is there a directory of "
            "that name here. "
            f"Check the spelling (org/name); for a private model {token}."
        )
    if isinstance(error, errors.EntryNotFoundError) and isinstance(error, errors.HfHubHTTPError):
        return f"{repo_id}: a listed file is gone from the hub ({error}). Try again."
    if isinstance(error, errors.OfflineModeIsEnabled):
        return (
            f"{_at(repo_id, revision)}: not in the cache ({constants.HF_HUB_CACHE}), and "
            "HF_HUB_OFFLINE forbids "
            "the network. Unset HF_HUB_OFFLINE, or fetch the model once while online."
        )
    if isinstance(error, errors.HfHubHTTPError):
        return _status_text(error, status, repo_id, hub, token)
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _text(error.__cause__, repo_id, revision)
    if isinstance(error, errors.HFValidationError):
        return f"{repo_id}: not a name the hub accepts ({error})."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{repo_id}: the disk of {constants.HF_HUB_CACHE} is full. "
            "Make room, or set HF_HOME to a larger disk; whole files that are there are kept."
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{repo_id}: {error.filename or constants.HF_HUB_CACHE} cannot be written "
            f"({error.strerror}). "
            "Set HF_HOME to a directory of yours."
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{_at(repo_id, revision)}: {hub} could not be reached, or the connection broke "
        f"({reason}). "
        "Check the network, the proxy and HF_ENDPOINT, and try again: whole files that are there "
        "are kept."
    )


def _status_text(error: Exception, status: int | None, repo_id: str, hub: str, token: str) -> str:
    if status == 401:
        return f"{repo_id}: {hub} does not accept the token (401). Check it: {token} anew."
    if status == 403:
        return (
            f"{repo_id}: {hub} forbids access (403). Check what the token may read: {token} anew."
        )
    if status == 429:
        return (
            f"{repo_id}: too many requests to {hub} (429). "
            f"Wait some minutes, or {token} for a higher limit."
        )
    if status is not None and status >= 500:
        return f"{repo_id}: {hub} is out of order ({status}). Try again later."
    return f"{repo_id}: {hub} answered {status} ({' '.join(str(error).split())})."


def _at(repo_id: str, revision: str) -> str:
    return repo_id if revision == "main" else f"{repo_id}@{revision}"
