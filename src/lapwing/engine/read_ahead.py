"""Texts in windows, each tokenized while the one before it is computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from lapwing.text.tokenizer import Encoded

FIRST_WINDOW = 32  # texts: the first vectors come soon
WINDOW_S = 0.5  # of computing: how often there is a result, and a chance to stop
LARGEST_WINDOW = 4096
GROWTH = 4  # at most so many times the window before: the next texts may be longer

Window = list[str]


def tokenized_windows(
    texts: Iterable[str],
    encode: Callable[[Window], list[Encoded]],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[list[Encoded]]:
    """Windows of `texts` in order, encoded in a thread of its own.

    The library encodes a window in parallel and without the interpreter's lock. `texts` is read in
    the caller's thread, one window ahead; a window is as large as its user computes in WINDOW_S.
    """
    source = iter(texts)
    window = list(islice(source, FIRST_WINDOW))
    following = list(islice(source, FIRST_WINDOW)) if len(window) == FIRST_WINDOW else []
    if not following:
        if window:
            yield encode(window)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="lapwing-tokenizer") as pool:
        encoded = pool.submit(encode, window).result()
        while True:
            pending = _submit(pool, encode, following)
            began_s = clock()
            yield encoded
            if pending is None:
                return
            size = _window_size(len(encoded), clock() - began_s)
            encoded = pending.result()
            following = list(islice(source, size))


def _submit(
    pool: ThreadPoolExecutor, encode: Callable[[Window], list[Encoded]], window: Window
) -> Future[list[Encoded]] | None:
    return pool.submit(encode, window) if window else None


def _window_size(last: int, took_s: float) -> int:
    wanted = int(last * WINDOW_S / max(took_s, 1e-6))
    return max(1, min(wanted, GROWTH * last, LARGEST_WINDOW))
