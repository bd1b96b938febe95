"""The entry point of invoke. The tasks themselves are in scripts/carto_fork/tasks.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent

# Not installed and not a package: LiteLLM has a scripts directory of its own.
sys.path.insert(0, str(ROOT / "scripts"))
# invoke keeps byte code from being written; compiling anew each time would double the start.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)

try:
    from carto_fork.start import end_in_one_line

    end_in_one_line()
    from carto_fork.tasks import namespace
except ModuleNotFoundError as missing:
    sys.exit(
        f"Refused: this invoke has no module {missing.name}.\nNothing was changed.\n"
        f"Next: make -C {ROOT} help, or: pip install {ROOT}"
    )

__all__ = ["namespace"]
