"""A model directory, opened: its configuration, and every tensor by name, none of them read."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

from lapwing.errors import ConfigError, WeightsError
from lapwing.place import Place
from lapwing.weights.files import (
    CONFIG,
    GENERATION_CONFIG,
    INDEX,
    NoWeightsError,
    choose_weights,
    exists,
    is_dir,
    list_names,
)
from lapwing.weights.jsonfile import read_json_object
from lapwing.weights.lazy import LazyTensor
from lapwing.weights.safetensors import SafetensorsFile
from lapwing.weights.shards import read_shard_index


class Checkpoint:
    """`config`, `generation_config` ({} without one) and `tensors` of a directory.

    Every header is checked here; data is read when a tensor is. Raises ConfigError, WeightsError.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._path = Path(directory)
        self.directory: Place = self._path
        self.config = read_config(self.directory)
        generation = self.directory / GENERATION_CONFIG
        self.generation_config: dict[str, Any] = (
            read_json_object(generation, ConfigError) if exists(generation) else {}
        )
        self.files: list[SafetensorsFile] = []
        self._folders: list[Checkpoint] = []
        try:
            self.tensors = self._open_weights()
        except BaseException:
            self.close()
            raise

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors as stored."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def folder(self, name: str) -> Checkpoint:
        """A checkpoint inside this one, closed with it."""
        inside = Checkpoint(self._path / name)
        self._folders.append(inside)
        return inside

    def close(self) -> None:
        """Unmap the files, as soon as no array over them is in use."""
        for folder in self._folders:
            folder.close()
        for file in self.files:
            file.close()

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_weights(self) -> dict[str, LazyTensor]:
        try:
            chosen = choose_weights(list_names(self._path), str(self.directory))
        except NoWeightsError as problem:
            raise WeightsError(str(problem)) from None
        except OSError as problem:
            raise WeightsError(
                f"{self.directory}: cannot be listed ({problem.strerror})."
            ) from None
        if chosen[0] != INDEX:
            return self._open_file(chosen[0], {})
        index = self._path / INDEX
        shard_of = read_shard_index(index)
        tensors: dict[str, LazyTensor] = {}
        for shard in sorted(set(shard_of.values())):
            self._open_file(shard, tensors)
        for name, shard in shard_of.items():
            if name not in tensors or tensors[name].file.name != shard:
                raise WeightsError(
                    f"{index}: {name!r} should be in {shard}, which does not hold it. "
                    "Index and shards are of different models: fetch them again."
                )
        return tensors

    def _open_file(self, name: str, tensors: dict[str, LazyTensor]) -> dict[str, LazyTensor]:
        """Add the file's tensors to `tensors`."""
        file = SafetensorsFile(self._path / name)
        self.files.append(file)
        for tensor in file.tensors:
            if tensor in tensors:
                raise WeightsError(
                    f"{self.directory}: {tensor!r} is in two shards, {tensors[tensor].file.name} "
                    f"and {name}. "
                    "Keep the shards of one model only."
                )
            tensors[tensor] = LazyTensor(file, tensor)
        return tensors


def read_config(directory: Place) -> dict[str, Any]:
    """`config.json` of a model directory; raises ConfigError."""
    if not is_dir(directory):
        raise ConfigError(f"{directory}: not a directory; expected a model directory.")
    if not exists(directory / CONFIG):
        raise ConfigError(
            f"{directory}: no {CONFIG}, so this is not a Hugging Face model directory. "
            f"Pass the directory that holds {CONFIG}, or fetch it again."
        )
    return read_json_object(directory / CONFIG, ConfigError)
