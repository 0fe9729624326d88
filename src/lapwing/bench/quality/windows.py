"""A long text in windows that fit a context, every token scored once: strided perplexity."""

from __future__ import annotations

from dataclasses import dataclass

from lapwing.errors import RequestError


@dataclass(frozen=True)
class Window:
    """Tokens [begin, end) go through the model; those of [first, end) are scored.

    Each scored token t is predicted from [begin, t). What a window scores is one block of text.
    """

    begin: int
    first: int
    end: int

    @property
    def scored(self) -> int:
        """Tokens."""
        return self.end - self.first


def windows(tokens: int, length: int, stride: int, most: int | None = None) -> list[Window]:
    """Windows of `length` tokens, each beginning `stride` after the one before it.

    As transformers' guide on the perplexity of fixed-length models has it: the first window scores
    all its tokens but the first, which nothing predicts; a later one scores those that none before
    it did, with at least length − stride tokens of context (none are scored without any: where
    stride = length, the first of every window is left out). The last window may be shorter. So with
    stride < length tokens − 1 are scored, each once. most: windows, the first of them.

    Raises RequestError for less than two tokens, and for strides from no token to more than a
    window.
    """
    if length < 2:
        raise RequestError(f"window: expected at least 2 tokens, got {length}")
    if not 1 <= stride <= length:
        raise RequestError(f"stride: expected 1 to {length} (the window), got {stride}")
    if tokens < 2:
        raise RequestError(f"text: expected at least 2 tokens, got {tokens}")
    found, scored = list[Window](), 0
    for begin in range(0, tokens, stride):
        end = min(begin + length, tokens)
        first = max(scored, begin + 1)
        if first < end:
            found.append(Window(begin, first, end))
        scored = end
        if end == tokens or len(found) == most:
            break
    return found
