"""mistral.rs, on candle: the checkpoint's own files, quantized by it at load.

It takes texts and no token ids: a sample is what a completion takes beyond one of a single token.
"""

from __future__ import annotations

import json
import time
from typing import Any

from lapwing.bench.peers.base import (
    Facts,
    Family,
    Peer,
    Quantization,
    Runner,
    Target,
    Unavailable,
    Workload,
)

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM"}
# Its reader names no defaults of its own for these.
DEFAULTS = {
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "sliding_window": None,
    "max_window_layers": 0,
    "use_sliding_window": False,
}
PROMPT = "Once upon a time there was a king, and the king had a daughter"
SHORTEST_S = 1e-4  # where noise makes the difference vanish
MOST_PROMPT = 64  # tokens of the workload that this text may stand for


class MistralRs(Peer):
    """Weights in a folder of links, whose config names what it asks for."""

    name = "mistralrs"
    module = package = "mistralrs"
    kinds = ("decode",)
    families = ("llama", "qwen2")
    most_weights = 600_000_000

    def quantizations(self, family: Family) -> tuple[Quantization, ...]:
        return (
            Quantization("Q4_0", "int4"),
            Quantization("Q4K", "int4"),
            Quantization("Q8_0", "int8"),
        )

    def export(self, target: Target, quantization: str) -> None:
        folder = target.exports / "mistralrs"
        folder.mkdir(parents=True, exist_ok=True)
        config = json.loads((target.directory / "config.json").read_text())
        config = {**DEFAULTS, "architectures": [ARCHITECTURES[target.family]], **config}
        (folder / "config.json").write_text(json.dumps(config))
        for path in target.directory.iterdir():
            link = folder / path.name
            if path.name != "config.json" and not link.exists():
                link.symlink_to(path.resolve())
        if not (folder / "tokenizer.json").exists():
            from lapwing.bench.export.tokenizer import write_tokenizer

            write_tokenizer(folder, config["vocab_size"])

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        from mistralrs import Runner as Engine
        from mistralrs import Which

        which = Which.Plain(model_id=str(target.exports / "mistralrs"))
        engine = Engine(which=which, in_situ_quant=quantization)
        facts = Facts(None, None, "anonymous", 2, note="texts in, texts out")
        return MistralRsRunner(engine, facts)


class MistralRsRunner(Runner):
    """Completions of one text."""

    def __init__(self, engine: Any, facts: Facts) -> None:
        self._engine, self.facts = engine, facts

    def prepare(self, work: Workload) -> None:
        if len(work.prompts) > 1 or len(work.prompts[0]) > MOST_PROMPT:
            raise Unavailable("it takes texts, no token ids: one short prompt only")

    def time(self, work: Workload) -> float:
        first_s = self._complete(1)
        return max(self._complete(len(work.steps) + 1) - first_s, SHORTEST_S)

    def _complete(self, wanted: int) -> float:
        from mistralrs import CompletionRequest

        request = CompletionRequest(
            model="default", prompt=PROMPT, max_tokens=wanted, temperature=0.0
        )
        began_s = time.perf_counter()
        made = self._engine.send_completion_request(request).usage.completion_tokens
        took_s = time.perf_counter() - began_s
        if made < wanted:
            raise Unavailable(f"it ended after {made} of {wanted} tokens")
        return took_s


PEER = MistralRs()
