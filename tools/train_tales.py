"""Train, or evaluate, the bundled model: a small GPT-2 on public-domain tales.

    python tools/train_tales.py tales.train.txt.gz --valid tales.valid.txt --out tales --minutes 70
    python tools/train_tales.py --evaluate src/lapwing/data/tales --valid tales.valid.txt

A text file (plain or .gz, UTF-8) holds documents separated by empty lines.  Matrices learn by Muon
(K. Jordan, https://kellerjordan.github.io/posts/muon), the rest by AdamW; the learning rate warms
up and then falls along half a cosine.  Needs torch and transformers (the `oracle` extra).
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

END_OF_TEXT = "<|endoftext|>"  # id 0, before every document
TOKENS_PER_STEP = 4096
LONG_AFTER = 0.85  # share of the training after which sequences have the full context
WARMUP_STEPS = 50
ADAMW_LR, MUON_LR = 3e-3, 0.02

Ids = npt.NDArray[np.int64]


def read_documents(path: Path) -> list[str]:
    """Documents of a plain or gzipped text file."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    return [document for document in text.split("\n\n") if document.strip()]


def train_tokenizer(documents: Iterable[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE: every text has ids, whatever its characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, documents: list[str]) -> Ids:
    """One stream of ids, an end-of-text before each document."""
    end = tokenizer.token_to_id(END_OF_TEXT)
    encodings = tokenizer.encode_batch(documents)
    return np.concatenate([np.array([end, *encoding.ids], np.int64) for encoding in encodings])


def sample_batch(ids: Ids, length: int, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets [B, length] from random places: a function of seed and step alone, so a
    resumed training reads on where it stopped."""
    rng = np.random.default_rng([seed, step])
    starts = rng.integers(0, len(ids) - length, TOKENS_PER_STEP // length)
    batch = torch.from_numpy(ids[starts[:, None] + np.arange(length + 1)])
    return batch[:, :-1], batch[:, 1:]


def loss_of(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log likelihood, nats per token."""
    logits = model(inputs, use_cache=False).logits
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


@torch.no_grad()
def evaluate(model: Any, ids: Ids, max_tokens: int | None) -> tuple[float, int]:
    """Held-out loss in nats per token, and the number of tokens predicted.

    Windows of the whole context follow one another without overlap; the rest that fills no window
    is left out.  With `max_tokens`, so many tokens in windows spread evenly.
    """
    length = model.config.n_positions
    starts = np.arange(0, len(ids) - length, length)
    if max_tokens is not None and max_tokens < len(starts) * length:
        keep = max(1, max_tokens // length)
        starts = starts[np.linspace(0, len(starts) - 1, keep).astype(int)]
    model.eval()
    total = 0.0
    for chunk in np.array_split(starts, math.ceil(len(starts) / 8)):
        batch = torch.from_numpy(ids[chunk[:, None] + np.arange(length + 1)]).to(model.device)
        total += len(chunk) * float(loss_of(model, batch[:, :-1], batch[:, 1:]))
    model.train()
    return total / len(starts), len(starts) * length


def orthogonalize(matrix: Tensor) -> Tensor:
    """Nearly the closest matrix with singular values of one: five Newton-Schulz steps."""
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    if tall := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then orthogonalization.  Parameters are GPT-2's Conv1D matrices [in, out],
    whose step grows with sqrt(out / in) where they widen."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                velocity = state["velocity"]
                velocity.lerp_(parameter.grad, 1 - group["momentum"])
                update = orthogonalize(parameter.grad.lerp(velocity, group["momentum"]))
                n_in, n_out = parameter.shape
                parameter.add_(update, alpha=-group["lr"] * math.sqrt(max(1, n_out / n_in)))


@dataclass
class Training:
    """Everything that moves: model, optimizers, the step and the time spent so far."""

    model: Any
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    elapsed_s: float = 0.0

    @classmethod
    def begin(cls, model: Any) -> Training:
        matrices = [p for p in model.transformer.h.parameters() if p.ndim == 2]
        chosen = set(map(id, matrices))
        rest = [p for p in model.parameters() if id(p) not in chosen]
        adamw = torch.optim.AdamW(rest, lr=ADAMW_LR, betas=(0.9, 0.95), weight_decay=0.0)
        optimizers = [Muon(matrices, lr=MUON_LR), adamw]
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["peak_lr"] = group["lr"]
        return cls(model, optimizers)

    def advance(self, inputs: Tensor, targets: Tensor, progress: float) -> float:
        """One step at `progress` (0 to 1) of the training; returns its loss in nats per token."""
        began = time.monotonic()
        factor = min(1, (self.step + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * progress)) / 2
        device = self.model.device
        loss = loss_of(self.model, inputs.to(device), targets.to(device))
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            optimizer.step()
            optimizer.zero_grad()
        value = loss.item()
        self.step += 1
        self.elapsed_s += time.monotonic() - began
        return value

    def write_checkpoint(self, path: Path) -> None:
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"model": self.model.state_dict(), "optimizers": optimizers}
        partial = path.with_suffix(".partial")
        torch.save(state | {"step": self.step, "elapsed_s": self.elapsed_s}, partial)
        partial.replace(path)

    def read_checkpoint(self, path: Path) -> None:
        state = torch.load(path, map_location=self.model.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.elapsed_s = state["step"], state["elapsed_s"]


def new_model(options: argparse.Namespace, tokenizer: Tokenizer) -> Any:
    end = tokenizer.token_to_id(END_OF_TEXT)
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=options.context,
        n_embd=options.n_embd,
        n_layer=options.n_layer,
        n_head=options.n_head,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=end,
        eos_token_id=end,
    )
    torch.manual_seed(options.seed)
    return GPT2LMHeadModel(config).to(options.device)


def save(model: Any, tokenizer: Tokenizer, directory: Path) -> None:
    """A Hugging Face directory: float16 safetensors, config, tokenizer."""
    copy.deepcopy(model).half().save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    facts = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "model_max_length": model.config.n_positions,
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(facts, indent=1) + "\n"
    (directory / "tokenizer_config.json").write_text(text, encoding="utf-8")


def train(options: argparse.Namespace) -> None:
    documents = read_documents(options.text)
    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint, tokenizer_file = options.out / "checkpoint.pt", options.out / "tokenizer.json"
    given = tokenizer_file if options.resume else options.tokenizer
    if given is not None:
        tokenizer = Tokenizer.from_file(str(given))
    else:
        tokenizer = train_tokenizer(documents, options.vocab_size)
    tokenizer.save(str(tokenizer_file))
    ids = encode(tokenizer, documents)
    held_out = encode(tokenizer, read_documents(options.valid)) if options.valid else None
    training = Training.begin(new_model(options, tokenizer))
    if options.resume:
        training.read_checkpoint(checkpoint)
    size = sum(p.numel() for p in training.model.parameters())
    print(f"{size} parameters, {len(ids)} training tokens, begins at step {training.step}")

    last_save_s, recent = training.elapsed_s, 0.0
    while (progress := training.elapsed_s / (60 * options.minutes)) < 1:
        length = options.context if progress >= LONG_AFTER else options.context // 2
        inputs, targets = sample_batch(ids, length, options.seed, training.step)
        loss = training.advance(inputs, targets, progress)
        recent = loss if not recent else 0.95 * recent + 0.05 * loss
        if training.step % options.log_every == 0:
            print(
                f"step {training.step}  {training.elapsed_s:.0f} s  loss {recent:.3f}", flush=True
            )
        if training.elapsed_s - last_save_s > 60 * options.save_minutes:
            training.write_checkpoint(checkpoint)
            last_save_s = training.elapsed_s
    training.write_checkpoint(checkpoint)
    save(training.model, tokenizer, options.out)
    if held_out is not None:
        report(training.model, held_out, options.max_tokens)


def report(model: Any, held_out: Ids, max_tokens: int | None) -> None:
    loss, tokens = evaluate(model, held_out, max_tokens)
    print(f"held-out loss {loss:.3f} nats per token over {tokens} tokens")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("text", type=Path, nargs="?", help="training text, .txt or .txt.gz")
    add("--valid", type=Path, help="held-out text")
    add("--evaluate", type=Path, metavar="DIR", help="only print the held-out loss of this model")
    add("--max-tokens", type=int, help="evaluate on so many tokens (default: all)")
    add("--out", type=Path, default=Path("tales"), help="directory to write (default: tales)")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add("--minutes", type=float, default=70, help="training time, all runs together (default: 70)")
    add("--save-minutes", type=float, default=5, help="between checkpoints (default: 5)")
    add("--log-every", type=int, default=50, help="steps between lines (default: 50)")
    add("--tokenizer", type=Path, help="tokenizer.json to use (default: train one)")
    add("--vocab-size", type=int, default=2048, help="of a new tokenizer (default: 2048)")
    add("--context", type=int, default=512, help="positions (default: 512)")
    add("--n-embd", type=int, default=256, help="default: 256")
    add("--n-layer", type=int, default=4, help="default: 4")
    add("--n-head", type=int, default=8, help="default: 8")
    add("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    add("--device", default="cpu", help="torch device (default: cpu)")
    add("--threads", type=int, default=torch.get_num_threads(), help="CPU threads of torch")
    options = parser.parse_args()
    if options.evaluate is None and options.text is None:
        parser.error("give a training text, or --evaluate DIR")
    if options.evaluate is not None and options.valid is None:
        parser.error("--evaluate needs the held-out text: --valid FILE")
    return options


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    if options.evaluate is None:
        train(options)
        return
    model: Any = GPT2LMHeadModel.from_pretrained(str(options.evaluate))
    tokenizer = Tokenizer.from_file(str(options.evaluate / "tokenizer.json"))
    held_out = encode(tokenizer, read_documents(options.valid))
    report(model.float().to(options.device), held_out, options.max_tokens)


if __name__ == "__main__":
    main()
