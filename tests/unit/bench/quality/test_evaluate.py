"""`lapwing.evaluate` on tiny models: what is compared, what ends it, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loading import TinyEncoders, TinyModels

import lapwing
from lapwing import FileError, RequestError
from lapwing.bench.quality import reference
from lapwing.bench.quality.distance import cosine_of_rows, kl_of_rows, log_softmax, nll_of
from lapwing.bench.quality.encoders import embed_all
from lapwing.bench.quality.measure import LiveReference, measure
from lapwing.bench.quality.pairs import Pair
from lapwing.bench.quality.windows import windows

TEXT = "The king said that he had seen a wren in the wood, and nobody would believe him. " * 8
PAIRS = [
    Pair("the king", "a king", 4.0),
    Pair("a wolf in the wood", "the queen", 1.0),
    Pair("water", "the water", 5.0),
    Pair("gold", "a bird", 0.5),
]


@pytest.fixture(scope="module")
def tiny(tiny_models: TinyModels) -> Path:
    return tiny_models.directory("base", text=True)


def test_figures_are_those_of_plain_passes(tiny: Path) -> None:
    """One window: everything again, from two forward passes."""
    result = lapwing.evaluate(tiny, "f32,int4", text=TEXT, tokens=30, window=30, stride=30)
    own, row = result.rows
    with lapwing.load(tiny, "f32") as f32, lapwing.load(tiny, "int4") as int4:
        ids = f32.tokenizer.encode(TEXT)[:30]
        p, q = (log_softmax(each.forward(ids))[:-1] for each in (f32, int4))
        assert own.held_bytes == f32.estimate_memory_usage()
        assert row.held_bytes == int4.estimate_memory_usage()
    kl = kl_of_rows(p, q)
    assert row.kl_nats is not None
    assert row.kl_p99_nats is not None
    assert row.perplexity is not None
    assert own.perplexity is not None
    assert row.perplexity_ratio is not None
    assert row.top1_agreement is not None
    assert row.kl_nats.value == pytest.approx(kl.mean(), rel=1e-12)
    assert row.kl_p99_nats.value == pytest.approx(np.percentile(kl, 99), rel=1e-12)
    assert row.perplexity.value == pytest.approx(np.exp(nll_of(q, ids[1:]).mean()), rel=1e-12)
    assert row.perplexity_ratio.value == pytest.approx(row.perplexity.value / own.perplexity.value)
    assert row.top1_agreement.value == pytest.approx((p.argmax(1) == q.argmax(1)).mean())
    assert row.kl_certain is None
    assert (result.scored, result.tokens, result.stopped) == (29, 30, "tokens")
    assert own.kl_nats is None
    assert own.not_measured["kl_nats"] == "it is the reference"
    with pytest.raises(KeyError):
        result.row("int8")
    assert result.row("int4") is row


def test_a_whole_text_is_read_to_its_end(tiny: Path) -> None:
    result = lapwing.evaluate(tiny, "int8", text=TEXT, window=32)
    assert result.stopped == "text"
    assert result.tokens == result.tokens_in_text == result.scored + 1
    assert (result.window, result.stride) == (32, 16)
    assert result.blocks == len(windows(result.scored + 1, 32, 16))


def test_a_loaded_model_against_another(tiny: Path) -> None:
    with lapwing.load(tiny, "int8") as model, lapwing.load(tiny, "f32") as f32:
        result = lapwing.evaluate(model, text=TEXT, tokens=64, window=32, reference=f32)
        named = lapwing.evaluate(tiny, text=TEXT, tokens=64, window=32)
    assert [row.dtype for row in result.rows] == ["f32", "int8", "int4"]
    for got, want in zip(result.rows, named.rows, strict=True):
        assert got.kl_nats == want.kl_nats
        assert got.perplexity == want.perplexity


def test_against_another_checkpoint(tiny_models: TinyModels, tiny: Path) -> None:
    other = tiny_models.directory("base", seed=2, text=True)
    result = lapwing.evaluate(tiny, "f32", text=TEXT, tokens=64, window=32, reference=other)
    assert result.reference == f"{other.name} f32"
    row = result.rows[1]
    assert row.kl_nats is not None
    assert row.kl_nats.value > 0


# The file of a reference.


@pytest.fixture(scope="module")
def kept(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kept") / "f32.ref"
    lapwing.evaluate(tiny, "int4", text=TEXT, tokens=100, window=32, save_reference=path)
    return path


def test_a_reference_is_used_again(tiny: Path, kept: Path) -> None:
    assert kept.stat().st_size < reference.MAX_BYTES
    live = lapwing.evaluate(tiny, "int4,int8", text=TEXT, tokens=100, window=32)
    again = lapwing.evaluate(tiny, "int4,int8", text=TEXT, reference=kept)
    assert (again.tokens, again.window, again.stride) == (100, 32, 16)
    for got, want in zip(again.rows, live.rows, strict=True):
        assert got.perplexity == want.perplexity
        assert got.top1_agreement == want.top1_agreement
        if want.kl_nats is None:
            assert got.kl_nats is None
            continue
        assert got.kl_nats is not None
        assert got.kl_certain is not None
        assert got.kl_certain.low <= want.kl_nats.value <= got.kl_certain.high
        # Everything but a ten-millionth of the probability has been kept.
        assert got.kl_nats.value == pytest.approx(want.kl_nats.value, rel=1e-3)


def test_fewer_tokens_of_a_reference(tiny: Path, kept: Path) -> None:
    result = lapwing.evaluate(tiny, "int4", text=TEXT, reference=kept, tokens=50)
    assert (result.tokens, result.blocks) == (48, 2)
    with pytest.raises(RequestError, match="tokens: expected 32 or more, got 5"):
        lapwing.evaluate(tiny, "int4", text=TEXT, reference=kept, tokens=5)


def test_a_crowded_reference_says_how_far_it_may_be_off(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room for a few tokens a position: the file is small, and the truth within what it tells."""
    monkeypatch.setattr(reference, "MAX_BYTES", 40_000)
    path = tmp_path / "small.ref"
    live = lapwing.evaluate(
        tiny, "int4", text=TEXT, tokens=100, window=32, save_reference=path
    ).row("int4")
    assert path.stat().st_size < 42_000
    got = lapwing.evaluate(tiny, "int4", text=TEXT, reference=path).row("int4")
    assert live.kl_nats is not None
    assert got.kl_nats is not None
    assert got.kl_certain is not None
    assert got.kl_certain.low < live.kl_nats.value < got.kl_certain.high
    error = got.kl_certain.standard_error
    assert 0 < error < live.kl_nats.value
    assert abs(got.kl_nats.value - live.kl_nats.value) < 5 * error


