"""Which weights are stored how, for each dtype a model can be loaded as. One table."""

from __future__ import annotations

from dataclasses import dataclass

from lapwing.errors import RequestError

# dtype → the spellings people use for it
SPELLINGS = {
    "f32": ("f32", "fp32", "float32", "float"),
    "f16": ("f16", "fp16", "float16", "half"),
    "bf16": ("bf16", "bfloat16"),
    "int8": ("int8", "i8", "q8"),
    "int4": ("int4", "i4", "q4"),
}
DTYPES = tuple(SPELLINGS)
DEFAULT_DTYPE = "int8"
MIXED = "mixed"  # a pass that reads each matrix as a plan says (weights.plan)


def parse_dtype(dtype: object) -> str:
    """`'float16'`, `'fp16'`, `torch.float16` → `'f16'`; `'auto'` → int8."""
    name = str(dtype).removeprefix("torch.").lower()
    if name == "auto":
        return DEFAULT_DTYPE
    for canonical, spellings in SPELLINGS.items():
        if name in spellings:
            return canonical
    raise RequestError(f"dtype: expected one of auto, {', '.join(DTYPES)}; got {dtype!r}")


@dataclass(frozen=True)
class Recipe:
    """How one dtype stores and reads each kind of weight.

    lowered: of int8, names of matrices of which passes read the base plane alone (int4).
    """

    dtype: str
    lowered: frozenset[str] = frozenset()

    @property
    def precision(self) -> str:
        """Of a pass that names none."""
        return MIXED if self.lowered else self.dtype

    @property
    def quantized(self) -> bool:
        """Linears and embeddings are planes."""
        return self.dtype in ("int8", "int4")

    @property
    def scheme(self) -> str:
        """What a store made by it is called: one of planes serves int8 and int4."""
        return "planes" if self.quantized else self.dtype

    @property
    def refine_linears(self) -> bool:
        """Linears keep their refine plane; embeddings always do."""
        return self.dtype == "int8"

    @property
    def kv_dtype(self) -> str:
        """Of the KV cache; the same for int8 and int4, so that a cache outlives a switch."""
        return "f32" if self.dtype == "f32" else "f16"

    @property
    def precisions(self) -> tuple[str, ...]:
        """What a pass over weights loaded this way can be asked for."""
        return (self.precision, "int4") if self.dtype == "int8" else (self.dtype,)

    def rows(self) -> list[tuple[str, str, str]]:
        """(kind of weight, as stored, as read in a pass) for people."""
        if not self.quantized:
            return [
                ("linears, head", self.dtype, "in place, at the file's dtype if that is narrower"),
                ("embeddings", self.dtype, "as linears"),
                ("norms, biases", "f32", "f32"),
            ]
        both = "base + refine plane"
        linears = both if self.refine_linears else "base plane"
        read = "both planes (base alone when a pass asks for int4)"
        if self.lowered:
            read = f"both planes; of {len(self.lowered)} matrices the base plane alone, by plan"
        return [
            ("linears", linears, read if self.refine_linears else "base plane"),
            (
                "head",
                linears + "; a tied one shares the embedding",
                read if self.refine_linears else "base plane",
            ),
            ("token embeddings", both, "both planes, one row a token"),
            ("position, type embeddings", "f32", "f32, one row a token"),
            ("norms, biases", "f32", "f32"),
        ]
