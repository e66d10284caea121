"""Grayscale images: their public schema, and vectors of low frequencies in place of pixels."""

from dpfedsyn.images.encoder import ImageEncoder
from dpfedsyn.images.geometry import Geometry
from dpfedsyn.images.schema import ImageSchema

__all__ = ["Geometry", "ImageEncoder", "ImageSchema"]
