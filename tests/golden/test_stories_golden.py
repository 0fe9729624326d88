"""Stories260k, a trained Llama, writes and spells what transformers did with it.

It lies beside the repository, in shared/models/stories260k.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from golden.conftest import Golden, read_golden
from golden.trained import PROMPTS, check_greedy_text, check_logits

STORIES = Path(__file__).resolve().parents[3] / "shared" / "models" / "stories260k"
TEXTS = range(14)


@pytest.fixture
def stories() -> Golden:
    return read_golden("stories")


@pytest.fixture(scope="session")
def directory() -> Path:
    """The model, which must be the one the goldens speak of."""
    if not STORIES.exists():
        pytest.skip(f"the model is not beside the repository ({STORIES.name})")
    for file, sha256 in read_golden("stories").facts["sha256"].items():
        found = hashlib.sha256((STORIES / file).read_bytes()).hexdigest()
        assert found == sha256, f"{file} changed: run tools/make_llama_goldens.py"
    return STORIES


def test_all_goldens_are_tested(stories: Golden) -> None:
    assert len(stories.facts["prompts"]) == len(PROMPTS)
    assert len(stories.facts["texts"]) == len(TEXTS)


@pytest.mark.parametrize("i", TEXTS)
def test_tokenizer(i: int, stories: Golden, directory: Path) -> None:
    """SentencePiece BPE, bytes for what it has no token for; decoded whole and as a stream."""
    from lapwing.text.tokenizer import Tokenizer

    tokenizer, want = Tokenizer.open(directory), stories.facts["texts"][i]
    ids = tokenizer.encode(want["text"])
    assert ids == want["ids"]
    for skip, text in ((True, want["plain"]), (False, want["special"])):
        assert tokenizer.decode(ids, skip_special_tokens=skip) == text
        stream = tokenizer.stream(skip_special_tokens=skip)
        pieces = [stream.push(token) for token in ids]
        pieces.append(stream.flush())
        assert "".join(pieces) == text
        assert "\ufffd" not in "".join(pieces)


@pytest.mark.parametrize("i", PROMPTS)
def test_the_text_streams(i: int, stories: Golden, directory: Path) -> None:
    """What was written after a prompt, token by token, is what is decoded at once."""
    from lapwing.text.tokenizer import Tokenizer

    stream = Tokenizer.open(directory).stream()
    pieces = [stream.push(token) for token in stories.arrays[f"{i}.tokens"].tolist()]
    assert "".join(pieces) + stream.flush() == stories.facts["prompts"][i]["text"]


@pytest.mark.parametrize("dtype", ["f32", "f16"])
def test_logits(stories: Golden, directory: Path, backend: str, dtype: str) -> None:
    check_logits(stories, directory, dtype)


@pytest.mark.parametrize("i", PROMPTS)
def test_greedy_text(i: int, stories: Golden, directory: Path, backend: str) -> None:
    check_greedy_text(stories, directory, i)
