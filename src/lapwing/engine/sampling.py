"""Logits → one token: what is done to them, in which order, and the draw."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lapwing.backends.base import Floats, Ids
from lapwing.engine.checks import biases, real, whole, within
from lapwing.errors import RequestError

Logits = NDArray[Any]  # [V], float32 or float64; −inf: a token that cannot be drawn

_probability = partial(real, least=0, most=1)
_subtracted = partial(real, least=-2, most=2)  # OpenAI's range

# Field of Sampling → how a caller's value is checked.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "repetition_penalty": partial(real, least=0, above=True),
    "presence_penalty": _subtracted,
    "frequency_penalty": _subtracted,
    "logit_bias": biases,
    "temperature": partial(real, least=0),
    "top_k": partial(whole, least=0),
    "top_p": _probability,
    "min_p": _probability,
    "typical_p": _probability,
    "seed": lambda name, value: None if value is None else whole(name, value, 0),
}


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn. The fields stand in the order in which the logits go through them.

    repetition_penalty, presence_penalty, frequency_penalty, logit_bias, temperature, top_k, top_p,
    min_p, typical_p; see the function of each below. Defaults change nothing (top_k 0: all). At
    temperature 0 the largest logit after logit_bias is taken, the later steps are left out, and
    nothing is drawn. Of equal logits the lower id comes first. The same seed draws the same tokens.
    """

    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    seed: int | None = None

    @cached_property
    def penalties(self) -> list[tuple[Callable[..., Logits], Any]]:
        """Those that change anything, with their values."""
        defaults = self.__dataclass_fields__
        return [
            (penalize, getattr(self, name))
            for name, penalize in PENALTIES
            if getattr(self, name) and getattr(self, name) != defaults[name].default
        ]


class History:
    """The tokens of a sequence, as penalties count them."""

    def __init__(self, prompt: Iterable[int] = (), answer: Iterable[int] = ()) -> None:
        self.prompt = frozenset(prompt)
        self.counts = Counter(answer)  # token → how often it stands in the answer


# Steps that look at the sequence, or at single tokens: logits, value, history → logits.


def penalize_repetition(logits: Logits, penalty: float, history: History) -> Logits:
    """Logits of the prompt's and the answer's tokens: if positive divided, else multiplied.

    arXiv 1909.05858, 4.1; for negative logits as in transformers and vLLM.
    """
    if penalty == 1:
        return logits
    seen = history.prompt | history.counts.keys()
    at = np.fromiter(seen, np.int64, len(seen))
    result, values = logits.copy(), logits[at]
    with np.errstate(all="ignore"):  # what overflows is reported by `choose`
        result[at] = np.where(values > 0, values / penalty, values * penalty)
    return result


def penalize_presence(logits: Logits, penalty: float, history: History) -> Logits:
    """`penalty` less for each token that the answer has.

    OpenAI counts what was "sampled prior to the current position", vLLM "the generated text so
    far": the prompt does not count.
    """
    less = dict.fromkeys(history.counts, -penalty) if penalty else {}
    return add_bias(logits, less, history)


def penalize_frequency(logits: Logits, penalty: float, history: History) -> Logits:
    """`penalty` less for each time that the answer has a token; see `penalize_presence`."""
    counts = history.counts.items() if penalty else ()
    return add_bias(logits, {token: -penalty * count for token, count in counts}, history)


def add_bias(logits: Logits, bias: Mapping[int, float], history: History) -> Logits:
    """Plus a number for some tokens; −inf bans."""
    if not bias:
        return logits
    result = logits.copy()
    at = np.fromiter(bias, np.int64, len(bias))
    result[at] += np.fromiter(bias.values(), logits.dtype, len(bias))
    return result


# Steps that look at the distribution: logits, value → logits. The filters make the logits of
# tokens that are out −inf, and leave the others as they are.


def heat(logits: Logits, temperature: float) -> Logits:
    """Distances to the largest, divided by the temperature: float64, at most 0."""
    with np.errstate(over="ignore"):  # a tiny temperature: everything but the largest is −inf
        return (logits.astype(np.float64) - logits.max()) / temperature


def keep_top_k(logits: Logits, k: int) -> Logits:
    """The k likeliest tokens."""
    return logits if k == 0 or k >= logits.size else _only(logits, likeliest(logits, k))


def keep_top_p(logits: Logits, p: float) -> Logits:
    """The fewest likeliest tokens that have a probability of p, at least one (arXiv 1904.09751)."""
    if p == 1:
        return logits
    alive, values = _alive(logits)
    probs, _ = _probabilities(values)
    return _only(logits, alive[_covering(-values, probs, p)])


def keep_min_p(logits: Logits, p: float) -> Logits:
    """Tokens at least p times as likely as the likeliest (arXiv 2407.01082)."""
    if p == 0:
        return logits
    return np.where(logits >= logits.max() + np.log(p), logits, -np.inf)


def keep_typical(logits: Logits, p: float) -> Logits:
    """The fewest tokens that have a probability of p, those first whose surprise is as expected.

    That is, by |−log P − entropy|; at least one (locally typical sampling, arXiv 2202.00666).
    """
    if p == 1:
        return logits
    alive, values = _alive(logits)
    probs, logprobs = _probabilities(values)
    entropy = -(probs * logprobs).sum()
    return _only(logits, alive[_covering(np.abs(-logprobs - entropy), probs, p)])


