"""A reference in a file: computed once, compared with as often as one likes.

A safetensors file. Of a causal model, for every scored position its likeliest tokens with their
log-probabilities and what is left over (kept.py); of an encoder, the vectors of the texts. The
header says which model, tokenizer and text it is of, and a digest of everything else; a file that
is not whole, or not of these, is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lapwing.bench.quality.distance import Doubles, Floats
from lapwing.bench.quality.kept import DRAWN, Kept, Whole, join, keep
from lapwing.bench.quality.measure import Truth
from lapwing.bench.quality.predict import rows_of
from lapwing.bench.quality.windows import Window, windows
from lapwing.disk import replace_file
from lapwing.errors import FileError, RequestError, WeightsError
from lapwing.weights.jsonfile import parse_json
from lapwing.weights.safetensors import NUMPY_DTYPES, SafetensorsFile

MAX_BYTES = 48_000_000  # of a file's tensors: below 50 MB with its header
VERSION = "1"
POSITION_BYTES = 4 + 8 + 8  # count, rest, nll
SEED = 0  # of what is drawn: the same reference is the same file
ARRAYS = ("ids", "logp", "counts", "rest", "drawn_ids", "drawn_logp", "nll")
DAMAGED = "It is damaged or incomplete: make it again with --save-reference."


@dataclass(frozen=True)
class Facts:
    """What a reference is of. fingerprint: Model.fingerprint. tokens, window, stride: of a causal
    model's text, as it was cut; blocks: windows that were done. texts: of an encoder."""

    kind: Literal["causal", "encoder"]
    model: str
    dtype: str
    fingerprint: str | None
    tokenizer: str
    text: str
    text_name: str
    width: int  # V, or D of vectors
    tokens: int = 0
    window: int = 0
    stride: int = 0
    blocks: int = 0
    texts: int = 0


