"""A picture of pictures: a few images of each label."""

import io

import numpy as np
from numpy.typing import NDArray

LEAST_WIDTH = 400
_BETWEEN = 0.5  # brightness of separators and of places without an image


def grid(
    images: NDArray[np.floating],
    labels: NDArray[np.int64],
    names: tuple[str, ...],
    columns: int = 10,
) -> bytes:
    """Return a PNG with a row for each label: its first images, in order.

    Args:
        images: (n, h, w) in [0, 1], 0 is black. labels: (n,) in 0 .. len(names) - 1.
        columns: images in a row; places that a label cannot fill stay grey.

    Returns:
        The bytes of a PNG at least LEAST_WIDTH wide, the same for the same input: every pixel is
        a square of whole size, separators are one such square wide.
    """
    # Not at the top: a command that draws nothing need not wait for matplotlib.
    from matplotlib.image import imsave

    canvas = _canvas(images, labels, len(names), columns)
    factor = -(-LEAST_WIDTH // canvas.shape[1])
    file = io.BytesIO()
    large = np.kron(canvas, np.ones((factor, factor)))
    nothing = {"pnginfo": None}  # no version or date beside the pixels
    imsave(file, large, vmin=0, vmax=1, cmap="gray", format="png", pil_kwargs=nothing)
    return file.getvalue()


def _canvas(
    images: NDArray[np.floating], labels: NDArray[np.int64], rows: int, columns: int
) -> NDArray[np.float64]:
    """The images side by side, one pixel apart and framed by one."""
    height, width = images.shape[1] + 1, images.shape[2] + 1
    canvas = np.full((rows * height + 1, columns * width + 1), _BETWEEN)
    for row in range(rows):
        for column, place in enumerate(np.flatnonzero(labels == row)[:columns].tolist()):
            top, left = row * height + 1, column * width + 1
            canvas[top : top + height - 1, left : left + width - 1] = images[place]
    return canvas
