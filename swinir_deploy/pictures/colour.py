"""Turn what a file calls colours into gray or RGB, with the help of its profile."""

from __future__ import annotations

from typing import Any

from swinir_deploy.pictures.containers.contents import Contents
from swinir_deploy.pictures.icc import colours_of
from swinir_deploy.pictures.vips import libvips, with_blob

__all__ = ["gray_to_srgb", "in_gray_or_rgb", "lab_of_bytes"]


def in_gray_or_rgb(colours: Any, contents: Contents) -> Any:
    """Return an image of libvips in gray or RGB, without its opacity.

    The profile of ``contents`` is used up where it converts the colours, and left out where it is
    damaged or for other colours; notes say so.

    Args:
        colours: the image, without opacity.
        contents: what was found in the file; its profile and notes are changed.
    """
    profile, contents.icc_profile = contents.icc_profile, None
    space = colours_of(profile) if profile else ""
    if profile and not space:
        contents.damaged("colour profile", "it is no ICC profile")
    if colours.interpretation == "cmyk":
        return _cmyk_to_rgb(colours, profile if space == "CMYK" else None, contents)
    if colours.interpretation in ("lab", "labs", "labq"):
        contents.notes.append("L*a*b* became sRGB.")
        return colours.colourspace("rgb16" if colours.format == "short" else "srgb")
    expected = "GRAY" if colours.bands == 1 else "RGB"
    if space == expected:
        contents.icc_profile = profile
    elif space == "RGB" and colours.bands == 1 and colours.format in ("uchar", "ushort"):
        return _gray_through_rgb_profile(colours, profile, contents)
    elif space:
        contents.notes.append(
            f"The colour profile was left out: it is for {space}, and the picture is "
            f"{'gray' if expected == 'GRAY' else 'RGB'}."
        )
    return colours


def _cmyk_to_rgb(colours: Any, profile: bytes | None, contents: Contents) -> Any:
    is_deep = colours.format == "ushort"
    if profile:
        colours = with_blob(colours, "icc-profile-data", profile)
        how = "through the file's colour profile"
    else:
        how = (
            "without a colour profile, by that of a usual print: colours may differ from the print"
        )
    contents.notes.append(f"CMYK became sRGB {how}.")
    return colours.colourspace("rgb16" if is_deep else "srgb")


def _gray_through_rgb_profile(colours: Any, profile: bytes | None, contents: Contents) -> Any:
    assert profile is not None
    is_deep = colours.format == "ushort"
    try:
        rgb = colours.bandjoin([colours, colours]).copy(
            interpretation="rgb16" if is_deep else "srgb"
        )
        rgb = with_blob(rgb, "icc-profile-data", profile)
        plain = rgb.icc_transform("srgb", embedded=True, depth=16 if is_deep else 8)
    except libvips().Error:
        contents.notes.append(
            "The colour profile was left out: it is for RGB, the picture is gray."
        )
        return colours
    contents.notes.append("The gray picture had a profile for RGB; it became the gray of sRGB.")
    return plain.extract_band(1).copy(interpretation="grey16" if is_deep else "b-w")


def lab_of_bytes(image: Any, is_signed: bool) -> Any:
    """Return an image of L*a*b* for three bands of 8 bits, as TIFFs have it.

    Args:
        image: the bands as unsigned bytes.
        is_signed: whether the bytes of a* and b* have a sign (CIE L*a*b*), or 128 means 0 (ICC).
    """
    lightness = image.extract_band(0) * (100 / 255)
    others = [image.extract_band(band) for band in (1, 2)]
    if is_signed:
        others = [(band > 127).ifthenelse(band.cast("short") - 256, band) for band in others]
    else:
        others = [band.cast("short") - 128 for band in others]
    return lightness.bandjoin(others).copy(interpretation="lab")


def gray_to_srgb(image: Any, profile: bytes) -> Any:
    """Return an image of gray (and opacity) in sRGB, converted through a profile for gray.

    Args:
        image: an image of libvips with one or two bands.
        profile: a colour profile for gray.

    Raises:
        pyvips.Error: the profile cannot be used.
    """
    gray = with_blob(image.extract_band(0), "icc-profile-data", profile)
    is_deep = image.format == "ushort"
    rgb = gray.icc_transform("srgb", embedded=True, depth=16 if is_deep else 8)
    rgb.remove("icc-profile-data")  # of sRGB, which goes without saying
    return rgb.bandjoin(image.extract_band(1)) if image.bands == 2 else rgb