def test_a_reference_of_something_else_is_refused(
    tiny_models: TinyModels, tiny: Path, kept: Path
) -> None:
    with pytest.raises(RequestError, match="is of another text than the given text"):
        lapwing.evaluate(tiny, "int4", text=TEXT + "!", reference=kept)
    other = tiny_models.directory("base", seed=2, text=True)
    with pytest.raises(RequestError, match=r"is of another checkpoint .*--other-checkpoint"):
        lapwing.evaluate(other, "int4", text=TEXT, reference=kept)
    knowingly = lapwing.evaluate(
        other, "int4", text=TEXT, reference=kept, other_checkpoint=True
    ).row("int4")
    assert knowingly.kl_nats is not None
    with pytest.raises(RequestError, match=r"window: .* was made with 32; got 64"):
        lapwing.evaluate(tiny, "int4", text=TEXT, reference=kept, window=64)
    with pytest.raises(RequestError, match="save_reference: the reference is a file already"):
        lapwing.evaluate(tiny, "int4", text=TEXT, reference=kept, save_reference=kept)


def test_another_tokenizer_is_refused(tiny: Path, kept: Path, tmp_path: Path) -> None:
    """The same tokens, two of them with each other's numbers."""
    changed = tmp_path / "changed"
    shutil.copytree(tiny, changed)
    file = changed / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(RequestError, match="another tokenizer or vocabulary"):
        lapwing.evaluate(changed, "int4", text=TEXT, reference=kept)
    with pytest.raises(RequestError, match="have different tokenizers or vocabularies"):
        lapwing.evaluate(changed, "int4", text=TEXT, reference=tiny)


