"""A hook of mkdocs: each notebook is executed when the site is built, and becomes a page of it.

Notebooks are kept without outputs, so that none is older than the code. As a page, a notebook is
Markdown with its outputs as blocks and figures beside it: links are checked and colours follow the
theme as on any other page, and nothing is loaded from elsewhere. Extra `docs`.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SUFFIX = ".ipynb"
MOST_SECONDS = 300  # of a cell


@dataclass(frozen=True)
class Executed:
    """A notebook after its cells were run: Markdown, and its figures by file name, as PNG."""

    text: str
    figures: dict[str, bytes]


class NotebookPage(File):
    """A page that was written as a notebook."""

    def is_documentation_page(self) -> bool:
        """Whether Markdown is made of it: always."""
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put an executed page in the place of every notebook, with its figures beside it."""
    for notebook in [file for file in files if file.src_uri.endswith(SUFFIX)]:
        place = PurePosixPath(notebook.src_uri)
        done = executed(notebook.content_string, place.stem)
        files.remove(notebook)
        files.append(NotebookPage.generated(config, notebook.src_uri, content=done.text))
        for name, content in done.figures.items():
            figure = place.with_name(name).as_posix()
            files.append(File.generated(config, figure, content=content))
    return files


@cache  # `mkdocs serve` runs a notebook again where it changed
def executed(source: str, name: str) -> Executed:
    """Run a notebook's cells, in a folder that is thrown away.

    Args:
        source: the notebook. name: with which its figures' file names begin.

    Raises:
        PluginError: it is no notebook of format 4.5, a cell fails, or a figure is not described.
    """
    notebook = nbformat.reads(source, as_version=4)
    nbformat.validate(notebook)
    with TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=MOST_SECONDS,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        try:
            client.execute()
        except CellExecutionError as error:
            raise PluginError(
                f"{name}{SUFFIX}: a cell failed, so there is no page.\n{error}"
            ) from None
    parts: list[str] = []
    figures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            parts.extend(_shown(output, cell, name, figures))
    return Executed("\n\n".join(parts) + "\n", figures)


def _shown(output: Any, cell: Any, name: str, figures: dict[str, bytes]) -> list[str]:
    """An output as Markdown; a figure is put among the others. Text to stderr is not shown."""
    if output.output_type == "stream":
        return [f"```text\n{output.text.rstrip()}\n```"] if output.name == "stdout" else []
    if (png := output.data.get("image/png")) is None:
        return [f"```text\n{output.data['text/plain'].rstrip()}\n```"]
    if not (described := cell.metadata.get("alt")):
        raise PluginError(
            f"{name}{SUFFIX}: the figure of cell {cell.id} says nothing to whoever does not see "
            "it, so there is no page. Describe it in the cell's metadata, as `alt`."
        )
    file = f"{name}-{len(figures) + 1}.png"
    figures[file] = base64.b64decode(png)
    return [f"![{described}]({file})"]
