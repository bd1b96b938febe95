"""The entry point of invoke. The tasks themselves are in scripts/carto_fork/tasks.py."""

import sys
from pathlib import Path

# Not installed and not a package: LiteLLM has a scripts directory of its own.
sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))

from carto_fork.tasks import namespace

__all__ = ["namespace"]
