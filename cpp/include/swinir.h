/* libswinir: restores pictures with models that swinir-deploy has exported or built.
 *
 *   swinir_model *model = NULL;
 *   swinir_session *session = NULL;
 *   if (swinir_model_open("model.onnx", NULL, &model) != SWINIR_OK ||
 *       swinir_session_create(model, NULL, &session) != SWINIR_OK ||
 *       swinir_session_restore(session, &input, &output) != SWINIR_OK)
 *     fprintf(stderr, "%s\n", swinir_last_error());
 *   swinir_session_destroy(session);
 *   swinir_model_close(model);
 *
 * C11. Functions may be called from any thread; a session belongs to one thread at a time. Nothing
 * is printed, no exception leaves the library, and no pointer of the caller is kept longer than
 * the call, callbacks and their data excepted. Strings are UTF-8.
 */
#ifndef SWINIR_H
#define SWINIR_H

#include <stddef.h>
#include <stdint.h>

#define SWINIR_VERSION_MAJOR 0
#define SWINIR_VERSION_MINOR 1
#define SWINIR_VERSION_PATCH 0

#if defined(_WIN32) && defined(SWINIR_BUILDING)
#define SWINIR_API __declspec(dllexport)
#elif defined(_WIN32) && defined(SWINIR_DLL)
#define SWINIR_API __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define SWINIR_API __attribute__((visibility("default")))
#else
#define SWINIR_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------ status */

/* What every function that can fail returns; swinir_last_error() has the sentence. */
typedef int32_t swinir_status;
enum {
  SWINIR_OK = 0,
  SWINIR_INVALID_ARGUMENT = 1,   /* a null pointer, an option outside its range */
  SWINIR_INVALID_PICTURE = 2,    /* size, stride, format, pixels that are not finite */
  SWINIR_INVALID_MODEL = 3,      /* a file that is missing, damaged, or not by swinir-deploy */
  SWINIR_BACKEND_MISSING = 4,    /* the plug-in, or the library that it runs on, is not here */
  SWINIR_BACKEND_MISMATCH = 5,   /* it is here in a version that does not fit */
  SWINIR_DEVICE_UNAVAILABLE = 6, /* no such device, or no driver for it */
  SWINIR_OUT_OF_MEMORY = 7,      /* of the device or the host, with the smallest tile */
  SWINIR_INFERENCE_FAILED = 8,   /* the back end failed while it computed */
  SWINIR_NOT_FINITE = 9,         /* the model gave NaN or infinity */
  SWINIR_CANCELLED = 10,         /* the progress callback asked for it */
  SWINIR_BUSY = 11,              /* the session is in use by another call */
  SWINIR_INTERNAL = 12           /* a defect of the library or of a plug-in: please report it */
};

/* The constant's name, such as "SWINIR_OK"; "SWINIR_UNKNOWN" for any other number. */
SWINIR_API const char* swinir_status_name(swinir_status status);

/* Why the last failed call of this thread failed: the thing, the value found, the value wanted and
 * the next step. Empty before the first failure. Valid until the thread's next failed call. */
SWINIR_API const char* swinir_last_error(void);

/* "MAJOR.MINOR.PATCH" of the library, which may be newer than this header. */
SWINIR_API const char* swinir_version(void);

/* ------------------------------------------------------------------------------------- model */

/* An opened file. May be shared by any number of threads; sessions compute. */
typedef struct swinir_model swinir_model;

/* Of the weights and the arithmetic inside a model, from fine to coarse. */
enum { SWINIR_FP32 = 1, SWINIR_FP16 = 2, SWINIR_BF16 = 3 };

/* How much is reported. */
enum { SWINIR_LOG_ERROR = 1, SWINIR_LOG_WARNING = 2, SWINIR_LOG_INFO = 3, SWINIR_LOG_DEBUG = 4 };

/* Gets what the back end has to say. Called from any thread, also by several at once. */
typedef void (*swinir_log_callback)(void* user_data, int32_t level, const char* message);

/* Zero everywhere means the default. Set struct_size to sizeof(swinir_model_options), or begin
 * with SWINIR_MODEL_OPTIONS_INIT; so a program stays compatible with later libraries. */