def test_a_file_that_was_cut_or_changed_is_refused(tiny: Path, kept: Path, tmp_path: Path) -> None:
    raw, path = kept.read_bytes(), tmp_path / "bad.ref"
    header = int.from_bytes(raw[:8], "little")
    for size in (9, header // 2, header + 7, header + 8, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises((FileError, lapwing.LapwingError)):
            lapwing.evaluate(tiny, "int4", text=TEXT, reference=path)
        with pytest.raises(FileError, match=r"bad\.ref"):
            reference.read(path)
    rng = np.random.default_rng(0)
    for at in rng.integers(header + 8, len(raw), 20).tolist():
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        with pytest.raises(FileError, match="its digest is not that of its content"):
            lapwing.evaluate(tiny, "int4", text=TEXT, reference=path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ids", lambda x: np.full_like(x, 60_000)),
        ("counts", lambda x: x * 0),
        ("counts", lambda x: x * 2),
        ("counts", lambda x: -x),
        ("logp", lambda x: x * np.float32("nan")),
        ("logp", lambda x: -x),
        ("rest", lambda x: x - 1),
        ("rest", lambda x: x[:-1]),
        ("nll", lambda x: x.astype(np.float32)),
        ("nll", lambda x: x + np.inf),
        ("drawn_ids", lambda x: x[:, :1]),
        ("drawn_logp", lambda x: x[0]),
    ],
)
def test_a_forged_file_is_refused(
    tiny: Path, kept: Path, tmp_path: Path, name: str, change: Any
) -> None:
    """Its digest is right, and its numbers are none."""
    facts, arrays = reference.read(kept)
    arrays[name] = change(arrays[name])
    reference.write(tmp_path / "forged.ref", facts, arrays)
    with pytest.raises(FileError, match="not those of a reference"):
        lapwing.evaluate(tiny, "int4", text=TEXT, reference=tmp_path / "forged.ref")


@pytest.mark.parametrize(
    "facts", [{"blocks": 10**9}, {"stride": 0}, {"tokens": 10**12}, {"window": 1}, {"width": -1}]
)
def test_forged_facts_are_refused(
    kept: Path, tmp_path: Path, facts: dict[str, int], tiny: Path
) -> None:
    told, arrays = reference.read(kept)
    reference.write(tmp_path / "forged.ref", replace(told, **facts), arrays)  # type: ignore[arg-type]
    with pytest.raises(lapwing.LapwingError):
        lapwing.evaluate(tiny, "int4", text=TEXT, reference=tmp_path / "forged.ref")


# What ends it.


