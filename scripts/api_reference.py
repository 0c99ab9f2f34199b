"""The API reference: the docstrings of `keras_ddl` as a static site (`make docs`).

Usage: python scripts/api_reference.py [FOLDER]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from pkgutil import iter_modules

import pdoc

import keras_ddl

OUT = Path("build/docs")


def names() -> Iterator[str]:
    """The package and what lies in it; of a package with `__all__` pdoc shows that and no more."""
    yield "keras_ddl"
    for found in iter_modules(keras_ddl.__path__, "keras_ddl."):
        if not found.name.endswith("__main__"):  # importing it would run the program
            yield found.name


def main(argv: Sequence[str] | None = None) -> int:
    """Write the site; return an exit code."""
    given = sys.argv[1:] if argv is None else argv
    out = Path(given[0]) if given else OUT
    for name in keras_ddl.__all__:  # they load on first use, which pdoc does not wait for
        vars(keras_ddl)[name] = getattr(keras_ddl, name)
    # Annotations that are imported for type checkers alone are shown as they are written.
    warnings.filterwarnings("ignore", "Error parsing type annotation")
    pdoc.render.configure(
        docformat="google", footer_text=f"keras-ddl {keras_ddl.__version__}", show_source=False
    )
    pdoc.pdoc(*names(), output_directory=out)
    print(f"API reference: {out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
