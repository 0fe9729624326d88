"""What a worker answers about one of Lapwing's models: open, prepare, run, and what it holds.

TTFT is from the call to the first text, tokenizing included; a gap is between two tokens (ITL);
TPOT is from the first token to the last, per token after the first.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lapwing.bench.text import DEFAULT_TEXT, text_of_tokens

UNCOUNTED_S = 0.1  # a run shorter than that has another before it that does not count


class Work(Protocol):
    """Something that can be run again and again."""

    described: Described

    def run(self) -> dict[str, Any]:
        """Seconds, and what else was seen."""


class Subject:
    """At most one open model."""

    def __init__(self) -> None:
        self._model: Any = None
        self._work: Work | None = None

    def answer(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request."""
        answered: dict[str, Any] = getattr(self, f"do_{do}")(**arguments)
        return answered

    def do_import(self) -> dict[str, Any]:
        """All that loading needs."""
        import lapwing.engine.load  # noqa: F401

        return {}

    def do_open(
        self, model: str, dtype: str, threads: str, revision: str | None, load: str
    ) -> dict[str, Any]:
        """Facts of the loaded model."""
        import lapwing

        began_s = time.perf_counter()
        self._model = lapwing.load(model, dtype, threads=threads, revision=revision, load=load)
        load_s = time.perf_counter() - began_s
        return {"load_s": load_s, "facts": facts_of(self._model)}

    def do_prepare(self, **work: Any) -> dict[str, Any]:
        """Of one kind: generate, embed. How many tokens go in, really."""
        kinds: Mapping[str, Any] = {"generate": Generating, "embed": Embedding}
        made: Work = kinds[work.pop("kind")](self._model, **work)
        self._work = made
        return {"described": vars(made.described)}

    def do_run(self) -> dict[str, Any]:
        """Once."""
        assert self._work is not None
        return self._work.run()

    def do_turn(self, at_least_s: float) -> dict[str, Any]:
        """Runs for at least so long, once at least; a short one has company that does not count."""
        assert self._work is not None
        began_s = time.perf_counter()
        runs = [self._work.run()]
        if time.perf_counter() - began_s < min(UNCOUNTED_S, at_least_s):
            runs.clear()  # others had the caches since its last turn
            began_s = time.perf_counter()
        while not runs or time.perf_counter() - began_s < at_least_s:
            runs.append(self._work.run())
        return {"runs": runs}

    def do_prefill(self, tokens: int) -> dict[str, Any]:
        """A prompt of so many tokens into a cache, or a text to its vector."""
        model, ids = self._model, ids_of(self._model, tokens)
        if model.kind == "causal language model":
            self._cache = model.kv_cache(min(2 * tokens, model.context_length))
            model.forward_with_kv_cache(ids, self._cache, last_only=True)
        else:
            model(ids)
        return {"tokens": len(ids)}

    def do_decode(self, tokens: int) -> dict[str, Any]:
        """So many tokens behind the prompt of `prefill`."""
        room = min(tokens, self._cache.capacity - self._cache.length)
        for token in ids_of(self._model, room):
            self._model.forward_with_kv_cache([token], self._cache)
        return {"tokens": room, "kv_bytes": self._cache.nbytes}

    def do_tokenizer(self, directory: str) -> dict[str, Any]:
        """Opens a tokenizer by itself, and uses it."""
        from lapwing.text.tokenizer import Tokenizer

        self._tokenizer = Tokenizer.open(Path(directory))
        self._tokenizer.encode(DEFAULT_TEXT)
        return {}

    def do_files(self) -> dict[str, Any]:
        """Files that are mapped, and hold no code."""
        found = set()
        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line.split(maxsplit=5)[5:]
            if path and path[0].startswith("/") and " r-xp" not in line:
                found.add(path[0])
        return {"files": sorted(f for f in found if ".so" not in f and Path(f).is_file())}

    def do_close(self) -> dict[str, Any]:
        """Gives the model up."""
        self._model.close()
        return {}


class Described:
    """What a work turned out to be."""

    def __init__(self, n_prompt: int, n_gen: int, n_depth: int, batch: int, given: str) -> None:
        self.n_prompt, self.n_gen, self.n_depth = n_prompt, n_gen, n_depth
        self.batch, self.input = batch, given