typedef struct swinir_model_options {
  size_t struct_size;
  const char* backend;     /* "ort", "openvino", ...; NULL: "ort" for ONNX files, "tensorrt" or
                              "tensorrt_rtx" for engines */
  const char* device;      /* "cpu", "cuda", "cuda:1", what the back end knows; NULL: its default */
  const char* library;     /* path of the back end's own library; NULL: the loader's search */
  const char* plugin_dir;  /* folder with libswinir_<backend>.so; NULL: beside this library, in
                              "swinir" beside it, and the loader's search */
  int32_t threads;         /* of one operator on the CPU; 0: the back end's choice */
  swinir_log_callback log; /* NULL: nobody listens. Must outlive the model and its sessions. */
  void* log_data;          /* first argument of log */
  int32_t log_level;       /* at most so much is reported; 0: SWINIR_LOG_WARNING */
  int32_t precision;       /* SWINIR_BF16, ...: a wish, for back ends that choose it when they open
                              a model (openvino, which takes SWINIR_FP32 for 0). 0: the file's own */
} swinir_model_options;
#define SWINIR_MODEL_OPTIONS_INIT \
  {sizeof(swinir_model_options), NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 0}

/* Opens an .onnx file, or an engine with its sidecar (NAME.engine.json) beside it.
 * options may be NULL. *model is NULL after a failure. */
SWINIR_API swinir_status swinir_model_open(const char* path, const swinir_model_options* options,
                                           swinir_model** model);

/* The same from memory: the bytes of an ONNX file, with sidecar NULL; or those of an engine, with
 * the text of its sidecar, which ends with a zero. Nothing of it is kept. An ONNX model whose
 * weights lie in a file of their own needs swinir_model_open. */
SWINIR_API swinir_status swinir_model_open_memory(const void* data, size_t size,
                                                  const char* sidecar,
                                                  const swinir_model_options* options,
                                                  swinir_model** model);

/* NULL does nothing. Sessions keep what they need: models and sessions may go in any order. */
SWINIR_API void swinir_model_close(swinir_model* model);

/* What a model takes and gives. */
enum {
  SWINIR_IO_TENSOR = 1, /* NCHW float32, 0..1; RGB or gray */
  SWINIR_IO_IMAGE = 2   /* NHWC uint8, 0..255; RGB or gray */
};

