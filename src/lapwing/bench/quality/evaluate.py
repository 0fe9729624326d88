"""`lapwing.evaluate`: any precision or checkpoint against another, on one's own text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lapwing.bench.quality import causal, encoders
from lapwing.bench.quality.measure import Progress
from lapwing.bench.quality.opened import Models, Name, Opened, as_dtypes
from lapwing.bench.quality.pairs import Pair, read_pairs
from lapwing.bench.quality.reference import is_reference
from lapwing.bench.quality.request import Cut, Request, Text, read_text
from lapwing.bench.quality.result import EvalResult
from lapwing.engine.model import Model
from lapwing.errors import RequestError

DEFAULT_SECONDS = 45.0  # with loading, under a minute


def evaluate(
    model: Name | Model,
    dtype: object = None,
    *,
    text: str | os.PathLike[str] | None = None,
    pairs: os.PathLike[str] | Sequence[os.PathLike[str]] | Sequence[Pair] = (),
    reference: Name | Model | None = None,
    reference_dtype: object = None,
    other_checkpoint: bool = False,
    save_reference: os.PathLike[str] | None = None,
    tokens: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    seconds: float | None = DEFAULT_SECONDS,
    on_progress: Progress | None = None,
    **loading: Any,
) -> EvalResult:
    """Measures what precisions of a model lose to a reference on a text.

    model: a name or directory, loaded at each dtype (`"int8,int4"`, a list; Plans and their files
    are dtypes, too), or a loaded model, at precisions it serves. text: a str is the text itself, a
    path a UTF-8 file; an encoder reads it line by line. pairs: of an encoder, files of labelled
    pairs (pairs.read_pairs). reference: another checkpoint, a loaded model, or a file of
    `save_reference`; by default the same checkpoint, at reference_dtype (f32). other_checkpoint:
    a reference file may be of another checkpoint with the same tokenizer.

    tokens: of the text, from its beginning, 8192 by default. window, stride: see windows.windows;
    the context, 512 at most, and half a window. seconds: after which no block is begun (None:
    however long). Ctrl-C gives what was measured until then. Other arguments are those of `load`.

    Raises RequestError, FileError, and what `load` raises.
    """
    source, labelled = _texts(text, pairs)
    cut = Cut(tokens, window, stride, seconds)
    with Models(**loading) as models:
        default = model.precisions if isinstance(model, Model) else ("int8", "int4")
        candidates = [
            models.open(model, each) for each in as_dtypes(default if dtype is None else dtype)
        ]
        kinds = {each.kind for each in candidates}
        truth = _open_reference(models, model, reference, reference_dtype)
        if isinstance(truth, Path) and save_reference is not None:
            raise RequestError("save_reference: the reference is a file already")
        if isinstance(truth, Opened):
            kinds.add(truth.kind)
        if len(kinds) > 1:
            raise RequestError("an encoder cannot be compared with a causal language model")
        request = Request(
            candidates,
            truth,
            source,
            labelled,
            cut,
            other_checkpoint,
            None if save_reference is None else Path(save_reference),
        )
        run = encoders.run if "encoder" in kinds else causal.run
        return run(request, on_progress)


def _texts(
    text: str | os.PathLike[str] | None,
    pairs: os.PathLike[str] | Sequence[os.PathLike[str]] | Sequence[Pair],
) -> tuple[Text | None, list[Pair]]:
    source = None
    if isinstance(text, str):
        source = Text(text, "the given text")
    elif text is not None:
        source = Text(read_text(Path(text)), Path(text).name)
    given: list[Any] = [pairs] if isinstance(pairs, (str, os.PathLike)) else list(pairs)
    labelled = [each for each in given if isinstance(each, Pair)]
    labelled += read_pairs([Path(each) for each in given if not isinstance(each, Pair)])
    if source is None and not labelled:
        raise RequestError("nothing to read: give a text (or, for an encoder, labelled pairs)")
    return source, labelled


def _open_reference(
    models: Models, model: Name | Model, given: Name | Model | None, dtype: object
) -> Opened | Path:
    if isinstance(given, Model):
        return models.open(given, dtype)
    if given is not None:
        # A plane store is a file, too, and a model.
        if Path(given).is_file() and is_reference(Path(given)):
            return Path(given)
        return models.open(given, dtype or "f32")
    if isinstance(model, Model):
        raise RequestError(
            "reference: a loaded model is compared with another loaded model, a name, or a file"
        )
    return models.open(model, dtype or "f32")
