"""The workflow with a model that can be followed by hand: order, resume, kills, refusals."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lapwing.errors import FileError, RequestError, WeightsError
from lapwing.jobs import embed_file as workflow
from lapwing.jobs.checkpoints import meta_path
from lapwing.jobs.embed_file import EmbedReport, EmbedSettings, Progress, check_output, embed_file
from lapwing.jobs.records import Texts
from lapwing.jobs.vectors import Floats

D = 3
SETTINGS = EmbedSettings("fake", None, "int8", D)


@dataclass(frozen=True)
class FakeStretch:
    start: int
    vectors: Floats
    token_counts: list[int]
    truncated: list[int]


@dataclass
class FakeModel:
    """A text's vector tells its words and letters; words are tokens. Reads ahead by a window."""

    sizes: list[int] = field(default_factory=lambda: [2])  # of stretches, over and over
    max_words: int = 5
    interrupt_after: int | None = None  # texts
    wishes: dict[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    def embed_stream(
        self, texts: Iterable[str], normalize: bool = True, **wishes: Any
    ) -> Iterator[FakeStretch]:
        self.wishes = {"normalize": normalize, **wishes}
        rest, start = iter(texts), 0
        for size in itertools.cycle(self.sizes):
            some = list(itertools.islice(rest, size))
            self.seen += some
            if not some:
                return
            words = [text.split() for text in some]
            cut = [start + i for i, w in enumerate(words) if len(w) > self.max_words]
            yield FakeStretch(
                start,
                np.array([self.vector(text) for text in some], np.float32),
                [min(len(w), self.max_words) for w in words],
                cut,
            )
            start += len(some)
            if self.interrupt_after is not None and start >= self.interrupt_after:
                raise KeyboardInterrupt

    @staticmethod
    def vector(text: str) -> list[float]:
        return [len(text.split()) / 10, sum(map(ord, text)) / 7, -float(len(text))]


def lines(*texts: str) -> Texts:
    content = "".join(text + "\n" for text in texts).encode()
    return Texts(io.BytesIO(content), "in.txt", total_bytes=len(content))


def vectors_of(path: Path) -> list[list[float]]:
    if path.suffix == ".npy":
        loaded: list[list[float]] = np.load(path).tolist()
        return loaded
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return [row["embedding"] for row in rows]


def expected_of(texts: Iterable[str]) -> Floats:
    return np.array([FakeModel.vector(text) for text in texts], np.float32).reshape(-1, D)


def run(output: Any, *texts: str, model: FakeModel | None = None, **wishes: Any) -> EmbedReport:
    return embed_file(model or FakeModel(), lines(*texts), output, SETTINGS, **wishes)


@pytest.fixture(params=[".npy", ".jsonl"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out{request.param}"


BIRDS = [f"bird number {i}" for i in range(11)]


def test_vectors_stand_in_the_order_of_the_texts(output: Path) -> None:
    report = run(output, *BIRDS, model=FakeModel([1, 4, 2]))
    np.testing.assert_array_equal(
        np.array(vectors_of(output), np.float32), expected_of(BIRDS), strict=True
    )
    assert (report.texts, report.skipped_texts, report.tokens) == (11, 0, 33)
    assert report.texts_per_s is not None
    assert not report.interrupted
    assert [path.name for path in sorted(output.parent.iterdir())] == [
        output.name,
        meta_path(output).name,
    ]


def test_no_texts_are_an_output_without_rows(output: Path) -> None:
    report = run(output)
    assert (report.texts, report.texts_per_s) == (0, None)
    if output.suffix == ".npy":
        assert np.load(output).shape == (0, D)
    else:
        assert output.read_bytes() == b""
    assert run(output, *BIRDS, resume=True).texts == 11, "it grew since"


def test_into_a_stream() -> None:
    stream = io.BytesIO()
    run(stream, *BIRDS)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [row["index"] for row in rows] == list(range(11))
    np.testing.assert_array_equal(
        np.array([row["embedding"] for row in rows], np.float32), expected_of(BIRDS)
    )


def test_the_settings_reach_the_model(tmp_path: Path) -> None:
    model = FakeModel()
    wishes: dict[str, Any] = {"normalize": False, "max_length": 9, "prompt_name": "query"}
    embed_file(model, lines("a"), tmp_path / "o.npy", replace(SETTINGS, **wishes))
    assert model.wishes == wishes


def test_texts_that_were_cut_are_reported_through_every_resume(output: Path) -> None:
    long = " ".join("abcdefg")
    report = run(output, "a", long, "b", long, model=FakeModel([1], interrupt_after=2))
    assert (report.truncated, report.truncated_to) == (1, 5)
    assert (report.first_truncated, report.first_truncated_line) == (1, 2)
    report = run(output, "a", long, "b", long, resume=True)
    assert (report.texts, report.skipped_texts, report.tokens) == (4, 2, 12)
    assert (report.truncated, report.truncated_to) == (2, 5)
    assert (report.first_truncated, report.first_truncated_line) == (1, 2)


def test_lines_of_the_report_are_lines_of_the_input(tmp_path: Path) -> None:
    content = b'\n"a"\n\n"1 2 3 4 5 6"\n"\\ud800"\n'
    texts = Texts(io.BytesIO(content), "in", "jsonl")
    report = embed_file(FakeModel(), texts, tmp_path / "o.npy", SETTINGS)
    assert (report.first_truncated, report.first_truncated_line) == (1, 4)
    assert (report.replaced_characters, report.first_replaced_line) == (1, 5)


def test_progress_counts_bytes_that_are_done_not_read(output: Path) -> None:
    told: list[Progress] = []
    run(output, "aaa", "bbb", "ccc", model=FakeModel([2]), progress=told.append)
    assert told == [Progress(0, 0, 12), Progress(2, 8, 12), Progress(3, 12, 12)]
    told.clear()
    run(output, "aaa", "bbb", "ccc", "ddd", resume=True, progress=told.append)
    assert told == [Progress(0, 12, 16), Progress(1, 16, 16)]


# Resume.


def test_ctrl_c_keeps_what_is_done(output: Path) -> None:
    report = run(output, *BIRDS, model=FakeModel([3], interrupt_after=6))
    assert (report.texts, report.interrupted) == (6, True)
    assert len(vectors_of(output)) == 6
    model = FakeModel([4])
    report = run(output, *BIRDS, resume=True, model=model)
    assert (report.texts, report.skipped_texts, report.interrupted) == (11, 6, False)
    assert model.seen == BIRDS[6:], "what is done is not done again"
    assert len(vectors_of(output)) == 11


def test_ctrl_c_before_the_first_vector_leaves_nothing(output: Path) -> None:
    class Slow(FakeModel):
        def embed_stream(self, *_: Any, **wishes: Any) -> Iterator[FakeStretch]:
            raise KeyboardInterrupt

    assert run(output, *BIRDS, model=Slow()).interrupted
    assert list(output.parent.iterdir()) == []


def test_resume_without_an_output_begins(output: Path) -> None:
    assert run(output, *BIRDS, resume=True).skipped_texts == 0
    assert run(output, *BIRDS, resume=True).skipped_texts == 11
    assert len(vectors_of(output)) == 11


def test_resume_goes_on_where_the_input_has_grown(output: Path) -> None:
    run(output, *BIRDS[:4])
    assert run(output, *BIRDS, resume=True).skipped_texts == 4
    whole = output.with_stem("whole")
    run(whole, *BIRDS)
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (["a", "x"], "other ones"),
        (["a"], "only 1"),
        (["ab", "", "c"], "other ones"),
        (["", "ab"], "other ones"),
        ([], "only 0"),
    ],
)
def test_other_texts_are_not_resumed(output: Path, now: list[str], found: str) -> None:
    run(output, "a", "b")
    before = output.read_bytes()
    with pytest.raises(FileError) as caught:
        run(output, *now, resume=True)
    assert str(caught.value) == (
        f"in.txt: {output} has vectors of its first 2 texts, and now there are {found}. Give the "
        "same input, or start again (--force)."
    )
    assert output.read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model", "other"),
        ("revision", "v2"),
        ("dtype", "f32"),
        ("embedding_size", 4),
        ("normalize", False),
        ("max_length", 12),
        ("truncate", False),
        ("prompt_name", "query"),
    ],
)
def test_other_settings_are_not_resumed(output: Path, key: str, value: object) -> None:
    run(output, *BIRDS[:3])
    change: dict[str, Any] = {key: value}
    other = replace(SETTINGS, **change)
    with pytest.raises(RequestError) as caught:
        embed_file(FakeModel(), lines(*BIRDS), output, other, resume=True)
    before = getattr(SETTINGS, key)
    assert str(caught.value) == (
        f"{output} was begun with {key} {before!r}, and this is {value!r}. Go on with the same, "
        "or start again (--force)."
    )