# The order: Sampling's docstring describes it, `choose` follows it.
PENALTIES: tuple[tuple[str, Callable[[Logits, Any, History], Logits]], ...] = (
    ("repetition_penalty", penalize_repetition),
    ("presence_penalty", penalize_presence),
    ("frequency_penalty", penalize_frequency),
    ("logit_bias", add_bias),
)
FILTERS: tuple[tuple[str, Callable[[Logits, Any], Logits]], ...] = (
    ("temperature", heat),
    ("top_k", keep_top_k),
    ("top_p", keep_top_p),
    ("min_p", keep_min_p),
    ("typical_p", keep_typical),
)


class Sampler:
    """Draws the tokens of one sequence, whatever is generated beside it."""

    def __init__(self, sampling: Sampling, prompt: Iterable[int]) -> None:
        self._sampling, self._history = sampling, History(prompt)
        self._rng = np.random.default_rng(sampling.seed)

    def __call__(self, logits: Floats) -> int:
        """The next token, of logits [V]; it counts as part of the answer from then on."""
        token = choose(logits, self._sampling, self._history, self._rng)
        self._history.counts[token] += 1
        return token


def choose(logits: Floats, sampling: Sampling, history: History, rng: np.random.Generator) -> int:
    """One token of logits [V]. Raises RequestError for NaN, and where no token is left."""
    best = int(logits.argmax())  # NaN wins an argmax
    if not math.isfinite(logits[best]):
        raise RequestError(
            f"logits: the largest is {logits[best]} at {best}; the model's arithmetic overflowed. "
            "Try dtype='f32'."
        )
    row: Logits = logits
    for penalize, value in sampling.penalties:
        row = penalize(row, value, history)
    if row is not logits:
        best = int(row.argmax())
        if not math.isfinite(row[best]):
            raise RequestError(
                f"logits: after penalties and logit_bias the largest is {row[best]} at {best}. Ban "
                f"fewer tokens, or take a repetition_penalty nearer to 1 than "
                f"{sampling.repetition_penalty:g}."
            )
    if sampling.temperature == 0:
        return best
    for name, change in FILTERS:
        row = change(row, getattr(sampling, name))
    return draw(row, rng)


def draw(logits: Logits, rng: np.random.Generator) -> int:
    """A token of softmax(logits): one number of the generator, whatever the logits."""
    alive, values = _alive(logits)
    cumulative = np.cumsum(np.exp(values.astype(np.float64) - values.max()))
    drawn = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(alive[min(int(drawn), alive.size - 1)])


def sample_token(
    logits: ArrayLike,
    temperature: float = 0.0,
    rng: np.random.Generator | int | None = None,
    **steps: Any,
) -> int:
    """A token drawn from softmax(logits/temperature); at temperature 0 the largest logit.

    logits [V]. `rng` is a NumPy generator, a seed, or None for fresh entropy. `steps` are further
    fields of Sampling: top_k, top_p, min_p, typical_p, logit_bias. Raises RequestError for a bad
    value, for logits that are not one row, and for NaN.
    """
    known = ("logit_bias", "top_k", "top_p", "min_p", "typical_p")
    for name in steps:
        if name not in known:
            raise RequestError(f"unknown argument {name!r}; expected some of {', '.join(known)}")
    values = {"temperature": temperature, **steps}
    sampling = Sampling(**{name: CHECKS[name](name, value) for name, value in values.items()})
    row = np.asarray(logits, np.float32)
    if row.ndim != 1 or row.size == 0:
        raise RequestError(f"logits: expected one row [V], got shape {list(row.shape)}")
    within("logit_bias", sampling.logit_bias, row.size)
    if not isinstance(rng, np.random.Generator):
        rng = np.random.default_rng(rng)
    return choose(row, sampling, History(), rng)


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """Natural logarithms of probabilities, in float64."""
    return _probabilities(logits)[1]


def likeliest(logits: Logits, k: int) -> Ids:
    """The k largest logits' ids, largest first."""
    return _smallest(-logits, k)


def _alive(logits: Logits) -> tuple[Ids, Logits]:
    """Tokens that can be drawn, and their logits."""
    alive = np.flatnonzero(logits > -np.inf)
    return alive, logits if alive.size == logits.size else logits[alive]


def _probabilities(logits: Logits) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """softmax and log softmax, in float64."""
    shifted = logits.astype(np.float64) - logits.max()
    weights = np.exp(shifted)
    total = weights.sum()
    return weights / total, shifted - np.log(total)


def _only(logits: Logits, kept: Ids) -> Logits:
    result = np.full_like(logits, -np.inf)
    result[kept] = logits[kept]
    return result


def _smallest(keys: Logits, count: int) -> Ids:
    """Indices of the smallest, smallest first, of equals the first; sorts little more than that."""
    near = np.arange(keys.size)
    if count < keys.size:
        near = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
    return near[np.argsort(keys[near], kind="stable")][:count]


def _covering(keys: Logits, probs: Logits, mass: float) -> Ids:
    """Indices of the fewest smallest keys whose probabilities add up to `mass`, at least one."""
    count = 256  # mostly enough; else a few looks at more are cheaper than sorting a vocabulary
    while True:
        near = _smallest(keys, count)
        cumulative = np.cumsum(probs[near])
        if cumulative[-1] >= mass or near.size == keys.size:
            return near[: int(np.searchsorted(cumulative, mass)) + 1]
        count *= 4
