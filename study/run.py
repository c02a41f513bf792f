"""Run a study: ``python study/run.py --help``. A thin script, so that ``ray submit`` can copy this one file."""

import sys
from pathlib import Path


def main() -> int:
    """Hand over to the installed package."""
    # Python puts this script's folder first on the path, where the package's modules would hide other packages'.
    here = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != here]
    try:
        from study.cli import main as run
    except ModuleNotFoundError as error:
        print(
            f"error: {error}. The project must be installed for {sys.executable}: run 'make demo' in a checkout, or "
            "'pip install PATH_OF_CHECKOUT'",
            file=sys.stderr,
        )
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