class Generating:
    """Prompts of text and tokens behind them; the end of a text is ignored.

    n_depth: tokens that are in the cache before the clock starts. batch: prompts side by side.
    """

    def __init__(
        self, model: Any, n_prompt: int, n_gen: int, n_depth: int = 0, batch: int = 1,
        text: str | None = None,
    ) -> None:  # fmt: skip
        self._model, self._n_gen, self._batch = model, n_gen, batch
        self._prompt, given = prompt_of(model, n_prompt, text)
        ids = self._prompt if not isinstance(self._prompt, str) else encode(model, self._prompt)
        self._ids = list(ids)
        self.described = Described(len(self._ids), n_gen, n_depth, batch, given)
        self._cache: Any = None
        if n_depth:
            self._cache = model.kv_cache(n_depth + len(self._ids) + n_gen)
            model.forward_with_kv_cache(ids_of(model, n_depth), self._cache, last_only=True)
        self._depth = n_depth

    def run(self) -> dict[str, Any]:
        """See Work."""
        if self._cache is not None:
            return self._run_at_depth()
        return self._run_alone() if self._batch == 1 else self._run_batch()

    def _run_alone(self) -> dict[str, Any]:
        began_s = time.perf_counter()
        stream = self._model.stream(
            self._prompt, max_tokens=self._n_gen, temperature=0, ignore_eos=True
        )
        for _ in stream:
            pass
        seconds = time.perf_counter() - began_s
        told, times_s = stream.result.timings, stream.token_times_s
        return {
            "seconds": seconds,
            "prefill_s": told.prefill_s,
            "ttft_s": told.ttft_s,
            "tpot_s": told.tpot_s,
            "itl_s": [b - a for a, b in itertools.pairwise(times_s)],
        }

    def _run_at_depth(self) -> dict[str, Any]:
        """The prompt and then the tokens behind what the cache holds already."""
        model, cache = self._model, self._cache
        times_s = [time.perf_counter()]
        logits, _ = model.forward_with_kv_cache(self._ids, cache, last_only=True)
        times_s.append(time.perf_counter())
        for _ in range(self._n_gen - 1):
            token = int(np.argmax(logits[-1]))
            logits, _ = model.forward_with_kv_cache([token], cache)
            times_s.append(time.perf_counter())
        cache.truncate(self._depth)
        gaps_s = [b - a for a, b in itertools.pairwise(times_s[1:])]
        return {
            "seconds": times_s[-1] - times_s[0],
            "prefill_s": times_s[1] - times_s[0],
            "ttft_s": None,
            "tpot_s": sum(gaps_s) / len(gaps_s) if gaps_s else None,
            "itl_s": gaps_s,
        }

    def _run_batch(self) -> dict[str, Any]:
        began_s = time.perf_counter()
        results = self._model.batch_generate(
            [self._prompt] * self._batch, batch_size=self._batch, max_tokens=self._n_gen,
            temperature=0, ignore_eos=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began_s
        first = results[0].timings
        return {
            "seconds": seconds,
            "prefill_s": first.prefill_s,
            "ttft_s": first.ttft_s,
            "tpot_s": first.tpot_s,
            "itl_s": [],
        }


class Embedding:
    """Texts of a length to vectors; tokenizing is part of it."""

    def __init__(self, model: Any, n_prompt: int, batch: int = 1, text: str | None = None) -> None:
        self._model = model
        one, given = prompt_of(model, min(n_prompt, model.max_length), text)
        self._texts = [one] * batch
        n = len(encode(model, one))
        self.described = Described(n, 0, 0, batch, given)

    def run(self) -> dict[str, Any]:
        """See Work."""
        began_s = time.perf_counter()
        self._model.embed(self._texts)
        seconds = time.perf_counter() - began_s
        return {"seconds": seconds}


def facts_of(model: Any) -> dict[str, Any]:
    """What was chosen for a loaded model, and how large it is."""
    weights = sum(p.N * p.K for p in model.parameters)
    held = model.estimate_memory_usage()
    return {
        "directory": str(model._checkpoint.directory),
        "kind": "encoder" if "embed" in model.verbs else "causal",
        "model_type": model.config.model_type,
        "n_params": weights,
        "held_bytes": held,
        "bits_per_weight": 8 * held / weights,
        "bytes_per_token": sum(p.bytes_per_token(model.dtype) for p in model.parameters),
        "dtype": model.dtype,
        "requested_dtype": model.requested_dtype,
        "stored_dtype": model.stored_dtype,
        "backend": model.backend,
        "isa": model.isa,
        "threads": model.threads,
        "prefill_threads": model.prefill_threads,
        "load": model.load,
        "context_length": model.context_length,
        "vocab_size": model.config.vocab_size,
        "weights_digest": model.weights_digest,
        "tokenizer": has_tokenizer(model),
    }


def has_tokenizer(model: Any) -> bool:
    """Waits for it."""
    from lapwing.errors import TokenizerError

    try:
        model.tokenizer  # noqa: B018
    except TokenizerError:
        return False
    return True


def encode(model: Any, text: str) -> list[int]:
    """As the model reads texts."""
    return list(model.tokenizer.encode(text))


def ids_of(model: Any, count: int) -> list[int]:
    """So many ids from anywhere in the vocabulary, always the same."""
    return random_ids(model.config.vocab_size, count)


def random_ids(vocab_size: int, count: int, seed: int = 0) -> list[int]:
    """Anywhere in the vocabulary but at its first ids, which are special in many."""
    low = min(1000, vocab_size // 4)
    drawn = np.random.default_rng(seed).integers(low, vocab_size, count)
    return [int(token) for token in drawn]


def prompt_of(model: Any, count: int, text: str | None) -> tuple[Any, str]:
    """(text of so many tokens, its source); ids where the model has no tokenizer."""
    if not has_tokenizer(model):
        return ids_of(model, count), "random ids, seed 0: the model has no tokenizer"
    source = DEFAULT_TEXT if text is None else text
    return text_of_tokens(model.tokenizer, count, source), "text" if text else "built-in text"


def handler() -> Subject:
    """For the worker."""
    return Subject()
