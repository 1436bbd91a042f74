"""The C library from Python, to show that its interface is plain; no package but Pillow is needed.

python restore.py libswinir.so MODEL LIBRARY INPUT OUTPUT
"""

import ctypes as c
import sys

from PIL import Image

shared_object, model_path, library, source, target = sys.argv[1:]
swinir = c.CDLL(shared_object)
swinir.swinir_last_error.restype = c.c_char_p


class Options(c.Structure):
    """The first fields of swinir_model_options; struct_size leaves the rest at its defaults."""

    _fields_ = [("size", c.c_size_t), ("backend_device_library_plugins", c.c_char_p * 4)]


class Info(c.Structure):
    """The first fields of swinir_model_info."""

    _fields_ = [("size", c.c_size_t), ("scale", c.c_int32), ("channels", c.c_int32)]


class Picture(c.Structure):
    """A swinir_picture."""

    _fields_ = [("data", c.c_void_p), ("sides_format_type", c.c_int32 * 4), ("stride", c.c_ssize_t)]


def call(function: str, *arguments: object) -> None:
    """Call a function that gives a status; end the program where it failed."""
    if getattr(swinir, function)(*arguments):
        sys.exit(swinir.swinir_last_error().decode())


RGB, UINT8 = 2, 1
model, session, info = c.c_void_p(), c.c_void_p(), Info(c.sizeof(Info))
options = Options(c.sizeof(Options), (None, None, library.encode(), None))
call("swinir_model_open", model_path.encode(), c.byref(options), c.byref(model))
call("swinir_model_get_info", model, c.byref(info))
call("swinir_session_create", model, None, c.byref(session))
image = Image.open(source).convert("RGB")
width, height = image.width * info.scale, image.height * info.scale
pixels, result = c.create_string_buffer(image.tobytes()), c.create_string_buffer(width * height * 3)
before = Picture(c.addressof(pixels), (image.width, image.height, RGB, UINT8), 0)
after = Picture(c.addressof(result), (width, height, RGB, UINT8), 0)
call("swinir_session_restore", session, c.byref(before), c.byref(after))
Image.frombytes("RGB", (width, height), result.raw).save(target)
swinir.swinir_session_destroy(session)
swinir.swinir_model_close(model)
