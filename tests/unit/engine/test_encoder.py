"""What a caller of an encoder may ask, and what is refused in which words."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest
from loading import TinyEncoders, TinyModels
from tolerances import FLOAT_LOGITS

from lapwing import RequestError
from lapwing.engine import encoding
from lapwing.engine.encoder import EncoderModel

RTOL = FLOAT_LOGITS["f32"]
ODD_TEXTS = {
    "empty": "",
    "spaces": " \t\n ",
    "emoji": "🦊👨‍👩‍👧‍👦 🇺🇳 wolf",
    "right to left": "שלום עולم مرحبا بالعالم",
    "control characters": "a\x00b\x1f\x7f\u200b\u202ec\ufeff",
    "unassigned and private": "\U000e0001\ue000\ufffe\U0010ffff",
    "combining": "e\u0301\u0302\u0303" * 20,
    "one long word": "a" * 5000,
    "cjk": "中国語の森に狼がいた。",
    "special tokens as text": "[CLS] [MASK] [SEP] <s> <mask>",
}


@pytest.fixture
def model(tiny_encoders: TinyEncoders) -> EncoderModel:
    return tiny_encoders.load("mean", "f32", text=True)


def test_encoders_alone_multiply_narrow_codes(
    tiny_encoders: TinyEncoders, tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoders keep the precision that their KL is measured at (ADR 7)."""
    encoder = tiny_encoders.load("mean", "int8", text=True)
    assert encoder._backend.narrow_codes
    vector = encoder.embed("the wolf in the forest")
    monkeypatch.setattr(encoder._backend, "narrow_codes", False)
    assert vector.tolist() != encoder.embed("the wolf in the forest").tolist()
    assert not tiny_models.load("odd", "int8")._backend.narrow_codes


@pytest.mark.parametrize("variant", ["mean", "roberta"])
@pytest.mark.parametrize("name", ODD_TEXTS)
def test_any_text_has_a_vector(tiny_encoders: TinyEncoders, variant: str, name: str) -> None:
    vector = tiny_encoders.load(variant, "int8", text=True).embed(ODD_TEXTS[name])
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, rel=RTOL)


def test_a_hundred_thousand_characters_are_cut_and_reported(
    model: EncoderModel, caplog: pytest.LogCaptureFixture
) -> None:
    text = "the wolf in the forest " * 4348
    assert len(text) > 100_000
    with caplog.at_level(logging.WARNING, "lapwing"):
        vectors = model.embed(["short", text, text])
    (record,) = caplog.records
    expected = "2 of 3 texts were cut to 16 tokens; the first is texts[1]"
    assert record.getMessage() == expected
    beginning = " ".join(text.split()[:14])
    np.testing.assert_array_equal(vectors[1], model.embed(beginning))
    with pytest.raises(RequestError, match=r"texts\[1\] has 21742 tokens; 16 are read"):
        model.embed(["short", text], truncate=False)


