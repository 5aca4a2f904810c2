"""Print ``config.toml``: ``python -m supervision.config > config.toml``."""

from __future__ import annotations

import sys

from supervision.config.printing import printed

if __name__ == "__main__":
    sys.stdout.write(printed())
