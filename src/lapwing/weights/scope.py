"""A place inside a checkpoint: tensors asked for by name and shape, all faults reported at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from lapwing.errors import WeightsError
from lapwing.weights.checkpoint import Checkpoint
from lapwing.weights.lazy import LazyTensor

FLOAT_DTYPES = ("F32", "F16", "BF16")
MAX_NAMES = 10  # of each kind in one message


@dataclass
class _Ledger:
    """What one model has asked of one checkpoint so far; shared by all its scopes."""

    checkpoint: Checkpoint
    asked: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    misshaped: dict[str, str] = field(default_factory=dict)
    mistyped: dict[str, str] = field(default_factory=dict)


class Scope:
    """`scope["attn.c_attn"]` goes down one or more levels; names are the checkpoint's own."""

    def __init__(self, ledger: _Ledger, path: str) -> None:
        self._ledger = ledger
        self.path = path

    @classmethod
    def root(cls, checkpoint: Checkpoint, prefix: str = "") -> Scope:
        """The top of a checkpoint, or what lies under `prefix` ("transformer")."""
        return cls(_Ledger(checkpoint), prefix.rstrip("."))

    def __getitem__(self, name: str) -> Scope:
        return Scope(self._ledger, self._join(name))

    def has(self, name: str) -> bool:
        """Whether the tensor is stored; does not count as asking for it."""
        return self._join(name) in self._ledger.checkpoint.tensors

    def tensor(
        self, name: str, shape: tuple[int, ...], dtypes: Sequence[str] = FLOAT_DTYPES
    ) -> LazyTensor:
        """The stored tensor; if missing, misshaped or mistyped, a stand-in that never loads.

        Never raises: `finish` does, for all of them at once.
        """
        full, ledger = self._join(name), self._ledger
        ledger.asked.add(full)
        stored = ledger.checkpoint.tensors.get(full)
        if stored is None:
            ledger.missing.add(full)
        elif stored.shape != shape:
            hint = " (saved transposed?)" if stored.shape == shape[::-1] else ""
            ledger.misshaped[full] = f"is {list(stored.shape)}, expected {list(shape)}{hint}"
        elif stored.dtype not in dtypes:
            ledger.mistyped[full] = f"is {stored.dtype}, expected one of {', '.join(dtypes)}"
        else:
            return stored
        return LazyTensor.unloadable(full, shape, ledger.checkpoint.directory)

    def finish(self, known_extras: Sequence[str] = ()) -> list[str]:
        """Call after the last tensor: sorted names of stored tensors that nobody asked for.

        `known_extras` are patterns (`"*.attn.bias"`) of full names that are passed over. Raises one
        WeightsError that lists all missing, misshaped and mistyped tensors.
        """
        ledger = self._ledger
        unexpected = sorted(
            name
            for name in ledger.checkpoint.tensors
            if name not in ledger.asked
            and not any(fnmatchcase(name, pattern) for pattern in known_extras)
        )
        wrong = {**ledger.misshaped, **ledger.mistyped}
        if not ledger.missing and not wrong:
            return unexpected
        lines = [f"{ledger.checkpoint.directory}: the weights do not match config.json."]
        lines += _listed("missing", [repr(name) for name in ledger.missing])
        lines += _listed("misshaped", [f"{n!r} {text}" for n, text in ledger.misshaped.items()])
        lines += _listed("mistyped", [f"{n!r} {text}" for n, text in ledger.mistyped.items()])
        if ledger.missing:
            lines += _listed("stored but not asked for", [repr(name) for name in unexpected])
        lines.append(
            "Check that config.json and the weights are of the same model, or fetch both again."
        )
        raise WeightsError("\n".join(lines))

    def _join(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path and name else self.path or name


def _listed(what: str, entries: list[str]) -> list[str]:
    """`["2 missing: 'a', 'b'"]`, or nothing for nothing; at most MAX_NAMES entries spelt out."""
    if not entries:
        return []
    shown = "; ".join(sorted(entries)[:MAX_NAMES])
    more = f"; and {len(entries) - MAX_NAMES} more" if len(entries) > MAX_NAMES else ""
    return [f"  {len(entries)} {what}: {shown}{more}"]
