"""Causal models: what the reference finds likely on a text, and what candidates lose to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lapwing.bench.quality import measure, reference
from lapwing.bench.quality.measure import LiveReference, Progress
from lapwing.bench.quality.opened import Opened
from lapwing.bench.quality.predict import ModelPredictor
from lapwing.bench.quality.reference import Facts, Keeper, digest_of
from lapwing.bench.quality.request import Cut, Request, Text, tokenizer_digest
from lapwing.bench.quality.result import EvalResult, Quality
from lapwing.bench.quality.windows import Window, windows
from lapwing.engine.model import Model
from lapwing.errors import FileError, RequestError

DEFAULT_TOKENS = 8192
DEFAULT_WINDOW = 512
CHARACTERS = 64  # a token, at most on average: what lies behind is not tokenized


def encode(model: Model, text: Text, tokens: int) -> tuple[list[int], int | None]:
    """The first tokens of a text, and how many there are in all; None where nobody has counted."""
    part = text.content[: CHARACTERS * tokens]
    ids = model.tokenizer.encode(part)
    if len(part) < len(text.content) and len(ids) < tokens + CHARACTERS:
        part = text.content
        ids = model.tokenizer.encode(part)
    return ids[:tokens], len(ids) if len(part) == len(text.content) else None


def run(request: Request, progress: Progress | None) -> EvalResult:
    """See evaluate.evaluate."""
    text, others = request.text, request.others
    if text is None or request.pairs:
        raise RequestError("a causal language model is measured on a text; pairs are for encoders")
    first = request.candidates[0]
    held: Facts | None = None
    known: measure.Reference
    if isinstance(request.truth, Path):
        held, known = reference.read_kept(request.truth)
        cut = _cut_of(request.truth, held, request.cut)
    else:
        cut = _cut_for([*request.candidates, request.truth], request.cut)
    ids, in_text = encode(first.model, text, cut.tokens)
    facts = _facts(first, text, replace(cut, tokens=len(ids)))
    keeper = None
    if held is not None:
        reference.require_same(request.file, held, facts, other_checkpoint=request.other_checkpoint)
        blocks = _first_blocks(reference.windows_of(held), request.cut.tokens)
        if blocks[-1].end > len(ids):
            raise FileError(
                f"{request.file}: tells of {blocks[-1].end} tokens, and the text has {len(ids)}. "
                "The file is damaged: make it again with --save-reference."
            )
    else:
        own, blocks = request.model, windows(len(ids), cut.window, cut.stride)
        _require_same_vocabulary(own, request.candidates)
        if request.save is not None:
            keeper = Keeper(sum(each.scored for each in blocks), own.model.config.vocab_size)
        known = LiveReference(
            ModelPredictor(own.model, own.precision), None if keeper is None else keeper.add
        )
    measured = measure.measure(
        ids,
        blocks,
        known,
        [ModelPredictor(each.model, each.precision) for each in others],
        seconds=cut.seconds,
        progress=progress,
    )
    done = blocks[: measured.blocks]
    scored = sum(each.scored for each in done)
    if keeper is not None and request.save is not None:
        told = replace(_facts(request.model, text, cut), tokens=len(ids), blocks=len(done))
        reference.write(request.save, told, keeper.arrays(scored))
    rows = [_reference_row(request, held, measured)]
    rows += [
        measure.quality(
            each.title,
            each.dtype,
            tally,
            measured.reference,
            held_bytes=each.held_bytes,
        )
        for each, tally in zip(others, measured.candidates, strict=True)
    ]
    stopped = measured.stopped
    if stopped == "text" and (in_text is None or done[-1].end < in_text):
        stopped = "tokens"
    return EvalResult(
        kind="causal",
        reference=request.label(held),
        text=text.name,
        rows=tuple(rows),
        stopped=stopped,
        scored=scored,
        blocks=len(done),
        took_s=measured.took_s,
        tokens=done[-1].end,
        tokens_in_text=in_text,
        window=cut.window,
        stride=cut.stride,
    )


@dataclass(frozen=True)
class Exactly:
    """A Cut with nothing left open."""

    tokens: int
    window: int
    stride: int
    seconds: float | None


def _cut_for(opened: Sequence[Opened], cut: Cut) -> Exactly:
    """As it suits all models."""
    limit = min(each.model.context_length for each in opened)
    window = min(limit, DEFAULT_WINDOW) if cut.window is None else cut.window
    if window > limit:
        raise RequestError(f"window: {window} tokens exceed the context of {limit}")
    tokens = DEFAULT_TOKENS if cut.tokens is None else cut.tokens
    stride = max(1, window // 2) if cut.stride is None else cut.stride
    return Exactly(tokens, window, stride, cut.seconds)


def _cut_of(path: Path, facts: Facts, cut: Cut) -> Exactly:
    """As a reference was cut. Raises RequestError where something else was asked for."""
    for name in ("window", "stride"):
        asked, has = getattr(cut, name), getattr(facts, name)
        if asked not in (None, has):
            raise RequestError(f"{name}: {path} was made with {has}; got {asked}")
    return Exactly(facts.tokens, facts.window, facts.stride, cut.seconds)


def _first_blocks(blocks: list[Window], tokens: int | None) -> list[Window]:
    """Those within the first tokens; all for None."""
    if tokens is None:
        return blocks
    within = [each for each in blocks if each.end <= tokens]
    if not within:
        raise RequestError(f"tokens: expected {blocks[0].end} or more, got {tokens}")
    return within


def _require_same_vocabulary(own: Opened, candidates: Sequence[Opened]) -> None:
    for each in candidates:
        if each.model is own.model:
            continue
        same = each.model.config.vocab_size == own.model.config.vocab_size
        if not same or tokenizer_digest(each.model) != tokenizer_digest(own.model):
            raise RequestError(
                f"{each.title} and {own.title} have different tokenizers or vocabularies; token by "
                "token they cannot be compared"
            )


def _facts(opened: Opened, text: Text, cut: Exactly) -> Facts:
    model = opened.model
    return Facts(
        kind="causal",
        model=opened.title,
        dtype=opened.dtype,
        fingerprint=model.fingerprint,
        tokenizer=tokenizer_digest(model),
        text=digest_of(text.content),
        text_name=text.name,
        width=model.config.vocab_size,
        tokens=cut.tokens,
        window=cut.window,
        stride=cut.stride,
    )


def _reference_row(request: Request, held: Facts | None, measured: measure.Measured) -> Quality:
    if held is not None:
        row = measure.own_quality(held.model, held.dtype, measured.reference)
        missing = {**row.not_measured, "held_bytes": "the reference is a file"}
        return replace(row, not_measured=missing)
    own = request.model
    return measure.own_quality(own.title, own.dtype, measured.reference, held_bytes=own.held_bytes)
