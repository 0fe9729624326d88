"""A loaded encoder: texts → vectors, beside all that its heads do."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lapwing.backends.base import Floats
from lapwing.engine.encoder_heads import HeadedEncoder, at_least_one, sequences_of
from lapwing.engine.encoding import batch_limit, tokens_of_a_pass
from lapwing.engine.model import Loaded
from lapwing.engine.pass_size import PassSize
from lapwing.engine.read_ahead import tokenized_windows
from lapwing.engine.result import EmbeddedTexts
from lapwing.errors import RequestError
from lapwing.models.base import Encoder
from lapwing.models.sentence import SentenceHead
from lapwing.text.tokenizer import Encoded

log = logging.getLogger("lapwing.engine")


class EncoderModel(HeadedEncoder):
    """Reads whole texts: every token sees all others. Made by `lapwing.load`."""

    def __init__(self, loaded: Loaded, network: Encoder, sentence: SentenceHead) -> None:
        super().__init__(loaded, network)
        self._sentence = sentence

    @property
    def embedding_size(self) -> int:
        """Numbers of a vector."""
        return self._sentence.width

    @property
    def max_length(self) -> int:
        """Tokens of a text that are read, special ones included: what the checkpoint asks for."""
        limits = (self._sentence.modules.max_seq_length, self.tokenizer.max_length)
        return min((limit for limit in limits if limit), default=self.context_length)

    def embed(
        self,
        texts: str | Iterable[str],
        normalize: bool = True,
        batch_size: int | str = "auto",
        **arguments: Any,
    ) -> Floats:
        """Vectors of texts, in their order: float32 [n, D]; of one str, [D].

        Pooled as the checkpoint's modules say (sentence-transformers), else by the mean.
        normalize: to unit length; False leaves even the checkpoint's own Normalize module out.
        batch_size: texts of a pass; auto packs as many tokens as a pass is best at, which long jobs
        find out once for this machine and model. Other arguments: those of `embed_stream`. Texts
        that are cut are reported in the log.
        """
        if isinstance(texts, str):
            return self.embed([texts], normalize, batch_size, **arguments)[0]
        vectors = [np.empty((0, self.embedding_size), np.float32)]
        count, truncated = 0, []
        for part in self.embed_stream(texts, normalize, batch_size, **arguments):
            vectors.append(part.vectors)
            truncated += part.truncated
            count += len(part.vectors)
        if truncated:
            limit = arguments.get("max_length") or self.max_length
            log.warning(
                "%d of %d texts were cut to %d tokens; the first is texts[%d]",
                *(len(truncated), count, limit, truncated[0]),
            )
        return np.concatenate(vectors)

    def embed_stream(
        self,
        texts: Iterable[str],
        normalize: bool = True,
        batch_size: int | str = "auto",
        *,
        max_length: int | None = None,
        truncate: bool = True,
        prompt_name: str | None = None,
        dtype: str | None = None,
    ) -> Iterator[EmbeddedTexts]:
        """As `embed`, stretch by stretch as they are done; `texts` is read only a little ahead.

        max_length: tokens of a text, special ones included; by default what the checkpoint asks
        for. truncate: cut what is longer; False refuses it. prompt_name: which of the checkpoint's
        prompts to put before every text; by default its default one. dtype: precision of the
        passes, if not the model's.
        """
        if isinstance(texts, str):
            raise RequestError("texts: expected several, got one str; put it in a list")
        self._check_open()
        precision = self._precision(dtype)
        limit, prompt = self._limit(max_length), self._prompt(prompt_name)
        max_sequences = batch_limit(batch_size)
        if not self._sentence.modules.found:
            log.warning(
                "%s has no modules.json, so its vectors are means of hidden states; it may have "
                "been trained for others",
                self._checkpoint.directory,
            )
        size: PassSize | None = None  # for more than a window
        max_tokens, start = tokens_of_a_pass(self.config), 0

        def encode(window: list[str]) -> list[Encoded]:
            return self._encode([self._prepared(text, prompt) for text in window], limit)

        for encoded in tokenized_windows(texts, encode):
            truncated = [
                start + i for i, text in enumerate(encoded) if text.full_length > len(text.ids)
            ]
            if truncated and not truncate:
                full = encoded[truncated[0] - start].full_length
                raise RequestError(
                    f"texts[{truncated[0]}] has {full} tokens; {limit} are read. Shorten it, or "
                    "let it be cut with truncate=True."
                )
            for i, text in enumerate(encoded):
                if not text.ids:
                    raise RequestError(
                        f"texts[{start + i}] has no tokens, and so no vector: this model adds no "
                        "special ones"
                    )
            vectors = np.empty((len(encoded), self.embedding_size), np.float32)
            if start and size is None and max_sequences is None:
                size = PassSize.of(self.config, self._backend, precision)
            if size is not None:
                max_tokens = size.tokens
            sequences = sequences_of(encoded, max_tokens, max_sequences)
            counts = [len(text.ids) for text in encoded]
            began_s, paused_s = time.perf_counter(), self.governor.pauses.paused_s
            for group, h, step in self._passes.run(sequences, precision):
                vectors[group] = self._sentence(h, step, normalize=normalize)
            if size is not None and paused_s == self.governor.pauses.paused_s:
                size.took(sum(counts), time.perf_counter() - began_s)
            yield EmbeddedTexts(start, vectors, counts, truncated)
            start += len(encoded)

    # Checks.

    def _limit(self, max_length: int | None) -> int:
        if max_length is None:
            return min(self.max_length, self.context_length)
        at_least_one("max_length", max_length)
        if max_length > self.context_length:
            raise RequestError(
                f"max_length: {max_length} tokens exceed the model's {self.context_length}"
            )
        return max_length

    def _prompt(self, name: str | None) -> str:
        modules = self._sentence.modules
        name = modules.default_prompt_name if name is None else name
        if name is None:
            return ""
        if not modules.prompts:
            raise RequestError(f"prompt_name: this checkpoint has no prompts; got {name!r}")
        if name not in modules.prompts:
            known = ", ".join(modules.prompts)
            raise RequestError(f"prompt_name: expected one of {known}; got {name!r}")
        return modules.prompts[name]

    def _prepared(self, text: str, prompt: str) -> str:
        lower = self._sentence.modules.do_lower_case
        if isinstance(text, str) and (prompt or lower):  # others are refused by their place, later
            text = prompt + text
            return text.lower() if lower else text
        return text
