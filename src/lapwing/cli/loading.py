"""A model for a command: what stands in for a slow start is said, the rest is a bar."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lapwing.cli.progress import LoadingBar
from lapwing.cli.terminal import counted

if TYPE_CHECKING:
    from lapwing.engine.model import Model


@contextmanager
def loaded(
    name: str,
    dtype: str,
    threads: str,
    revision: str | None,
    *,
    load: str,
    store: bool,
    rising: bool = False,
    governing: Mapping[str, Any] | None = None,
    bar: LoadingBar | None = None,
    quiet: bool,
) -> Iterator[Model]:
    """Loads a model and closes it; the NumPy reference is announced, unless quiet.

    bar: the caller's own, which may go on behind this; else there is one until the model is here.
    """
    if quiet:
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    from lapwing import backends
    from lapwing.engine import load as engine

    backend = backends.create(threads=threads)
    if backend.name == "reference" and not quiet:
        from lapwing.cli.first_run import warn_of_reference

        warn_of_reference(backend)
    own = LoadingBar("loading", wanted=not quiet and bar is None)
    with own:
        model = engine.load(
            name,
            dtype,
            threads=threads,
            revision=revision,
            load=load,
            store=store,
            rising=rising,
            on_progress=bar or own,
            **(governing or {}),
        )
    with model:
        yield model


def at_work(model: Model) -> str:
    """What a closing line ends with: `'int8, cpu avx2, 2 threads'`."""
    return f"{model.dtype}, {model.backend} {model.isa}, {_threads(model)}"


def _threads(model: Model) -> str:
    few, many = model.threads, model.prefill_threads
    return counted(few, "thread") + ("" if few == many else f" ({many} in prefill)")


def at_work_json(model: Model) -> dict[str, object]:
    """The same for a report."""
    return {
        "dtype": model.dtype,
        "backend": model.backend,
        "isa": model.isa,
        "threads": model.threads,
        "prefill_threads": model.prefill_threads,
    }
