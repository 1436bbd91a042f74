"""The C library by ctypes: restore.py libswinir.so MODEL LIBRARY INPUT OUTPUT."""

import ctypes as c
import sys

from PIL import Image

shared_object, model_path, library, source, target = sys.argv[1:]
swinir = c.CDLL(shared_object)
swinir.swinir_last_error.restype = c.c_char_p


def structure(**fields: object) -> type[c.Structure]:
    """Return what a C header calls a struct."""
    return type("Structure", (c.Structure,), {"_fields_": [*fields.items()]})


def call(function: str, *arguments: object) -> None:
    """End the program where a function fails."""
    if getattr(swinir, function)(*arguments):
        sys.exit(swinir.swinir_last_error().decode())


# The first fields are enough: struct_size says how many there are.
Options = structure(size=c.c_size_t, backend_device_library_plugins=c.c_char_p * 4)
Info = structure(size=c.c_size_t, scale=c.c_int32)
Picture = structure(data=c.c_void_p, sides_format_type=c.c_int32 * 4, stride=c.c_ssize_t)
model, session, info = c.c_void_p(), c.c_void_p(), Info(c.sizeof(Info))
options = Options(c.sizeof(Options), (None, None, library.encode(), None))
call("swinir_model_open", model_path.encode(), c.byref(options), c.byref(model))
call("swinir_model_get_info", model, c.byref(info))
call("swinir_session_create", model, None, c.byref(session))
image = Image.open(source).convert("RGB")
width, height = image.width * info.scale, image.height * info.scale
pixels, result = c.create_string_buffer(image.tobytes()), c.create_string_buffer(width * height * 3)
before = Picture(c.addressof(pixels), (*image.size, 2, 1), 0)  # SWINIR_RGB, SWINIR_UINT8
after = Picture(c.addressof(result), (width, height, 2, 1), 0)
call("swinir_session_restore", session, c.byref(before), c.byref(after))
Image.frombytes("RGB", (width, height), result.raw).save(target)
swinir.swinir_session_destroy(session)
swinir.swinir_model_close(model)
