"""Checkpoint → plane store: one tensor at a time, in the order of use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lapwing.backends.base import Backend
from lapwing.layers.ops import Ops
from lapwing.layers.parameter import MATRIX_ROLES, Parameter
from lapwing.models.registry import build
from lapwing.quant import scheme
from lapwing.quant.recipe import Recipe
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.store.format import (
    FLOATS,
    PLANES,
    TURNED,
    Contents,
    Layout,
    Piece,
    TableEntry,
    lay_out,
)
from lapwing.weights.store.shelf import boot_id
from lapwing.weights.store.source import Source, small_files
from lapwing.weights.store.writer import StoreWriter

Progress = Callable[[int, int], None]  # (bytes done, bytes in all)
SAMPLE = 512  # values, twice, of a tensor that are compared before all of them are
SPELLED = {"f32": "F32", "f16": "F16", "bf16": "BF16"}


def pack(
    directory: Path,
    source: Source,
    recipe: Recipe,
    path: Path,
    backend: Backend,
    progress: Progress | None = None,
) -> None:
    """Writes the store of a model directory at `path`. Raises OSError, WeightsError, ConfigError.

    recipe: int8 for both planes, int4 for base planes (and both of embeddings), or a float dtype.
    """
    with Checkpoint(directory) as checkpoint:
        ops = Ops(backend, recipe)
        build(checkpoint, ops)
        files = {
            f"file/{each.relative_to(directory)}": np.frombuffer(each.read_bytes(), np.uint8)
            for each in small_files(directory)
        }
        names = {id(p): _name(p, directory) for p in ops.parameters}
        twins = _equal_tensors(ops.parameters)
        table = {
            names[id(p)]: TableEntry(
                kept=PLANES if p.quantized else TURNED if p.turned else FLOATS,
                dtype=p.tensor.dtype,
                shape=p.tensor.shape,
                layout=p.layout,
                at=names[id(twins.get(id(p), p))],
                lookup=_is_lookup(p),
            )
            for p in ops.parameters
        }
        kept = [p for p in ops.parameters if id(p) not in twins]
        layout = _layout(kept, names, files)
        contents = Contents(recipe.scheme, table, source.to_dict(), boot_id())
        with StoreWriter(path, layout, contents) as writer:
            for name, data in files.items():
                writer.write(name, data)
            digests = _write(kept, names, writer, progress)
            writer.finish({name: digests[entry.at] for name, entry in table.items()})


def _write(
    kept: Sequence[Parameter],
    names: dict[int, str],
    writer: StoreWriter,
    progress: Progress | None,
) -> dict[str, str]:
    """Content of each tensor as a digest."""
    total, done = sum(p.tensor.nbytes for p in kept), 0
    digests = {}
    for p in kept:
        name, digest = names[id(p)], hashlib.sha256()
        for kind, array in p.pack().items():
            writer.write(f"{kind}/{name}", array)
            digest.update(f"{kind} {array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        digests[name] = digest.hexdigest()[:32]
        p.tensor.release()
        done += p.tensor.nbytes
        if progress is not None:
            progress(done, total)
    return digests


def _layout(
    kept: Sequence[Parameter], names: dict[int, str], files: dict[str, NDArray[Any]]
) -> Layout:
    areas: dict[str, list[Piece]] = {
        "files": [Piece(name, "U8", data.shape) for name, data in files.items()]
    }
    for p in kept:
        name = names[id(p)]
        if not p.quantized:
            shape = p.tensor.shape[::-1] if p.turned else p.tensor.shape
            piece = Piece(f"float/{name}", SPELLED[p.held_dtype], shape)
            area = "base" if p.role in MATRIX_ROLES else "vectors"
            areas.setdefault(area, []).append(piece)
            continue
        rows = scheme.row_group_count(p.N)
        areas.setdefault("base", []).extend(
            (
                Piece(f"base/{name}", "U8", (rows, scheme.base_stride(p.K))),
                Piece(f"factors/{name}", "F32", (rows, 2)),
            )
        )
        if p.keeps_refine:
            area = "lookups" if _is_lookup(p) else "refine"
            piece = Piece(f"refine/{name}", "U8", (rows, scheme.refine_stride(p.K)))
            areas.setdefault(area, []).append(piece)
    return lay_out(areas)


def _name(p: Parameter, directory: Path) -> str:
    """The checkpoint's, behind the folder of a module that has weights of its own."""
    folder = Path(str(p.tensor.file)).parent.relative_to(directory)
    return p.tensor.name if folder == Path() else f"{folder}/{p.tensor.name}"


def _is_lookup(p: Parameter) -> bool:
    """Every precision reads rows of its refine plane."""
    return p.quantized and p.role in ("embedding", "tied")


def _equal_tensors(parameters: Sequence[Parameter]) -> dict[int, Parameter]:
    """id of a parameter → the one before it that is kept alike and has the same bytes."""
    twins: dict[int, Parameter] = {}
    seen: dict[tuple[object, ...], list[Parameter]] = {}
    for p in parameters:
        data = _bits(p)
        middle = data.size // 2
        sample = data[:SAMPLE].tobytes() + data[middle : middle + SAMPLE].tobytes()
        kept = PLANES if p.quantized else p.held_dtype
        how = (p.tensor.dtype, p.tensor.shape, p.layout, kept, sample)
        for other in seen.setdefault(how, []):
            if p.keeps_refine and not other.keeps_refine:
                continue
            if np.array_equal(data, _bits(other)):
                twins[id(p)] = other
                break
        else:
            seen[how].append(p)
        p.tensor.release()
    return twins


def _bits(p: Parameter) -> NDArray[Any]:
    """As whole numbers: zeros have a sign."""
    data = p.tensor.get().reshape(-1)
    return data.view(f"u{data.itemsize}")
