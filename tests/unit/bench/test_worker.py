"""Processes that are asked: answers, failures, deaths, and other interpreters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lapwing.bench.contestant import as_error
from lapwing.bench.measure import worker_main
from lapwing.bench.measure.client import Worker
from lapwing.bench.measure.sampler import Sampler
from lapwing.bench.measure.worker import Unavailable
from lapwing.errors import DoesNotFitError, RequestError

HANDLER = """
import os, sys
class Handler:
    def answer(self, do, **given):
        print("noise on standard output")
        if do == "add":
            return {"sum": sum(given["numbers"]), "argument": sys.argv[2:]}
        if do == "where":
            import lapwing, lapwing.bench.measure.worker as worker
            return {"lapwing": lapwing.__file__, "bench": worker.__file__, "path": sys.path}
        if do == "die":
            print("the last word", file=sys.stderr)
            sys.stderr.flush()
            os._exit(3)
        raise ValueError("no such thing")
def handler(*arguments):
    return Handler()
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "answers.py").write_text(HANDLER)
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}


def test_answers_failures_and_death(tmp_path: Path, environment: dict[str, str]) -> None:
    worker = Worker(("answers", "x"), tmp_path / "log", environment=environment)
    try:
        assert worker.ask("add", numbers=[1, 2]) == {"sum": 3, "argument": ["x"]}
        with pytest.raises(Unavailable, match="ValueError: no such thing"):
            worker.ask("nonsense")
        assert worker.ask("add", numbers=[5])["sum"] == 5  # it lives on
        with pytest.raises(Unavailable, match=r"exit code 3; last words: the last word"):
            worker.ask("die")
        assert not worker.alive
    finally:
        worker.close()


def test_an_interpreter_without_lapwing_gets_this_one_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "answers.py").write_text(HANDLER)
    done = subprocess.run(
        [sys.executable, "-S", worker_main.__file__, "answers"],
        input='{"do": "where"}\n',
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    ready, answer = done.stdout.splitlines()
    assert ready == '{"ready": true}'
    package = Path(worker_main.__file__).parents[2]
    assert f'"lapwing": "{package / "__init__.py"}"' in answer
    assert f'"{package.parent}"' not in answer  # what else is beside it stays unseen


def test_errors_of_a_worker_are_ours() -> None:
    assert isinstance(as_error("RequestError: dtype: no"), RequestError)
    assert str(as_error("RequestError: dtype: no")) == "dtype: no"
    assert isinstance(as_error("MemoryError: "), DoesNotFitError)
    assert isinstance(as_error("the process ended with signal SIGKILL; …"), DoesNotFitError)
    assert "ZeroDivisionError" in str(as_error("ZeroDivisionError: division by zero"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc/PID/status")
def test_phases_of_memory_are_told_apart(tmp_path: Path) -> None:
    taken = []
    with Sampler(os.getpid()) as sampler:
        sampler.phase("before")
        sampler.phase("with more")
        taken.append(bytearray(b"x") * 50_000_000)
        sampler.pause()
        taken.append(bytearray(b"x") * 50_000_000)  # nobody looks
        taken.pop()
        seen = sampler.stop()
    before, more = seen.get("before", "rss"), seen.get("with more", "rss")
    assert before is not None
    assert more is not None
    assert 45e6 < more.last - before.first < 60e6
    assert seen.peak("pss", "before", "with more") is not None
    assert [p.time_s for p in seen.timeline] == sorted(p.time_s for p in seen.timeline)
    assert seen.get("never", "rss") is None


def test_a_process_that_is_gone_is_told() -> None:
    sampler = Sampler(2**22 + 5)
    sampler.start()
    sampler.phase("nothing")
    seen = sampler.stop()
    assert seen.phases == {}
    assert seen.reason is not None
    assert "does not tell" in seen.reason
