"""A loaded encoder's hidden states and heads: masks filled, texts classified and ranked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lapwing.backends.base import Floats
from lapwing.engine.encoding import EncoderPasses, Sequences, tokens_of_a_pass
from lapwing.engine.inputs import Rows, checked_ids, whole_numbers
from lapwing.engine.model import Loaded, Model, Text
from lapwing.engine.result import EncoderOutput, Filling, Label, Ranked
from lapwing.engine.scores import label_scores, softmax
from lapwing.errors import RequestError
from lapwing.layers.step import EncoderPass
from lapwing.models.base import Encoder, EncoderConfig, Head
from lapwing.text.tokenizer import Encoded

log = logging.getLogger("lapwing.engine")


class HeadedEncoder(Model):
    """What an encoder does whatever it was trained for; EncoderModel adds embeddings."""

    kind = "text encoder"
    config: EncoderConfig

    def __init__(self, loaded: Loaded, network: Encoder) -> None:
        super().__init__(loaded, network.config)
        self._network = network
        self._passes = EncoderPasses(network, loaded.backend, loaded.pacer)
        masked, labelled = network.masked_head is not None, network.label_head is not None
        self.verbs = (
            "embed",
            *(("fill_mask",) if masked else ()),
            *(("classify", "rerank") if labelled else ()),
        )

    # Hidden states and logits of token ids.

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        *,
        dtype: str | None = None,
    ) -> EncoderOutput:
        """Hidden states of every token; where the mask is 0 there is none, and zeros come back.

        ids [L] or [B, L], the others of the same shape; token_type_ids are 0 without. Rows are
        computed packed, without padding: positions count the tokens of a row, so padding may stand
        on either side.
        """
        rows, sequences = self._rows(input_ids, attention_mask, token_type_ids)
        D = self.config.hidden_size
        hidden = [np.empty((0, D), np.float32)] * len(rows.ids)
        pooled = np.zeros((len(rows.ids), D), np.float32)
        pooler = self._network.pooler
        for group, h, step in self._run(sequences, dtype):
            for i, part in zip(group, _split(h, step), strict=True):
                hidden[i] = part
            if pooler is not None:
                pooled[group] = pooler(self._first(h, step), step)
        return EncoderOutput(
            last_hidden_state=rows.spread(hidden, D),
            pooler_output=None if pooler is None else pooled[0] if rows.single else pooled,
        )

    def logits(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
        *,
        dtype: str | None = None,
    ) -> Floats:
        """What the checkpoint's head says: of labels [labels] or [B, labels], else of masked words.

        A masked-language head gives [L, V] or [B, L, V], zeros where the mask is 0. Arguments are
        those of a call of the model.
        """
        rows, sequences = self._rows(input_ids, attention_mask, token_type_ids)
        if self._network.label_head is not None:
            labelled = self._label_logits(sequences, dtype)
            return labelled[0] if rows.single else labelled
        head, V = self._masked_head(), self.config.vocab_size
        parts = [np.empty((0, V), np.float32)] * len(rows.ids)
        for group, h, step in self._run(sequences, dtype):
            for i, part in zip(group, _split(head(h, step), step), strict=True):
                parts[i] = part
        return rows.spread(parts, V)

    # Heads.

    @property
    def mask_token(self) -> str | None:
        """What stands for a missing word; None where the vocabulary has none."""
        return self.tokenizer.mask_token

    def fill_mask(
        self, text: str, top_k: int = 5, *, dtype: str | None = None
    ) -> list[list[Filling]]:
        """The likeliest tokens for each mask of the text, best first.

        Raises RequestError for a text without a mask, or longer than the model reads.
        """
        head, tokenizer, mask = self._masked_head(), self.tokenizer, self.mask_token
        at_least_one("top_k", top_k)
        if mask is None:
            raise RequestError("fill_mask: this model's vocabulary has no mask token")
        (encoded,) = self._encode([text], None)
        mask_id = tokenizer.raw.token_to_id(mask)
        at = [i for i, token in enumerate(encoded.ids) if token == mask_id]
        if not at:
            raise RequestError(
                f"fill_mask: the text has no {mask}; put one where a word is missing"
            )
        if len(encoded.ids) > self.context_length:
            raise RequestError(
                f"fill_mask: the text has {len(encoded.ids)} tokens; the model reads "
                f"{self.context_length}"
            )
        sequences = sequences_of([encoded], self.context_length)
        ((_, h, step),) = self._run(sequences, dtype)
        probabilities = softmax(head(np.ascontiguousarray(h[at]), step))  # [masks, V]
        return [
            [
                Filling(word, token_id, float(row[token_id]), _filled(text, mask, nth, word))
                for token_id in np.argsort(-row, kind="stable")[:top_k].tolist()
                for word in (tokenizer.decode([token_id], skip_special_tokens=False),)
            ]
            for nth, row in enumerate(probabilities)
        ]

    def classify(
        self, texts: Sequence[Text], top_k: int | None = None, *, dtype: str | None = None
    ) -> list[list[Label]]:
        """Labels of each text, or pair of texts, best first; of a str, a list of one.

        Scores are probabilities: of exclusive labels, or of each by itself where the config says
        multi_label_classification or there is one label; values where it says regression. What is
        longer than the model reads is cut, which the log reports.
        """
        if top_k is not None:
            at_least_one("top_k", top_k)
        texts = [texts] if isinstance(texts, str) else list(texts)
        scores = label_scores(self._labelled(texts, dtype), self.config.problem_type)
        labels = self.config.labels
        return [
            [Label(labels[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top_k]]
            for row in scores
        ]

    def rerank(
        self, query: str, documents: Sequence[str], *, dtype: str | None = None
    ) -> list[Ranked]:
        """Documents by how well they answer the query, best first: a cross-encoder of one label."""
        if self._network.label_head is not None and len(self.config.labels) != 1:
            raise RequestError(
                f"rerank: needs a model of one label; this one has {len(self.config.labels)}: "
                f"{', '.join(self.config.labels[:5])}"
            )
        logits = self._labelled([(query, document) for document in documents], dtype)
        scores = label_scores(logits, self.config.problem_type)[:, 0]
        order = np.argsort(-scores, kind="stable")
        return [Ranked(int(i), float(scores[i])) for i in order]

    def _labelled(self, texts: Sequence[Text], dtype: str | None) -> Floats:
        self._label_head()
        encoded = self._encode(texts, self.context_length)
        cut = [i for i, text in enumerate(encoded) if text.full_length > len(text.ids)]
        if cut:
            log.warning(
                "%d of %d texts were cut to %d tokens; the first is texts[%d]",
                *(len(cut), len(texts), self.context_length, cut[0]),
            )
        return self._label_logits(sequences_of(encoded, tokens_of_a_pass(self.config)), dtype)

    def _label_logits(self, sequences: Sequences, dtype: str | None) -> Floats:
        """[sequences, labels]."""
        head = self._label_head()
        logits = np.zeros((len(sequences.ids), len(self.config.labels)), np.float32)
        for group, h, step in self._run(sequences, dtype):
            logits[group] = head(self._first(h, step), step)
        return logits

    def _first(self, h: Floats, step: EncoderPass) -> Floats:
        """h [T, D] → [sequences, D], of first tokens."""
        return self._backend.pool(h, step.lengths, "cls")

    # Checks.

    def _run(
        self, sequences: Sequences, dtype: str | None
    ) -> Iterator[tuple[list[int], Floats, EncoderPass]]:
        self._check_open()
        return self._passes.run(sequences, self._precision(dtype))

    def _forget_passes(self) -> None:
        self._passes.forget()

    def _label_head(self) -> Head:
        if self._network.label_head is None:
            raise RequestError(
                f"{self._checkpoint.directory}: has no sequence-classification head; load a "
                "checkpoint that was trained to classify"
            )
        return self._network.label_head

    def _masked_head(self) -> Head:
        if self._network.masked_head is None:
            raise RequestError(
                f"{self._checkpoint.directory}: has no masked-language head; load the checkpoint "
                "of the pretrained model"
            )
        return self._network.masked_head

    def _rows(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None,
        token_type_ids: ArrayLike | None,
    ) -> tuple[Rows, Sequences]:
        rows = Rows.of(input_ids, attention_mask)
        ids = [checked_ids(row, self.config.vocab_size) for row in rows.tokens()]
        longest = max(map(len, ids))
        if longest > self.context_length:
            raise RequestError(
                f"input_ids: {longest} tokens in a row exceed the model's {self.context_length}"
            )
        if token_type_ids is None:
            type_ids = [[0] * len(row) for row in ids]
        else:
            types = np.atleast_2d(whole_numbers("token_type_ids", token_type_ids))
            if types.shape != rows.ids.shape:
                raise RequestError(
                    f"token_type_ids: expected shape {list(rows.ids.shape)}, got "
                    f"{list(types.shape)}"
                )
            below = max(1, self.config.type_vocab_size)
            type_ids = [checked_ids(row, below, "token type") for row in rows.of_tokens(types)]
        return rows, Sequences(ids, type_ids, tokens_of_a_pass(self.config))

    def _encode(self, texts: Sequence[Text], limit: int | None) -> list[Encoded]:
        encoded = self.tokenizer.encode_texts(texts, limit)
        V, types = self.config.vocab_size, self.config.type_vocab_size
        result = []
        for i, text in enumerate(encoded):
            if text.ids and max(text.ids) >= V:
                raise RequestError(
                    f"texts[{i}]: the tokenizer gives token {max(text.ids)}, and the model knows "
                    f"{V}; they are not of the same model"
                )
            if max(text.type_ids, default=0) >= types:  # RoBERTa knows one type, DistilBERT none
                text = Encoded(text.ids, [0] * len(text.ids), text.full_length)
            result.append(text)
        return result


def sequences_of(
    encoded: Sequence[Encoded], max_tokens: int, max_sequences: int | None = None
) -> Sequences:
    """Texts for `EncoderPasses`."""
    return Sequences(
        [text.ids for text in encoded],
        [text.type_ids for text in encoded],
        max_tokens,
        max_sequences,
    )


def _split(packed: Floats, step: EncoderPass) -> list[Floats]:
    return np.split(packed, np.cumsum(step.lengths)[:-1])


def _filled(text: str, mask: str, nth: int, word: str) -> str:
    """The text with its nth mask replaced; a WordPiece continuation joins the word before it."""
    parts = text.split(mask)
    before, after = mask.join(parts[: nth + 1]), mask.join(parts[nth + 1 :])
    if word.startswith("##"):
        return before.rstrip() + word[2:] + after
    return before + word.strip() + after


def at_least_one(name: str, value: object) -> None:
    """Raises RequestError for anything but a whole number from 1 up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RequestError(f"{name}: expected a whole number ≥ 1, got {value!r}")