def test_other_weights_are_not_resumed(output: Path) -> None:
    """Where both are known; without a store they are not, and whoever asks is believed."""
    known = replace(SETTINGS, weights="a1")
    embed_file(FakeModel(), lines(*BIRDS[:2]), output, known)
    embed_file(FakeModel(), lines(*BIRDS[:3]), output, SETTINGS, resume=True)
    embed_file(FakeModel(), lines(*BIRDS[:4]), output, replace(known, weights="b2"), resume=True)
    with pytest.raises(RequestError, match="begun with weights 'b2', and this is 'a1'"):
        embed_file(FakeModel(), lines(*BIRDS), output, known, resume=True)


def test_another_format_is_not_resumed(output: Path) -> None:
    run(output, "a")
    texts = Texts(io.BytesIO(b'{"t": "a"}'), "in", "jsonl", "t")
    with pytest.raises(RequestError, match="begun with format 'lines', and this is 'jsonl'"):
        embed_file(FakeModel(), texts, output, SETTINGS, resume=True)


@pytest.mark.parametrize(
    "meta", [b"", b"{", b"[]", b"{}", b'{"version": 2, "settings": {}, "done": {}}', b"\xff", None]
)
def test_an_output_of_which_nothing_is_known_is_not_resumed(
    output: Path, meta: bytes | None
) -> None:
    run(output, *BIRDS[:3])
    if meta is None:
        meta_path(output).unlink()
    else:
        meta_path(output).write_bytes(meta)
    with pytest.raises(FileError, match=r"how far .* is.*--force"):
        run(output, *BIRDS, resume=True)
    assert run(output, *BIRDS, force=True).texts == 11


