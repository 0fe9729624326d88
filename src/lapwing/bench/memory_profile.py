"""What a model's memory consists of, and how it grows through load, prefill and decode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lapwing.bench.configuration import Configuration, Request
from lapwing.bench.contestant import (
    DECODE,
    LIBRARIES,
    LOADING,
    PHASES,
    PREFILL,
    PYTHON,
    Contestant,
    watch_memory,
)
from lapwing.bench.measure.sampler import Point, Sampled, Sampler
from lapwing.bench.session import Session
from lapwing.errors import RequestError

TOKENIZER = "tokenizer"
PARTS = (PYTHON, LIBRARIES, TOKENIZER, "weights", "kv cache", "activations and scratch")


@dataclass(frozen=True)
class Part:
    """Bytes of one part. held: by accounting; private and mapped: what the process grew by.

    mapped: pages of files, which others who map them share and the system can drop. None: not
    measured, or of no meaning here; `reason` says why.
    """

    name: str
    held_bytes: int | None = None
    private_bytes: int | None = None
    mapped_bytes: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class MemoryProfile:
    """Of one process. peak: the most of each kind in each phase; timeline: as it was seen."""

    model: str
    dtype: str
    load: str
    n_prompt: int
    n_gen: int
    parts: tuple[Part, ...]
    peaks: Mapping[str, Mapping[str, int]]
    peak_rss_bytes: int | None
    peak_pss_bytes: int | None
    peak_swap_bytes: int | None
    timeline: tuple[Point, ...] = field(repr=False, default=())
    reason: str | None = None


def profile_memory(
    model: str, dtype: str = "auto", n_prompt: int = 128, n_gen: int = 64, *, work: Path,
    revision: str | None = None, load: str = "auto",
) -> MemoryProfile:  # fmt: skip
    """Runs a model in a fresh process and looks at its memory every millisecond.

    The tokenizer is opened in a process of its own, since loading opens it beside the weights.
    Raises what `load` raises, and RequestError for more tokens than the model has positions.
    """
    configuration = Configuration(dtype, n_prompt=n_prompt, n_gen=n_gen, load=load)
    request = Request(model, "memory", (configuration,), work, revision=revision)
    session = Session(request)
    session.make_ready()
    facts = session.facts[dtype]
    if n_prompt + n_gen > facts["context_length"] and facts["kind"] == "causal":
        raise RequestError(
            f"{n_prompt} + {n_gen} tokens exceed the model's {facts['context_length']} positions"
        )
    seen, told = watch_memory(request, configuration)
    tokenizer = _tokenizer(request, configuration, facts["directory"])
    return MemoryProfile(
        model=model,
        dtype=facts["dtype"],
        load=told["load"],
        n_prompt=n_prompt,
        n_gen=n_gen if facts["kind"] == "causal" else 0,
        parts=_parts(seen, told, tokenizer, facts),
        peaks={
            phase: {kind: amount.peak for kind, amount in kinds.items()}
            for phase, kinds in seen.phases.items()
        },
        peak_rss_bytes=seen.peak("rss", *PHASES),
        peak_pss_bytes=seen.peak("pss", *PHASES),
        peak_swap_bytes=seen.peak("swap", *PHASES),
        timeline=seen.timeline,
        reason=seen.reason,
    )


def _tokenizer(request: Request, configuration: Configuration, directory: str) -> Sampled:
    """Memory of a process that opens the tokenizer alone."""
    one = Contestant(request, configuration)
    one.start()
    assert one.worker is not None
    try:
        with Sampler(one.worker.pid) as sampler:
            sampler.phase(PYTHON)
            one.ask("import")
            sampler.phase(TOKENIZER)
            one.ask("tokenizer", directory=directory)
            return sampler.stop()
    finally:
        one.close()


def _parts(
    seen: Sampled, told: Mapping[str, int | None], tokenizer: Sampled, facts: Mapping[str, object]
) -> tuple[Part, ...]:
    if seen.reason is not None:
        return tuple(Part(name, reason=seen.reason) for name in PARTS)
    python = Part(PYTHON, None, *_at_end(seen, PYTHON))
    libraries = Part(LIBRARIES, None, *_growth(seen, LIBRARIES))
    if facts["tokenizer"]:
        own = Part(TOKENIZER, None, *_growth(tokenizer, TOKENIZER))
    else:
        own = Part(TOKENIZER, reason="the model has none")
    own_private, own_mapped = own.private_bytes or 0, own.mapped_bytes or 0
    private, mapped = _growth(seen, LOADING)
    # Passes read pages of a mapping as they come to them: those are weights, too.
    later = [_growth(seen, phase) for phase in (PREFILL, DECODE) if phase in seen.phases]
    mapped = (mapped or 0) + sum(m or 0 for _, m in later) - own_mapped
    weights = Part("weights", told["held_bytes"], (private or 0) - own_private, mapped)
    kv = told["kv_bytes"]
    cache = Part("kv cache", kv, kv, 0 if kv is not None else None,
                 None if kv is not None else "an encoder keeps no cache")  # fmt: skip
    worked = sum(p or 0 for p, _ in later) - (kv or 0)
    scratch = Part("activations and scratch", None, worked, 0)
    return python, libraries, own, weights, cache, scratch


def _at_end(seen: Sampled, phase: str) -> tuple[int | None, int | None]:
    """(private, mapped) when the phase ended."""
    rss, anon = seen.get(phase, "rss"), seen.get(phase, "anon")
    return (None, None) if rss is None or anon is None else (anon.last, rss.last - anon.last)


def _growth(seen: Sampled, phase: str) -> tuple[int | None, int | None]:
    """What was added in it."""
    rss, anon = seen.get(phase, "rss"), seen.get(phase, "anon")
    if rss is None or anon is None:
        return None, None
    private = anon.last - anon.first
    return private, rss.last - rss.first - private
