"""mistral.rs, on candle: the checkpoint's own files, quantized by it at load.

It takes texts and no token ids, and gives its own speed of decoding: each sample continues a text of
about as many tokens as the workload's prompt has.
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.peers.base import (
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
            from benchmarks.synthetic import write_tokenizer

            write_tokenizer(folder, config["vocab_size"])

    def open(self, target: Target, quantization: str, setting: str, threads: int) -> Runner:
        from mistralrs import Runner as Engine
        from mistralrs import Which

        which = Which.Plain(model_id=str(target.exports / "mistralrs"))
        engine = Engine(which=which, in_situ_quant=quantization)
        facts = Facts(None, None, "anonymous", 2, note="texts in, its own clock")
        return MistralRsRunner(engine, facts)


class MistralRsRunner(Runner):
    """Completions of one text."""

    def __init__(self, engine: Any, facts: Facts) -> None:
        self._engine, self.facts = engine, facts

    def prepare(self, work: Workload) -> None:
        if len(work.prompts) > 1 or len(work.prompts[0]) > MOST_PROMPT:
            raise Unavailable("it takes texts, no token ids: one short prompt only")

    def time(self, work: Workload) -> float:
        from mistralrs import CompletionRequest

        wanted = len(work.steps) + 1
        request = CompletionRequest(
            model="default", prompt=PROMPT, max_tokens=wanted, temperature=0.0
        )
        usage = self._engine.send_completion_request(request).usage
        if usage.completion_tokens < wanted:
            raise Unavailable(f"it ended after {usage.completion_tokens} of {wanted} tokens")
        return len(work.steps) / usage.avg_compl_tok_per_sec


PEER = MistralRs()