def test_nothing_is_said_where_nothing_is_cut(
    model: EncoderModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "lapwing"):
        model.embed(["the wolf in the forest", ""], truncate=False)
    assert not caplog.records


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["fine", "half \ud83d of a pair"], r"texts\[1\]\[5\] is the lone surrogate U\+D83D"),
        (["fine", None], r"texts\[1\] is NoneType, expected str"),
        ([b"bytes"], r"texts\[0\] is bytes, expected str"),
    ],
)
def test_what_is_no_text(model: EncoderModel, texts: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        model.embed(texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected auto or a number ≥ 1, got 0"),
        ({"batch_size": "all"}, "batch_size: expected auto or a number ≥ 1, got 'all'"),
        ({"max_length": 0}, "max_length: expected a whole number ≥ 1, got 0"),
        ({"max_length": 25}, "max_length: 25 tokens exceed the model's 24"),
        ({"max_length": 1}, "max_length: 1 is less than the special tokens alone"),
        ({"prompt_name": "query"}, "prompt_name: this checkpoint has no prompts; got 'query'"),
        ({"dtype": "int8"}, "dtype: the model was loaded as f32"),
    ],
)
def test_bad_arguments(model: EncoderModel, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        model.embed(["a wolf"], **arguments)


def test_no_texts(model: EncoderModel) -> None:
    assert model.embed([]).shape == (0, model.embedding_size)
    assert list(model.embed_stream([])) == []
    with pytest.raises(RequestError, match="got one str; put it in a list"):
        list(model.embed_stream("a wolf"))


def test_max_length(model: EncoderModel) -> None:
    assert model.max_length == 16
    text = "the wolf in the forest the wolf in the forest"
    (part,) = model.embed_stream([text], max_length=5)
    assert (part.token_counts, part.truncated) == ([5], [0])
    np.testing.assert_array_equal(part.vectors[0], model.embed("the wolf in"))
    (part,) = model.embed_stream([text], max_length=24)
    assert (part.token_counts, part.truncated) == ([len(model.tokenizer.encode(text))], [])


def test_a_stream_reads_little_ahead_and_keeps_the_order(model: EncoderModel) -> None:
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for number in range(9000):
            taken += 1
            yield f"wolf {number}"

    stream = model.embed_stream(texts())
    first = next(stream)
    assert first.start == 0
    assert taken < 9000
    at = len(first.vectors)
    for part in stream:
        assert part.start == at
        at += len(part.vectors)
    assert at == taken == 9000


def test_an_error_of_the_texts_comes_out(model: EncoderModel) -> None:
    def texts() -> Iterator[str]:
        for number in range(200):
            yield f"wolf {number}"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        model.embed(texts())


def test_a_large_first_pass_is_not_the_one_that_is_recorded(
    tiny_encoders: TinyEncoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "RECORDED_TOKENS", 9)
    model = tiny_encoders.load("bert", "int8")
    model._passes.forget()
    ids = [[5, 6, 7], [5, 6], [5, 6, 7, 8]]

    def passes(rows: list[list[int]]) -> list[list[int]]:
        types = [[0] * len(row) for row in rows]
        sequences = encoding.Sequences(rows, types, max_tokens=100)
        return [group for group, _, _ in model._passes.run(sequences, "int4")]

    assert passes(ids[:2] + ids[1:2]) == [[0, 1, 2]]  # 7 tokens are few
    model._passes.forget()
    assert passes([ids[2] * 3]) == [[0]]  # nor is there a choice
    model._passes.forget()
    assert passes([*ids, ids[0]]) == [[1], [2, 0, 3]]
    assert passes([*ids, ids[0]]) == [[2, 0, 3, 1]]


def test_normalize(tiny_encoders: TinyEncoders) -> None:
    """False leaves the scaling out, even where the checkpoint asks for it."""
    for variant in ("mean", "max"):
        model = tiny_encoders.load(variant, "f32", text=True)
        raw, unit = model.embed(["a wolf"], normalize=False), model.embed(["a wolf"])
        length = np.linalg.norm(raw[0])
        assert abs(length - 1) > 0.1
        np.testing.assert_allclose(unit, raw / length, rtol=RTOL)


def test_pooled_is_the_mean_of_the_hidden_states(model: EncoderModel) -> None:
    ids = model.tokenizer.encode("the wolf in the forest")
    states = model(ids).last_hidden_state
    got = model.embed("the wolf in the forest", normalize=False)
    np.testing.assert_allclose(got, states.mean(0), atol=RTOL)


def test_without_modules_the_mean_is_taken(tiny_encoders: TinyEncoders) -> None:
    model = tiny_encoders.load("three_labels", "f32", text=True)
    ids = model.tokenizer.encode("golden ball")
    want = model(ids).last_hidden_state.mean(0)
    np.testing.assert_allclose(model.embed("golden ball", normalize=False), want, atol=RTOL)


def test_fill_mask(tiny_encoders: TinyEncoders) -> None:
    for variant in ("fill_bert", "fill_distilbert", "fill_roberta", "fill_electra"):
        model = tiny_encoders.load(variant, "f32", text=True)
        mask = model.mask_token
        assert mask in ("[MASK]", "<mask>")
        text = f"the {mask} in the {mask}"
        first, second = model.fill_mask(text, top_k=3)
        ids = model.tokenizer.encode(text)
        at = [i for i, token in enumerate(ids) if token == model.tokenizer.raw.token_to_id(mask)]
        logits = model.logits(ids)
        for fillings, place in ((first, at[0]), (second, at[1])):
            weights = np.exp(logits[place].astype(np.float64) - logits[place].max())
            order = np.argsort(-weights, kind="stable")[:3]
            assert [filling.token_id for filling in fillings] == order.tolist()
            scores = (weights / weights.sum())[order]
            np.testing.assert_allclose([f.score for f in fillings], scores, rtol=RTOL)
        for fillings, before, after in (
            (first, "the ", f" in the {mask}"),
            (second, f"the {mask} in the ", ""),
        ):
            for filling in fillings:
                word = filling.token.strip()
                if word.startswith("##"):
                    assert filling.text == before.rstrip() + word[2:] + after
                else:
                    assert filling.text == before + word + after
                spelt = model.tokenizer.decode([filling.token_id], skip_special_tokens=False)
                assert filling.token == spelt


def test_fill_mask_refuses(tiny_encoders: TinyEncoders) -> None:
    model = tiny_encoders.load("fill_bert", "f32", text=True)
    with pytest.raises(RequestError, match=r"the text has no \[MASK\]; put one where"):
        model.fill_mask("the wolf")
    with pytest.raises(RequestError, match="the text has 103 tokens; the model reads 64"):
        model.fill_mask("wolf " * 100 + "[MASK]")
    with pytest.raises(RequestError, match="top_k: expected a whole number ≥ 1, got 0"):
        model.fill_mask("[MASK]", top_k=0)
    with pytest.raises(RequestError, match="has no masked-language head"):
        tiny_encoders.load("mean", "f32", text=True).fill_mask("[MASK]")


def test_classify_by_hand(tiny_encoders: TinyEncoders) -> None:
    """Softmax of exclusive labels, a sigmoid of each other kind, a regression's own value."""
    texts = ["the wolf", ("golden", "ball"), ""]
    for variant in ("three_labels", "one_label", "unnamed_labels", "multi_label", "regression"):
        model = tiny_encoders.load(variant, "f32", text=True)
        names = model.config.labels
        answers = model.classify(texts)
        for text, labels in zip(texts, answers, strict=True):
            encoded = model.tokenizer.encode_texts([text])[0]
            types = np.minimum(encoded.type_ids, max(0, model.config.type_vocab_size - 1))
            row = model.logits(encoded.ids, token_type_ids=types).astype(np.float64)
            if variant == "regression":
                want = row
            elif variant in ("one_label", "multi_label"):
                want = 1 / (1 + np.exp(-row))
            else:
                want = np.exp(row) / np.exp(row).sum()
            got = {label.label: label.score for label in labels}
            assert sorted(got) == sorted(names)
            np.testing.assert_allclose([got[name] for name in names], want, rtol=RTOL)
            assert [label.score for label in labels] == sorted(got.values(), reverse=True)
        assert [row[:1] for row in answers] == model.classify(texts, top_k=1)
        assert model.classify("the wolf") == answers[:1]
    unnamed = tiny_encoders.load("unnamed_labels", "f32", text=True)
    assert unnamed.config.labels == ("LABEL_0", "LABEL_1")


def test_rerank(tiny_encoders: TinyEncoders) -> None:
    model = tiny_encoders.load("one_label", "f32", text=True)
    documents = ["the wolf in the forest", "a golden ball", "the queen"]
    ranked = model.rerank("Who is in the forest?", documents)
    assert sorted(item.index for item in ranked) == [0, 1, 2]
    assert [item.score for item in ranked] == sorted((i.score for i in ranked), reverse=True)
    pairs = [("Who is in the forest?", document) for document in documents]
    scores = [labels[0].score for labels in model.classify(pairs)]
    assert {item.index: item.score for item in ranked} == dict(enumerate(scores))
    assert model.rerank("nobody", []) == []
    with pytest.raises(RequestError, match="one label; this one has 3: contradiction"):
        tiny_encoders.load("three_labels", "f32", text=True).rerank("a", ["b"])
    with pytest.raises(RequestError, match="has no sequence-classification head"):
        tiny_encoders.load("mean", "f32", text=True).rerank("a", ["b"])


def test_what_is_cut_for_a_label_is_reported(
    tiny_encoders: TinyEncoders, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "lapwing"):
        tiny_encoders.load("three_labels", "f32", text=True).classify(["wolf", "wolf " * 90])
    (record,) = caplog.records
    assert record.getMessage() == "1 of 2 texts were cut to 64 tokens; the first is texts[1]"


@pytest.mark.parametrize(
    ("ids", "more", "message"),
    [
        ([], {}, r"input_ids: expected \[L\] or \[B, L\], got shape \[0\]"),
        ([[1, 2], [3]], {}, "rows of different lengths"),
        ([1.5], {}, "input_ids: expected whole numbers, got float64"),
        ([1, 10**6], {}, "token 1: 1000000 is outside the vocabulary"),
        ([1] * 25, {}, "25 tokens in a row exceed the model's 24"),
        ([1, 2], {"attention_mask": [1]}, r"attention_mask: expected shape \[2\], got \[1\]"),
        ([1, 2], {"token_type_ids": [0]}, r"token_type_ids: expected shape \[1, 2\], got"),
        ([1, 2], {"token_type_ids": [0, 2]}, r"token type 1: 2 is outside \[0, 2\)"),
        ([1, 2], {"token_type_ids": [0, 0.5]}, "token_type_ids: expected whole numbers"),
    ],
)
def test_bad_ids(model: EncoderModel, ids: object, more: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        model(ids, **more)


def test_families_refuse_each_others_verbs(
    tiny_encoders: TinyEncoders, tiny_models: TinyModels
) -> None:
    encoder, decoder = tiny_encoders.load("fill_bert", text=True), tiny_models.load()
    for verb in ("generate", "stream", "batch_generate", "forward", "forward_with_kv_cache"):
        with pytest.raises(RequestError, match=f"{verb}: .* is a text encoder .*embed, fill_mask"):
            getattr(encoder, verb)([1, 2])
    with pytest.raises(RequestError, match=r"kv_cache: .* is a text encoder"):
        encoder.kv_cache()
    for verb, arguments in {
        "embed": (["a"],),
        "embed_stream": (["a"],),
        "fill_mask": ("a",),
        "classify": (["a"],),
        "rerank": ("a", ["b"]),
    }.items():
        with pytest.raises(RequestError, match=f"{verb}: .* is a causal language model .*generate"):
            getattr(decoder, verb)(*arguments)


def test_close(tiny_encoders: TinyEncoders) -> None:
    import lapwing

    with lapwing.load(tiny_encoders.directory("all_modes", text=True), dtype="int8") as model:
        model.embed("a wolf")
    model.close()
    with pytest.raises(RequestError, match="the model is closed; load it again"):
        model.embed("a wolf")
    with pytest.raises(RequestError, match="closed"):
        model([1, 2])
