"""Starts a worker in any interpreter: `PYTHON worker_main.py MODULE [ARGUMENT…]`.

`lapwing.bench` is the one this file belongs to, so that everyone is measured by one program; the
rest of `lapwing` is the interpreter's own where it has one, so that two versions can be compared.
Nothing else that is installed beside this file becomes visible to the interpreter.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).resolve().parents[2]


def adopt(name: str, folder: Path) -> ModuleType:
    """The package in that folder, imported under that name."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Runs the worker until its requests end."""
    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [folder for folder in sys.path if folder != here]  # its names are not for others
    if importlib.util.find_spec("lapwing") is None:
        adopt("lapwing", PACKAGE)
    import lapwing

    lapwing.bench = adopt("lapwing.bench", PACKAGE / "bench")
    from lapwing.bench.measure import worker

    worker.main(*sys.argv[1:])


if __name__ == "__main__":
    main()