/* Strings live as long as the model; unknown ones are empty, never NULL. */
typedef struct swinir_model_info {
  size_t struct_size;
  int32_t scale;       /* output side divided by input side */
  int32_t channels;    /* of input and output: 3 or 1 */
  int32_t window_px;   /* tiles are multiples of it */
  int32_t min_side_px; /* smallest side of a tensor; pictures may be smaller */
  int32_t io;          /* SWINIR_IO_TENSOR, SWINIR_IO_IMAGE: see swinir_session_run */
  int32_t precision;   /* SWINIR_FP32 ...: the coarser of the file's and the back end's */
  int64_t batch;       /* the only one that it takes; 0: any */
  int64_t height;      /* the same */
  int64_t width;       /* the same */
  const char* task;    /* "sr", "denoise", "jpeg" */
  const char* model_id;
  const char* source_sha256; /* of the checkpoint */
  const char* target;        /* what the graph was exported for */
  const char* backend;
  const char* backend_version; /* of the library that runs the model */
  const char* device;
} swinir_model_info;
#define SWINIR_MODEL_INFO_INIT \
  {sizeof(swinir_model_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL}

/* Set info->struct_size before; exactly so many bytes are written. */
SWINIR_API swinir_status swinir_model_get_info(const swinir_model* model, swinir_model_info* info);

/* ----------------------------------------------------------------------------------- session */

/* What one thread needs to compute with a model. Cheap beside the model. */
typedef struct swinir_session swinir_session;

/* Called in the thread that computes, before the first tile and after each batch of them. done
 * starts again at 0, and total changes, when memory ran out and smaller tiles are tried. Return 0
 * to go on; anything else cancels. */
typedef int32_t (*swinir_progress_callback)(void* user_data, int64_t done, int64_t total);

#define SWINIR_TILE_WHOLE (-1)
#define SWINIR_OVERLAP_NONE (-1)

/* Zero everywhere means the default; see swinir_model_options. */
typedef struct swinir_session_options {
  size_t struct_size;
  int32_t tile_px;    /* side in input pixels, rounded down to whole windows, but at least one;
                         SWINIR_TILE_WHOLE: never cut. 0: 256 for pictures of more than 384 * 384
                         pixels. Models with fixed sides have their own. */
  int32_t overlap_px; /* neighbours share at least as many input pixels, at most half a tile;
                         0: 32; SWINIR_OVERLAP_NONE: none */
  int32_t batch;      /* tiles computed at once; 0: 1. Models with a fixed batch have their own. */
  swinir_progress_callback progress; /* NULL: none */
  void* progress_data;               /* first argument of progress */
} swinir_session_options;
#define SWINIR_SESSION_OPTIONS_INIT {sizeof(swinir_session_options), 0, 0, 0, NULL, NULL}

/* options may be NULL. *session is NULL after a failure. */
SWINIR_API swinir_status swinir_session_create(const swinir_model* model,
                                               const swinir_session_options* options,
                                               swinir_session** session);

/* NULL does nothing. Not while a call uses the session. */
SWINIR_API void swinir_session_destroy(swinir_session* session);

/* Bytes; 0 where nobody knows. */
typedef struct swinir_memory {
  size_t struct_size;
  uint64_t buffers_bytes;      /* held by the session for tiles and strips */
  uint64_t peak_buffers_bytes; /* the most so far */
  uint64_t backend_bytes;      /* held by the back end for the session, as it says */
} swinir_memory;
#define SWINIR_MEMORY_INIT {sizeof(swinir_memory), 0, 0, 0}

SWINIR_API swinir_status swinir_session_get_memory(const swinir_session* session,
                                                   swinir_memory* memory);

/* ---------------------------------------------------------------------------------- pictures */

/* The samples of a pixel, in the order of memory. */
enum {
  SWINIR_GRAY = 1,
  SWINIR_RGB = 2,
  SWINIR_BGR = 3,
  SWINIR_RGBA = 4, /* opacity not multiplied into the colours */
  SWINIR_BGRA = 5
};

/* A sample. */
enum {
  SWINIR_UINT8 = 1,  /* 0..255 */
  SWINIR_FLOAT32 = 2 /* 0..1 */
};

/* Pixels that belong to the caller. */
typedef struct swinir_picture {
  void* data;     /* first sample of the top left pixel; not written where it is the input */
  int32_t width;  /* pixels, at least 1 */
  int32_t height; /* pixels, at least 1 */
  int32_t format;
  int32_t type;
  ptrdiff_t stride; /* bytes from a row to the one below it, negative if that lies before it in
                       memory; 0: rows follow each other without a gap */
} swinir_picture;

/* Restores a picture of any size, tile by tile where it is large: the same tiles and blending as
 * swinir-deploy's Restorer in Python.
 *
 * output has `scale` times the sides of input; both are gray or both are colour, the order of
 * colours, opacity and type may differ. Results are clamped; bytes are rounded half to even. Float
 * input outside 0..1 (noise) reaches a float model as it is. A gray picture goes through a colour
 * model as three equal channels and comes out as luma (Rec. 601), a colour picture through a gray
 * model channel by channel. Colours under zero opacity are replaced by those around them before the
 * model sees them. Opacity is scaled by a gray model, else by bicubic interpolation; where the
 * input has none, the output is opaque. The memory of input and output must not overlap. After a
 * failure the output holds part of the result. */
SWINIR_API swinir_status swinir_session_restore(swinir_session* session,
                                                const swinir_picture* input,
                                                const swinir_picture* output);

/* What the model gives for a batch of `shape`: [n, c, h, w] for SWINIR_IO_TENSOR, [n, h, w, c] for
 * SWINIR_IO_IMAGE. Fails where the model does not take that shape. */
SWINIR_API swinir_status swinir_model_output_shape(const swinir_model* model,
                                                   const int64_t shape[4], int64_t output_shape[4]);

/* Runs the model itself: no padding below min_side_px, no tiles, no clamping, no check for values
 * that are not finite. input and output are dense arrays of float32 (SWINIR_IO_TENSOR) or uint8
 * (SWINIR_IO_IMAGE) that do not overlap; output_bytes must be what swinir_model_output_shape asks
 * for. */
SWINIR_API swinir_status swinir_session_run(swinir_session* session, const void* input,
                                            const int64_t shape[4], void* output,
                                            size_t output_bytes);

#ifdef __cplusplus
}
#endif

#endif
