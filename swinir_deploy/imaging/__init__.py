"""Pictures: files, padding, tiles, and the restorer that brings them through a runtime.

Needs NumPy, Pillow and tqdm; neither torch nor any back end.
"""

from swinir_deploy.imaging.files import PICTURE_SUFFIXES, read_picture
from swinir_deploy.imaging.limits import DEFAULT_MAX_PIXELS
from swinir_deploy.imaging.memory import parse_size
from swinir_deploy.imaging.padding import crop, pad_to_window
from swinir_deploy.imaging.picture import Picture, PictureLayout
from swinir_deploy.imaging.reports import FailedFile, FolderReport, RestoredFile
from swinir_deploy.imaging.restorer import Restorer
from swinir_deploy.imaging.tile_choice import TileChoice, TileTrial
from swinir_deploy.imaging.tiled import DEFAULT_OVERLAP_PX, DEFAULT_TILE_PX, WHOLE_PICTURE_PX
from swinir_deploy.imaging.tiling import AxisPlan, Tile, TilePlan, blend_strips, plan_tiles
from swinir_deploy.imaging.writing import DEFAULT_QUALITY, check_target, write_picture

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "DEFAULT_OVERLAP_PX",
    "DEFAULT_QUALITY",
    "DEFAULT_TILE_PX",
    "PICTURE_SUFFIXES",
    "WHOLE_PICTURE_PX",
    "AxisPlan",
    "FailedFile",
    "FolderReport",
    "Picture",
    "PictureLayout",
    "RestoredFile",
    "Restorer",
    "Tile",
    "TileChoice",
    "TilePlan",
    "TileTrial",
    "blend_strips",
    "check_target",
    "crop",
    "pad_to_window",
    "parse_size",
    "plan_tiles",
    "read_picture",
    "write_picture",
]
