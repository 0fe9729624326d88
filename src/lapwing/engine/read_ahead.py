"""Texts in windows, each tokenized while the one before it is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from lapwing.text.tokenizer import Encoded

FIRST_WINDOW = 64  # texts: the first vectors come soon
# Tokens of a window: sorting by length has enough to sort, a result comes every second or so.
WINDOW_TOKENS = 1 << 14
LARGEST_WINDOW = 4096

Window = list[str]


def tokenized_windows(
    texts: Iterable[str], encode: Callable[[Window], list[Encoded]]
) -> Iterator[list[Encoded]]:
    """Windows of `texts` in order, encoded in a thread of its own.

    The library encodes a window in parallel and without the interpreter's lock. `texts` is read in
    the caller's thread, one window ahead.
    """
    source = iter(texts)
    window = list(islice(source, FIRST_WINDOW))
    following = list(islice(source, FIRST_WINDOW)) if len(window) == FIRST_WINDOW else []
    if not following:
        if window:
            yield encode(window)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="lapwing-tokenizer") as pool:
        pending: Future[list[Encoded]] | None = pool.submit(encode, window)
        while pending is not None:
            encoded = pending.result()
            pending = pool.submit(encode, following) if following else None
            if following:
                following = list(islice(source, _window_size(encoded)))
            yield encoded


def _window_size(encoded: list[Encoded]) -> int:
    """Texts that make WINDOW_TOKENS, if the next are like the last."""
    tokens = sum(len(text.ids) for text in encoded)
    wanted = WINDOW_TOKENS * len(encoded) // max(1, tokens)
    return min(LARGEST_WINDOW, max(FIRST_WINDOW // 2, wanted))