def test_an_output_that_is_gone_is_not_resumed(output: Path) -> None:
    run(output, *BIRDS[:3])
    output.unlink()
    with pytest.raises(FileError, match=r"is gone, and out\.\w+\.meta\.json says that it has 3"):
        run(output, *BIRDS, resume=True)


# Refusals.


def test_an_output_that_exists_is_not_replaced_unasked(output: Path) -> None:
    output.write_bytes(b"dear")
    with pytest.raises(RequestError, match=r"exists\. --resume goes on with it, --force replaces"):
        run(output, *BIRDS)
    assert output.read_bytes() == b"dear"
    run(output, *BIRDS, force=True)
    assert len(vectors_of(output)) == 11


def test_force_replaces_once_there_are_vectors(output: Path) -> None:
    output.write_bytes(b"dear")
    with pytest.raises(
        RequestError, match=r"in\.txt, line 1: the text is longer than the 5 tokens that"
    ):
        embed_file(
            FakeModel(),
            lines("1 2 3 4 5 6"),
            output,
            replace(SETTINGS, truncate=False),
            force=True,
        )
    assert output.read_bytes() == b"dear"


def test_the_input_is_no_output(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('"a"\n')
    (tmp_path / "link.jsonl").symlink_to(path)
    for name in ("texts.jsonl", "link.jsonl"):
        with pytest.raises(RequestError, match="is the input, too"):
            check_output(tmp_path / name, str(path), force=True)


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "d.npy").mkdir()
    for path, message in (
        (tmp_path / "no" / "v.npy", "no such directory"),
        (tmp_path / "d.npy", "found a directory"),
    ):
        with pytest.raises(FileError, match=message):
            check_output(path, "-")
    with pytest.raises(RequestError, match="choose one"):
        check_output(tmp_path / "v.npy", "-", resume=True, force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_of_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(FileError, match="may not write to the directory"):
        check_output(tmp_path / "v.npy", "-")
    tmp_path.chmod(0o755)


# Trouble in the middle.


def test_what_is_before_a_broken_line_is_kept(output: Path) -> None:
    good = b"".join(json.dumps(bird).encode() + b"\n" for bird in BIRDS[:5])

    def attempt(content: bytes) -> EmbedReport:
        texts = Texts(io.BytesIO(content), "in", "jsonl")
        return embed_file(FakeModel([100]), texts, output, SETTINGS, resume=True)

    with pytest.raises(FileError, match=r"in, line 6: not JSON .* The texts before it, 5 of them"):
        attempt(good + b"{\n")
    assert len(vectors_of(output)) == 5
    assert attempt(good + b'"mended"\n').skipped_texts == 5


def test_a_broken_first_line_leaves_nothing(output: Path) -> None:
    with pytest.raises(FileError, match="0 texts before it were embedded"):
        embed_file(FakeModel(), Texts(io.BytesIO(b"{\n"), "in", "jsonl"), output, SETTINGS)
    assert list(output.parent.iterdir()) == []


def test_what_is_before_a_text_that_must_not_be_cut_is_kept(output: Path) -> None:
    texts = [*BIRDS[:4], "1 2 3 4 5 6"]
    strict = replace(SETTINGS, truncate=False)
    with pytest.raises(RequestError, match="line 5: the text is longer"):
        embed_file(FakeModel([1]), lines(*texts), output, strict)
    assert len(vectors_of(output)) == 4
    texts[4] = "short"
    assert embed_file(FakeModel(), lines(*texts), output, strict, resume=True).skipped_texts == 4


def test_a_vector_that_is_no_number_is_not_written(output: Path) -> None:
    class Damaged(FakeModel):
        @staticmethod
        def vector(text: str) -> list[float]:
            return [0.0, float("nan") if text == BIRDS[4] else 1.0, 0.0]

    with pytest.raises(WeightsError, match=r"vector of text 4 \(in\.txt, line 5\) is not finite"):
        run(output, *BIRDS, model=Damaged([3]))
    assert len(vectors_of(output)) == 3


def test_a_full_disk_is_told_and_can_be_resumed(output: Path) -> None:
    run(output, *BIRDS[:2])
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with (
        mock.patch("lapwing.jobs.files.os.fsync", side_effect=full),
        pytest.raises(FileError, match=r"cannot be written: No space left on device\. What is"),
    ):
        run(output, *BIRDS, resume=True)
    assert run(output, *BIRDS, resume=True).skipped_texts == 2
    whole = output.with_stem("whole")
    run(whole, *BIRDS)
    assert output.read_bytes() == whole.read_bytes()


# A kill at any moment. What a process has done to the disk is photographed each time it has made
# something durable; in between, it has appended some of the bytes of its next state.

TEXTS = st.lists(st.text("ab \u00e9", max_size=9), max_size=12)


@given(
    texts=TEXTS,
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    later=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    suffix=st.sampled_from([".npy", ".jsonl"]),
    every_s=st.sampled_from([0.0, 3.0, 1e9]),
    data=st.data(),
)
@settings(deadline=None, max_examples=60)
def test_killed_anywhere_and_resumed_is_as_if_never_killed(
    texts: list[str],
    sizes: list[int],
    later: list[int],
    suffix: str,
    every_s: float,
    data: st.DataObject,
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(workflow, "CHECKPOINT_EVERY_S", every_s),
    ):
        states = _photograph(Path(folder) / "new", f"out{suffix}", texts, FakeModel(sizes))
        whole = (states[-1] / f"out{suffix}").read_bytes()
        for _ in range(data.draw(st.integers(1, 3), "kills")):
            at = data.draw(st.integers(0, len(states) - 1), "kill at")
            output = states[at] / f"out{suffix}"
            if output.exists():
                _append_some(output, states[min(at + 1, len(states) - 1)] / output.name, data)
                if suffix == ".npy":
                    np.load(output)
            states = _photograph(states[at], output.name, texts, FakeModel(later))
        assert (states[-1] / f"out{suffix}").read_bytes() == whole


def _photograph(folder: Path, name: str, texts: list[str], model: FakeModel) -> list[Path]:
    """Runs to the end in a copy of `folder` → copies from its beginning to its end."""
    photos: list[Path] = []
    folder.mkdir(exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=folder.parent))
    shutil.copytree(folder, work, dirs_exist_ok=True)

    def photograph(descriptor: int = -1) -> None:
        photos.append(Path(tempfile.mkdtemp(dir=folder.parent)))
        shutil.copytree(work, photos[-1], dirs_exist_ok=True)

    photograph()
    clock = itertools.count(step=2).__next__
    with mock.patch("lapwing.jobs.files.os.fsync", photograph):
        run(work / name, *texts, model=model, resume=True, clock=clock)
    photograph()
    return photos


def _append_some(output: Path, following: Path, data: st.DataObject) -> None:
    """Bytes of the next state that were written, and then perhaps some that nobody wrote."""
    there, coming = output.stat().st_size, following.read_bytes()
    upto = data.draw(st.integers(there, max(there, len(coming))), "bytes written")
    with output.open("ab") as file:
        file.write(coming[there:upto])
        file.write(data.draw(st.binary(max_size=3), "lost blocks"))
