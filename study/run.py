"""Run a study: ``python study/run.py --help``. A thin script, so that ``ray submit`` can copy this one file."""

import sys
from importlib.util import find_spec
from pathlib import Path

EXTRA = ("cmaes", "fsspec", "jinja2", "joblib", "matplotlib", "optuna", "pandas", "ray", "seaborn", "sklearn", "tqdm")
"""Modules of the extra "study", checked before anything runs: a study must not fail at its report."""


def main() -> int:
    """Call the installed package, if this script belongs to its code."""
    script = Path(__file__).resolve()
    # Python puts this script's folder first on the path, where the package's modules would hide other packages'.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != script.parent]
    if (script.parent.parent / "pyproject.toml").is_file():
        # After everything installed: a client of a cluster may have only Ray and this checkout.
        sys.path.append(str(script.parent.parent))
    try:
        from study.codebase import check_script, code_digest

        check_script(script)
        if sys.argv[1:] == ["digest"]:
            print(code_digest())
            return 0
        if missing := [name for name in EXTRA if find_spec(name) is None]:
            raise ModuleNotFoundError(f"No module named {', '.join(missing)}")
        from study.command.cli import main as run
    except ModuleNotFoundError as error:
        print(
            f'error: {error}. The project and its extra "study" must be installed for {sys.executable}: run '
            "'make demo' in a checkout, or 'pip install \"PATH_OF_CHECKOUT[study]\"'; on a cluster "
            "'ray up --no-restart cluster.yaml' does it",
            file=sys.stderr,
        )
        return 2
    except ValueError as error:
        # The code differs from this script's, or one of its files is damaged.
        from promptad.user_error import UserError

        if not isinstance(error, UserError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    return run()


if __name__ == "__main__":
    sys.exit(main())
