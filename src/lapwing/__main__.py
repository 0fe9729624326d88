"""`python -m lapwing`."""

from __future__ import annotations

import sys

from lapwing.cli.main import main

sys.exit(main())