class Constant:
    """Says the same of everything; may be interrupted."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls, self.stop_at = 0, stop_at

    def __call__(self, ids: Any, first: int) -> Iterator[Any]:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        yield np.zeros((len(ids) - first, 4), np.float32)


def test_ctrl_c_keeps_whole_blocks() -> None:
    blocks = windows(40, 8, 4)
    found = measure([0] * 40, blocks, LiveReference(Constant()), [Constant(stop_at=4)])
    assert (found.stopped, found.blocks) == ("interrupted", 3)
    assert len(found.reference.nll) == len(found.candidates[0].nll) == 3
    with pytest.raises(KeyboardInterrupt):
        measure([0] * 40, blocks, LiveReference(Constant()), [Constant(stop_at=1)])


def test_time_ends_it_at_a_border() -> None:
    """A clock that goes on by a second a look: the first block is done whatever it takes."""
    ticks = iter(range(1000))
    blocks = windows(400, 8, 4)
    seen: list[tuple[int, int]] = []
    found = measure(
        [0] * 400,
        blocks,
        LiveReference(Constant()),
        [Constant()],
        seconds=5.5,
        progress=lambda done, total: seen.append((done, total)),
        clock=lambda: float(next(ticks)),
    )
    assert found.stopped == "time"
    assert 1 <= found.blocks <= 5
    assert seen[-1] == (found.blocks, len(blocks))
    ticks = iter(range(0, 10**6, 1000))
    hurried = measure(
        [0] * 400,
        blocks,
        LiveReference(Constant()),
        [],
        seconds=1,
        clock=lambda: float(next(ticks)),
    )
    assert (hurried.stopped, hurried.blocks) == ("time", 1)


# Encoders.


@pytest.fixture(scope="module")
def encoder(tiny_encoders: TinyEncoders) -> Path:
    return tiny_encoders.directory("mean", text=True)


def test_an_encoder_by_its_vectors(encoder: Path, tmp_path: Path) -> None:
    path = tmp_path / "vectors.ref"
    result = lapwing.evaluate(encoder, "f32,int4", pairs=PAIRS, save_reference=path)
    own, row = result.rows
    texts = [text for pair in PAIRS for text in (pair.first, pair.second)]
    with lapwing.load(encoder, "f32") as f32, lapwing.load(encoder, "int4") as int4:
        cosines = cosine_of_rows(f32.embed(texts), int4.embed(texts))
    assert row.cosine_mean is not None
    assert row.cosine_mean.value == pytest.approx(cosines.mean(), rel=1e-9)
    assert row.cosine_min == pytest.approx(cosines.min(), rel=1e-9)
    assert own.spearman is not None
    assert (result.kind, result.pairs, result.scored) == ("encoder", 4, 8)
    assert own.cosine_mean is None
    again = lapwing.evaluate(encoder, "int4", pairs=PAIRS, reference=path)
    assert again.row("int4").cosine_mean == row.cosine_mean
    assert again.row("f32").spearman == own.spearman
    with pytest.raises(RequestError, match="is of another text"):
        lapwing.evaluate(encoder, "int4", pairs=PAIRS[1:], reference=path)


def test_what_an_encoder_has_no_pairs_for_says_so(encoder: Path) -> None:
    row = lapwing.evaluate(encoder, "int8", text="a king\n\nthe water\n").row("int8")
    assert row.spearman is None
    assert "--pairs" in row.not_measured["spearman"]
    same = [Pair("a king", "the king", 1.0), Pair("water", "gold", 1.0)]
    row = lapwing.evaluate(encoder, "int8", pairs=same).row("int8")
    assert "no ranks" in row.not_measured["spearman"]


def test_a_pair_is_never_torn() -> None:
    """Stopped after a block, vectors are of whole pairs."""
    ticks = iter(range(0, 10**6, 10))
    texts = [str(at) for at in range(200)]

    def embed(part: Any) -> Any:
        return np.ones((len(part), 2), np.float32)

    found = embed_all(texts, embed, [embed], seconds=1, clock=lambda: float(next(ticks)))
    assert found.stopped == "time"
    assert len(found.reference) == len(found.candidates[0]) == 64


def test_refused(tiny: Path, encoder: Path, tmp_path: Path) -> None:
    for arguments, message in (
        ({"model": tiny, "text": None}, "nothing to read"),
        ({"model": tiny, "text": "a"}, "text: expected at least 2 tokens"),
        ({"model": tiny, "text": TEXT, "pairs": PAIRS}, "pairs are for encoders"),
        ({"model": tiny, "text": TEXT, "window": 10**6}, "exceed the context"),
        ({"model": tiny, "text": TEXT, "stride": 0}, "stride: expected"),
        ({"model": tiny, "text": TEXT, "dtype": ""}, "dtype: expected at least one"),
        ({"model": tiny, "text": TEXT, "reference": encoder}, "cannot be compared"),
        ({"model": encoder, "text": TEXT, "window": 5}, "window: an encoder reads whole texts"),
        ({"model": encoder, "text": "\n \n"}, "no line in it that is not blank"),
    ):
        with pytest.raises(RequestError, match=message):
            lapwing.evaluate(**arguments)  # type: ignore[arg-type]
    with pytest.raises(FileError, match="no such file"):
        lapwing.evaluate(tiny, text=tmp_path / "nothing.txt")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(FileError, match="not UTF-8"):
        lapwing.evaluate(tiny, text=tmp_path / "latin.txt")
