"""Write report.html: one self-contained page from the JSON files of a run folder alone.

Importing this package is instant; drawing is imported by `write`.
"""

from pathlib import Path


def write(run_folder: Path) -> Path:
    """Write the report of a run and return its path.

    The page is written whole or not at all, for its owner's eyes; it needs no script and loads
    nothing.

    Raises:
        DataError: the folder holds no statement, or a file in it is damaged.
    """
    from dpfedsyn.marking import named
    from dpfedsyn.report.finished import read
    from dpfedsyn.report.page import render

    run = read(run_folder)
    page = render(run)
    target = run_folder / named("report.html", private=run.private)
    draft = target.with_suffix(".html.part")
    draft.touch(mode=0o600)
    draft.write_text(page, encoding="utf-8")
    draft.replace(target)
    return target
