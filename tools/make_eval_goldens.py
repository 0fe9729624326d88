"""Write tests/golden/perplexity.json and spearman.json: what transformers and scipy compute.

    python tools/make_eval_goldens.py

needs torch and transformers (the `oracle` extra), scipy, and stories260k beside the repository.
The loop is that of transformers' documentation, "Perplexity of fixed-length models": windows that
overlap, labels of −100 where a token was scored before; the model's own loss is the mean over the
labels that are left, shifted by one, so that a window's first token has none.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from make_goldens import ROOT, weights_sha256

from lapwing.weights.hub import bundled_models

COMMAND = "python tools/make_eval_goldens.py"
STORIES = ROOT.parent / "shared" / "models" / "stories260k"
CUTS = ((32, 16), (64, 64), (100, 17), (256, 128))  # window, stride
TOKENS = 600


def text_of_tales() -> str:
    """What tales wrote after the prompts of its golden."""
    facts = json.loads((ROOT / "tests" / "golden" / "tales.json").read_text())
    return " ".join(each["prompt"] + each["text"] for each in facts["prompts"])


def ids_of_stories() -> list[int]:
    """What stories260k draws by itself, a window after the other."""
    with np.load(ROOT / "tests" / "golden" / "stories.npz") as arrays:
        return [int(i) for i in arrays["sample.ids"].reshape(-1)[:TOKENS]]


def perplexity(model: Any, ids: list[int], window: int, stride: int) -> dict[str, Any]:
    import torch

    tensor = torch.tensor([ids])
    nll_sum, scored, previous_end = 0.0, 0, 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        labels = tensor[:, begin:end].clone()
        labels[:, : -(end - previous_end)] = -100
        count = int((labels[:, 1:] != -100).sum())
        if count:
            with torch.no_grad():
                loss = model(tensor[:, begin:end], labels=labels).loss
            nll_sum += float(loss) * count
            scored += count
        previous_end = end
        if end == len(ids):
            break
    return {
        "window": window,
        "stride": stride,
        "scored": scored,
        "nll": nll_sum / scored,
        "perplexity": math.exp(nll_sum / scored),
    }


def make(directory: Path, ids: list[int]) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(directory), dtype=torch.float32)
    return {
        "sha256": weights_sha256(directory),
        "ids": ids,
        "cuts": [perplexity(model, ids, *cut) for cut in CUTS],
    }


def correlations() -> list[dict[str, Any]]:
    """Small samples, ties in one, in both, and in none of two."""
    from scipy.stats import rankdata, spearmanr

    rng = np.random.default_rng(7)
    samples = []
    for size, kinds_a, kinds_b in ((5, 0, 0), (12, 3, 0), (40, 4, 6), (200, 0, 11), (300, 2, 2)):
        a, b = (
            rng.integers(0, k, size) if k else rng.normal(size=size) for k in (kinds_a, kinds_b)
        )
        b = b + a if kinds_a and kinds_b else b
        samples.append(
            {
                "a": [float(x) for x in a],
                "b": [float(x) for x in b],
                "ranks_a": [float(x) for x in rankdata(a)],
                "spearman": float(spearmanr(a, b).statistic),
            }
        )
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=Path, default=STORIES, help="directory of stories260k")
    stories: Path = parser.parse_args().stories
    import scipy
    import torch
    import transformers
    from transformers import AutoTokenizer

    tales = bundled_models()["tales"]
    tokenizer: Any = AutoTokenizer.from_pretrained(str(tales))
    text = text_of_tales()
    facts = {
        "command": COMMAND,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "tales": {"text": text, **make(tales, tokenizer.encode(text)[:TOKENS])},
        "stories": make(stories, ids_of_stories()),
    }
    path = ROOT / "tests" / "golden" / "perplexity.json"
    path.write_text(json.dumps(facts, ensure_ascii=False) + "\n", encoding="utf-8")
    versions = {"scipy": scipy.__version__, "numpy": np.__version__}
    told = {"command": COMMAND, "versions": versions, "samples": correlations()}
    path = ROOT / "tests" / "golden" / "spearman.json"
    path.write_text(json.dumps(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
