"""How likely a token was, and which others were likely in its place."""

from __future__ import annotations

from collections.abc import Callable

from lapwing.backends.base import Floats
from lapwing.engine.result import Candidate, TokenLogprob
from lapwing.engine.sampling import likeliest, log_softmax
from lapwing.text.tokenizer import Tokenizer

Spell = Callable[[int], str]


def token_logprob(logits: Floats, token: int, top: int, spell: Spell) -> TokenLogprob:
    """Of one token, and of the `top` likeliest: log softmax of logits [V]."""
    logprobs = log_softmax(logits)
    best = likeliest(logits, top).tolist() if top else []
    return TokenLogprob(
        token,
        spell(token),
        float(logprobs[token]),
        [Candidate(other, spell(other), float(logprobs[other])) for other in best],
    )


def spelling(tokenizer: Tokenizer) -> Spell:
    """A token → its text inside a text, special tokens included; part of a character is U+FFFD."""

    def spell(token: int) -> str:
        # Twice, less once: at the beginning of a text some decoders strip a space.
        once, twice = (
            tokenizer.decode([token] * count, skip_special_tokens=False) for count in (1, 2)
        )
        return twice[len(once) :] if twice.startswith(once) else once

    return spell


def no_spelling(token: int) -> str:
    """Without a tokenizer."""
    return ""