def digest_of(text: str) -> str:
    """Of a text, or of a tokenizer as its library spells it."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def require_same(path: Path, kept: Facts, now: Facts, *, other_checkpoint: bool) -> None:
    """Raises RequestError where a reference is not of this text, tokenizer or checkpoint."""
    if kept.kind != now.kind:
        raise RequestError(
            f"{path}: is a reference of a model of kind {kept.kind}; this one is {now.kind}"
        )
    if kept.text != now.text:
        raise RequestError(
            f"{path}: is of another text than {now.text_name} (it was made from {kept.text_name}). "
            "Give that text, or make a reference of this one with --save-reference."
        )
    if kept.tokenizer != now.tokenizer or kept.width != now.width:
        raise RequestError(
            f"{path}: was made with another tokenizer or vocabulary ({kept.model}, width "
            f"{kept.width}) than this model's ({now.model}, {now.width}); token by token they "
            "cannot be compared."
        )
    if not other_checkpoint and (kept.fingerprint is None or kept.fingerprint != now.fingerprint):
        raise RequestError(
            f"{path}: is of another checkpoint ({kept.model}) than {now.model}. To compare two "
            "checkpoints, and not precisions of one, say so with --other-checkpoint."
        )


# Of a causal model.


class Keeper:
    """Collects what is to be kept of a causal model's positions, within MAX_BYTES in all."""

    def __init__(self, positions: int, vocab_size: int) -> None:
        """positions: to come at most. Raises RequestError where they are too many for a file."""
        entry = (2 if vocab_size <= 1 << 16 else 4) + 4
        room = MAX_BYTES // max(1, positions) - POSITION_BYTES - DRAWN * entry
        self._most = min(vocab_size, room // entry)
        if self._most < 1:
            raise RequestError(
                f"a reference of {positions} positions does not fit {MAX_BYTES} bytes; "
                "read fewer --tokens"
            )
        self._rng = np.random.default_rng(SEED)
        self._kept: list[Kept] = []
        self._nll: list[Doubles] = []

    def add(self, whole: Whole, nll: Doubles) -> None:
        """The next positions."""
        self._kept.append(keep(whole.logp, self._most, self._rng))
        self._nll.append(nll)

    def arrays(self, positions: int) -> dict[str, NDArray[Any]]:
        """Of the first positions: a window that was broken off is left out."""
        kept, nll = self.collected()
        kept = kept[0:positions]
        return {
            "ids": kept.ids,
            "logp": kept.logp,
            "counts": kept.counts.astype(np.int32),
            "rest": kept.rest,
            "drawn_ids": kept.drawn_ids,
            "drawn_logp": kept.drawn_logp,
            "nll": nll[:positions],
        }

    def collected(self) -> tuple[Kept, Doubles]:
        """Everything added."""
        return join(self._kept), np.concatenate(self._nll)


class KeptReference:
    """Of a causal model, in its stead (measure.Reference)."""

    def __init__(self, vocab_size: int, kept: Kept, nll: Doubles, blocks: Sequence[Window]) -> None:
        self._rows, self._kept, self._nll = rows_of(vocab_size), kept, nll
        self._starts = np.concatenate([[0], np.cumsum([each.scored for each in blocks])])

    def pieces(self, at: int, window: Window, ids: Sequence[int]) -> Iterator[Truth]:
        """See Reference."""
        begin, end = int(self._starts[at]), int(self._starts[at + 1])
        part = self._kept[begin:end]
        for first in range(0, window.scored, self._rows):
            last = min(first + self._rows, window.scored)
            yield Truth(part[first:last], self._nll[begin + first : begin + last])


def read_kept(path: Path) -> tuple[Facts, KeptReference]:
    """Raises FileError for a file that is not sound, RequestError for one of an encoder."""
    facts, arrays = read(path)
    if facts.kind != "causal":
        raise RequestError(f"{path}: is a reference of an encoder's vectors, not of logits")
    if set(arrays) != set(ARRAYS):
        raise _unsound(path, f"it holds {sorted(arrays)}, expected {sorted(ARRAYS)}")
    if not 0 < facts.blocks <= arrays["nll"].size:  # every block scores a token
        raise _unsound(path, f"it tells of {facts.blocks} blocks")
    try:
        blocks = windows_of(facts)
    except RequestError as error:
        raise _unsound(path, str(error)) from None
    if not _sound(arrays, facts.width, sum(each.scored for each in blocks)):
        raise _unsound(path, "its numbers are not those of a reference")
    if len(blocks) != facts.blocks:
        raise _unsound(path, f"it tells of {facts.blocks} blocks")
    kept = Kept(*(arrays[name] for name in ARRAYS[:-1]))
    kept = replace(kept, counts=kept.counts.astype(np.int64))
    return facts, KeptReference(facts.width, kept, arrays["nll"], blocks)


def windows_of(facts: Facts) -> list[Window]:
    """Those that a reference of a causal model is of."""
    return windows(facts.tokens, facts.window, facts.stride, facts.blocks)


def _sound(arrays: dict[str, NDArray[Any]], V: int, positions: int) -> bool:
    ids = np.uint16 if V <= 1 << 16 else np.uint32
    dtypes = (ids, np.float32, np.int32, np.float64, ids, np.float32, np.float64)
    if any(arrays[name].dtype != dtype for name, dtype in zip(ARRAYS, dtypes, strict=True)):
        return False
    entries = int(arrays["counts"].astype(np.int64).sum())
    shapes = dict.fromkeys(("counts", "rest", "nll"), (positions,))
    shapes |= dict.fromkeys(("ids", "logp"), (entries,))
    drawn = dict.fromkeys(("drawn_ids", "drawn_logp"), (positions, DRAWN))
    if any(arrays[name].shape != shape for name, shape in (shapes | drawn).items()):
        return False
    within = (
        ("ids", 0, V - 1),
        ("drawn_ids", 0, V - 1),
        ("counts", 1, V),
        ("logp", -np.inf, 1e-6),
        ("drawn_logp", -np.inf, 1e-6),
        ("rest", 0, 1 + 1e-6),
        ("nll", -1e-6, np.inf),
    )
    return all(
        bool(np.isfinite(arrays[name]).all())
        and bool((arrays[name] >= least).all() and (arrays[name] <= most).all())
        for name, least, most in within
    )


# Of an encoder.


def read_vectors(path: Path) -> tuple[Facts, Floats]:
    """Vectors [n, D] of the texts. Raises FileError, RequestError."""
    facts, arrays = read(path)
    if facts.kind != "encoder":
        raise RequestError(f"{path}: is a reference of a causal model's logits, not of vectors")
    vectors = arrays.get("vectors")
    if (
        vectors is None
        or vectors.dtype != np.float32
        or vectors.shape != (facts.texts, facts.width)
        or not np.isfinite(vectors).all()
    ):
        raise _unsound(path, "it does not hold the vectors that its header tells of")
    return facts, vectors


# The file.


def write(path: Path, facts: Facts, arrays: dict[str, NDArray[Any]]) -> None:
    """Replaces a file whole. Raises FileError, and RequestError for more than MAX_BYTES."""
    nbytes = sum(each.nbytes for each in arrays.values())
    if nbytes > MAX_BYTES:
        raise RequestError(
            f"{path}: a reference of {nbytes} bytes; at most {MAX_BYTES} are kept. Read less text."
        )
    spelled = {dtype: name for name, dtype in NUMPY_DTYPES.items() if not name.startswith("F8")}
    spelled[np.dtype("<u2")] = "U16"
    header: dict[str, Any] = {}
    data, at = [], 0
    # The widest first, so that every one begins at a multiple of its size.
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])):
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": spelled[array.dtype],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(raw)],
        }
        data.append(raw)
        at += len(raw)
    told = json.dumps(asdict(facts), sort_keys=True)
    header["__metadata__"] = {
        "lapwing_reference": VERSION,
        "facts": told,
        "digest": _digest(told, {name: arrays[name] for name in arrays}),
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    try:
        replace_file(path, b"".join([len(text).to_bytes(8, "little"), text, *data]))
    except OSError as error:
        raise FileError(f"{path}: cannot be written: {error.strerror or error}") from None


def read(path: Path) -> tuple[Facts, dict[str, NDArray[Any]]]:
    """Facts and arrays of a file that is whole. Raises FileError."""
    try:
        with SafetensorsFile(path) as file:
            if file.metadata.get("lapwing_reference") != VERSION:
                raise FileError(
                    f"{path}: expected a reference made by --save-reference (version {VERSION}); "
                    f"this is none. Another model is given by its directory or name."
                )
            told = file.metadata.get("facts", "")
            arrays = {name: np.array(file.view(name)) for name in file.tensors}
            digest = file.metadata.get("digest")
    except WeightsError as error:
        raise FileError(f"{error} {DAMAGED}") from None
    if digest != _digest(told, arrays):
        raise _unsound(path, "its digest is not that of its content")
    try:
        facts = Facts(**parse_json(told.encode()))
    except (ValueError, TypeError) as error:
        raise _unsound(path, str(error)) from None
    for name, kind in Facts.__annotations__.items():
        value = getattr(facts, name)
        if kind == "int" and (type(value) is not int or value < 0):
            raise _unsound(path, f"{name} is {value!r}")
        if kind == "str" and not isinstance(value, str):
            raise _unsound(path, f"{name} is {value!r}")
    return facts, arrays


def _digest(told: str, arrays: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.blake2b(told.encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.reshape(-1).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()


def _unsound(path: Path, what: str) -> FileError:
    return FileError(f"{path}: {what}. {DAMAGED}")


def is_reference(path: Path) -> bool:
    """A file that says it is one; anything else is taken for a model."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return False
    return b'"lapwing_reference"' in head
