/**
 * @file
 * @brief libswinir: restores pictures with models that swinir-deploy has exported or built.
 *
 * Open a model, create a session, restore pictures, destroy the session, close the model:
 *
 * @code{.c}
 * int restore_with(const char* path, const swinir_picture* input, const swinir_picture* output) {
 *   swinir_model* model = NULL;
 *   swinir_session* session = NULL;
 *   const int failed = swinir_model_open(path, NULL, &model) != SWINIR_OK ||
 *                      swinir_session_create(model, NULL, &session) != SWINIR_OK ||
 *                      swinir_session_restore(session, input, output) != SWINIR_OK;
 *   if (failed) fprintf(stderr, "%s\n", swinir_last_error());
 *   swinir_session_destroy(session);
 *   swinir_model_close(model);
 *   return failed;
 * }
 * @endcode
 *
 * @par Language
 * C11. Nothing is printed, and no exception leaves the library. Strings are UTF-8, paths too, on
 * Windows as elsewhere.
 *
 * @par Ownership
 * Handles belong to the caller, who gives each one back with its function: swinir_model_close(),
 * swinir_session_destroy(). Pictures, tensors and option strings belong to the caller as well; the
 * library keeps none of these pointers longer than the call, callbacks and their data excepted.
 * Strings that the library returns belong to the library.
 *
 * @par Threads
 * Functions may be called from any thread. A model may be shared by all of them; a session belongs
 * to one thread at a time.
 *
 * @par Statuses
 * A function that can fail returns a ::swinir_status, and swinir_last_error() then has a sentence
 * with the reason. The statuses named at each function are those that its arguments, the model or
 * the machine can cause. Beside them each may return ::SWINIR_OUT_OF_MEMORY where the host's memory
 * runs out, and ::SWINIR_INTERNAL.
 *
 * @par Versions
 * Structures begin with `struct_size`, so that a program runs with a later library without being
 * compiled again.
 */
#ifndef SWINIR_H
#define SWINIR_H

#include <stddef.h>
#include <stdint.h>

/** @name Version of this header
 * swinir_version() gives that of the library.
 * @{ */
#define SWINIR_VERSION_MAJOR 0 /**< changes with every break of the ABI, from 1.0 on */
#define SWINIR_VERSION_MINOR 1 /**< changes with every break of the ABI, before 1.0 */
#define SWINIR_VERSION_PATCH 0 /**< changes with every release */
/** @} */

/**
 * Marks what the shared library shows. On Windows define `SWINIR_DLL` where you use the DLL, as
 * CMake's target swinir::swinir does. Without it calls go through a stub of the import library.
 */
#if defined(_WIN32) && defined(SWINIR_BUILDING)
#define SWINIR_API __declspec(dllexport)
#elif defined(_WIN32) && defined(SWINIR_DLL)
#define SWINIR_API __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define SWINIR_API __attribute__((visibility("default")))
#else
#define SWINIR_API
#endif

/** Has compilers warn where a caller drops the status of a call. */
#if (defined(__cplusplus) && __cplusplus >= 201703L) || \
    (defined(_MSVC_LANG) && _MSVC_LANG >= 201703L) ||   \
    (defined(__STDC_VERSION__) && __STDC_VERSION__ >= 202311L)
#define SWINIR_NODISCARD [[nodiscard]]
#elif defined(__GNUC__)
#define SWINIR_NODISCARD __attribute__((warn_unused_result))
#else
#define SWINIR_NODISCARD
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------ status */

/** What every function that can fail returns; swinir_last_error() has the sentence. */
typedef int32_t swinir_status;

/** The values of ::swinir_status. Later versions may add others. */
enum {
  SWINIR_OK = 0,                 /**< success */
  SWINIR_INVALID_ARGUMENT = 1,   /**< a null pointer, or an option outside its range */
  SWINIR_INVALID_PICTURE = 2,    /**< size, stride, format, or pixels that are not finite */
  SWINIR_INVALID_MODEL = 3,      /**< a file that is missing, damaged, or not by swinir-deploy */
  SWINIR_BACKEND_MISSING = 4,    /**< the plug-in, or the library that it runs on, is missing */
  SWINIR_BACKEND_MISMATCH = 5,   /**< one of them is there in a version that does not fit */
  SWINIR_DEVICE_UNAVAILABLE = 6, /**< no such device, or no driver for it */
  SWINIR_OUT_OF_MEMORY = 7,      /**< of the device or the host, with the smallest tile */
  SWINIR_INFERENCE_FAILED = 8,   /**< the back end failed while it computed */
  SWINIR_NOT_FINITE = 9,         /**< the model gave NaN or infinity */
  SWINIR_CANCELLED = 10,         /**< the progress callback asked for it */
  SWINIR_BUSY = 11,              /**< another call is using the session */
  SWINIR_INTERNAL = 12           /**< a defect of the library or of a plug-in: please report it */
};

/**
 * Returns the name of a status.
 *
 * @param status  any number
 * @return the constant's name, such as "SWINIR_OK"; "SWINIR_UNKNOWN" for a number that this library
 *         does not know. A constant string.
 */
SWINIR_API const char* swinir_status_name(swinir_status status);

/**
 * Returns why the last failed call of this thread failed: the thing, the value found, the value
 * wanted and the next step, in one sentence or two, without line breaks.
 *
 * @return a string of the library, valid until the thread's next failed call; empty before its
 *         first. Every thread has its own.
 */
SWINIR_API const char* swinir_last_error(void);

/**
 * Returns the version of the library, which may be newer than this header.
 *
 * @return "MAJOR.MINOR.PATCH", a constant string
 */
SWINIR_API const char* swinir_version(void);

/* ------------------------------------------------------------------------------------- model */

/** An opened file. Any number of threads may share it; sessions compute. */
typedef struct swinir_model swinir_model;

/** Precision of the weights and the arithmetic inside a model, from fine to coarse. */
enum {
  SWINIR_FP32 = 1, /**< 32 bits */
  SWINIR_FP16 = 2, /**< 16 bits: 5 of exponent, 10 of mantissa */
  SWINIR_BF16 = 3  /**< 16 bits: 8 of exponent, 7 of mantissa */
};

/** How much is reported. */
enum {
  SWINIR_LOG_ERROR = 1,   /**< errors */
  SWINIR_LOG_WARNING = 2, /**< warnings too */
  SWINIR_LOG_INFO = 3,    /**< what is done too */
  SWINIR_LOG_DEBUG = 4    /**< everything */
};

/**
 * Gets what the back end has to say. Called from any thread, and by several at once.
 *
 * @param user_data  swinir_model_options::log_data
 * @param level      a SWINIR_LOG constant
 * @param message    valid during the call
 */
typedef void (*swinir_log_callback)(void* user_data, int32_t level, const char* message);

/**
 * How to open a model. Zero everywhere means the default. Begin with ::SWINIR_MODEL_OPTIONS_INIT,
 * which sets `struct_size`; so a program stays compatible with later libraries.
 */
typedef struct swinir_model_options {
  size_t struct_size;      /**< sizeof(swinir_model_options) */
  const char* backend;     /**< "ort", "openvino", ...; NULL: "ort" for ONNX files, "tensorrt",
                                "tensorrt_rtx" or "cuda" for engines */
  const char* device;      /**< "cpu", "cuda:1", what the back end knows; NULL: its default */
  const char* library;     /**< path of the back end's own library; NULL: the loader's search */
  const char* plugin_dir;  /**< folder of the plug-in, libswinir_BACKEND.so (swinir_BACKEND.dll on
                                Windows); NULL: beside this library, in "swinir" beside it, and the
                                loader's search */
  int32_t threads;         /**< of one operator on the CPU; 0: the back end's choice */
  swinir_log_callback log; /**< NULL: none. Must outlive the model and its sessions. */
  void* log_data;          /**< first argument of log */
  int32_t log_level;       /**< at most so much is reported; 0: ::SWINIR_LOG_WARNING */
  int32_t precision;       /**< ::SWINIR_BF16, ...: for back ends that choose it when they open a
                                model (openvino, which takes ::SWINIR_FP32 for 0). 0: the file's */
} swinir_model_options;

/** Default options for opening a model. */
#define SWINIR_MODEL_OPTIONS_INIT \
  {sizeof(swinir_model_options), NULL, NULL, NULL, NULL, 0, NULL, NULL, 0, 0}

/**
 * Opens an .onnx file, or an engine with its sidecar (NAME.engine.json) beside it.
 *
 * @param path     of the file, in UTF-8
 * @param options  NULL: all defaults
 * @param model    gets the handle, which the caller closes with swinir_model_close(); NULL after a
 *                 failure
 *
 * @retval SWINIR_OK                  the model is open
 * @retval SWINIR_INVALID_ARGUMENT    path or model is NULL, or an option is outside its range
 * @retval SWINIR_INVALID_MODEL       the file or its sidecar is missing, damaged, or of a newer
 *                                    schema, or was not made by swinir-deploy
 * @retval SWINIR_BACKEND_MISSING     the plug-in, or the library that it runs on, was not found
 * @retval SWINIR_BACKEND_MISMATCH    one of them has a version that does not fit
 * @retval SWINIR_DEVICE_UNAVAILABLE  the device does not exist, or cannot run the model
 * @retval SWINIR_OUT_OF_MEMORY       the model does not fit
 *
 * @code{.c}
 * swinir_model* open_on_two_cores(const char* path, const char* library) {
 *   swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
 *   swinir_model* model = NULL;
 *   options.threads = 2;
 *   options.library = library; // such as "/opt/onnxruntime/lib/libonnxruntime.so.1"
 *   if (swinir_model_open(path, &options, &model) != SWINIR_OK) {
 *     fprintf(stderr, "%s\n", swinir_last_error());
 *   }
 *   return model;
 * }
 * @endcode
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_model_open(const char* path,
                                                            const swinir_model_options* options,
                                                            swinir_model** model);

/**
 * Opens a model from memory. Nothing of it is kept: the caller may free it after the call. An ONNX
 * model whose weights lie in a file of their own needs swinir_model_open().
 *
 * @param data     the bytes of an ONNX file or of an engine
 * @param size     their number
 * @param sidecar  of an engine: the text of its sidecar, which ends with a zero. NULL: data is an
 *                 ONNX file
 * @param options  NULL: all defaults
 * @param model    gets the handle, which the caller closes with swinir_model_close(); NULL after a
 *                 failure
 *
 * @retval SWINIR_OK                  the model is open
 * @retval SWINIR_INVALID_ARGUMENT    data or model is NULL, or an option is outside its range
 * @retval SWINIR_INVALID_MODEL       the bytes are damaged, or were not made by swinir-deploy
 * @retval SWINIR_BACKEND_MISSING     the plug-in, or the library that it runs on, was not found
 * @retval SWINIR_BACKEND_MISMATCH    one of them has a version that does not fit
 * @retval SWINIR_DEVICE_UNAVAILABLE  the device does not exist, or cannot run the model
 * @retval SWINIR_OUT_OF_MEMORY       the model does not fit
 */
SWINIR_NODISCARD SWINIR_API swinir_status
swinir_model_open_memory(const void* data, size_t size, const char* sidecar,
                         const swinir_model_options* options, swinir_model** model);

/**
 * Closes a model. Sessions keep what they need of it: models and sessions may go in any order.
 *
 * @param model  NULL does nothing
 */
SWINIR_API void swinir_model_close(swinir_model* model);

/** What a model takes and gives. */
enum {
  SWINIR_IO_TENSOR = 1, /**< NCHW float32, 0..1; RGB or gray */
  SWINIR_IO_IMAGE = 2   /**< NHWC uint8, 0..255; RGB or gray */
};

/** What a model is. Strings live as long as the model; unknown ones are empty, never NULL. */
typedef struct swinir_model_info {
  size_t struct_size;        /**< sizeof(swinir_model_info), set by the caller */
  int32_t scale;             /**< output side divided by input side */
  int32_t channels;          /**< of the input, 1 to 16; those of pictures have 3 or 1 */
  int32_t window_px;         /**< tiles are multiples of it */
  int32_t min_side_px;       /**< smallest side of a tensor; pictures may be smaller */
  int32_t io;                /**< a SWINIR_IO constant: see swinir_session_run() */
  int32_t precision;         /**< ::SWINIR_FP32, ...: the coarser of file and back end */
  int64_t batch;             /**< the only batch size that it takes; 0: any */
  int64_t height;            /**< the only height that it takes; 0: any */
  int64_t width;             /**< the only width that it takes; 0: any */
  const char* task;          /**< "sr", "denoise", "jpeg" */
  const char* model_id;      /**< the name under which it was exported */
  const char* source_sha256; /**< of the checkpoint, in hexadecimal digits */
  const char* target;        /**< the recipe by which the graph was exported */
  const char* backend;       /**< the plug-in that runs it */
  const char* backend_version; /**< of the library that runs it */
  const char* device;          /**< where it runs */
  int32_t out_channels;        /**< of the output */
} swinir_model_info;

/** Ready for swinir_model_get_info(). */
#define SWINIR_MODEL_INFO_INIT \
  {sizeof(swinir_model_info), 0,    0,    0,    0,    0,    0,    0,    0,                       \
   0,                         NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0}

/**
 * Describes a model.
 *
 * @param model  an open model
 * @param info   begins as ::SWINIR_MODEL_INFO_INIT; exactly info->struct_size bytes are written
 *
 * @retval SWINIR_OK                info is filled in
 * @retval SWINIR_INVALID_ARGUMENT  a pointer is NULL, or struct_size cannot be
 *
 * @code{.c}
 * int32_t scale_of(const swinir_model* model) {
 *   swinir_model_info info = SWINIR_MODEL_INFO_INIT;
 *   return swinir_model_get_info(model, &info) == SWINIR_OK ? info.scale : 0;
 * }
 * @endcode
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_model_get_info(const swinir_model* model,
                                                                swinir_model_info* info);

/* ----------------------------------------------------------------------------------- session */

/** What one thread needs to compute with a model. Cheap beside the model. */
typedef struct swinir_session swinir_session;

/**
 * Hears how far a picture is. Called in the thread that computes, before the first tile and after
 * each batch of them. When memory runs out and smaller tiles are tried, `done` starts again at 0
 * and `total` changes.
 *
 * @param user_data  swinir_session_options::progress_data
 * @param done       tiles that are finished
 * @param total      tiles of the picture
 * @return 0 to go on; anything else cancels
 */
typedef int32_t (*swinir_progress_callback)(void* user_data, int64_t done, int64_t total);

#define SWINIR_TILE_WHOLE (-1)   /**< never cut a picture */
#define SWINIR_OVERLAP_NONE (-1) /**< tiles lie side by side */

/** How a session works. Zero everywhere means the default; see ::swinir_model_options. */
typedef struct swinir_session_options {
  size_t struct_size; /**< sizeof(swinir_session_options) */
  int32_t tile_px;    /**< side in input pixels, rounded down to whole windows, but at least one;
                           ::SWINIR_TILE_WHOLE: never cut. 0: 256 for pictures of more than
                           384 * 384 pixels. Models with fixed sides have their own. */
  int32_t overlap_px; /**< neighbours share at least as many input pixels, at most half a tile;
                           0: 32; ::SWINIR_OVERLAP_NONE: none */
  int32_t batch;      /**< tiles computed at once; 0: 1. A model with a fixed batch has its own */
  swinir_progress_callback progress; /**< NULL: none. Must outlive the session. */
  void* progress_data;               /**< first argument of progress */
} swinir_session_options;

/** Default options for a session. */
#define SWINIR_SESSION_OPTIONS_INIT {sizeof(swinir_session_options), 0, 0, 0, NULL, NULL}

/**
 * Creates a session. The model may be closed before it.
 *
 * @param model    an open model
 * @param options  NULL: all defaults
 * @param session  gets the handle, which the caller gives back with swinir_session_destroy(); NULL
 *                 after a failure
 *
 * @retval SWINIR_OK                  the session is ready
 * @retval SWINIR_INVALID_ARGUMENT    model or session is NULL, or an option is outside its range
 * @retval SWINIR_DEVICE_UNAVAILABLE  the device is gone
 * @retval SWINIR_OUT_OF_MEMORY       of the device or the host
 * @retval SWINIR_INFERENCE_FAILED    the back end gives no context to compute in
 *
 * @code{.c}
 * int32_t show_progress(void* file, int64_t done, int64_t total) {
 *   fprintf((FILE*)file, "%lld of %lld tiles\n", (long long)done, (long long)total);
 *   return 0; // anything else would cancel
 * }
 *
 * swinir_session* session_with_small_tiles(const swinir_model* model, FILE* file) {
 *   swinir_session_options options = SWINIR_SESSION_OPTIONS_INIT;
 *   swinir_session* session = NULL;
 *   options.tile_px = 64;
 *   options.progress = show_progress;
 *   options.progress_data = file;
 *   if (swinir_session_create(model, &options, &session) != SWINIR_OK) {
 *     fprintf(stderr, "%s\n", swinir_last_error());
 *   }
 *   return session;
 * }
 * @endcode
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_session_create(
    const swinir_model* model, const swinir_session_options* options, swinir_session** session);

/**
 * Destroys a session. Not while a call uses it.
 *
 * @param session  NULL does nothing
 */
SWINIR_API void swinir_session_destroy(swinir_session* session);

/** Memory of a session in bytes; 0 where nobody knows. */
typedef struct swinir_memory {
  size_t struct_size;          /**< sizeof(swinir_memory), set by the caller */
  uint64_t buffers_bytes;      /**< held by the session for tiles and strips */
  uint64_t peak_buffers_bytes; /**< the most so far */
  uint64_t backend_bytes;      /**< held by the back end for the session, as it says */
} swinir_memory;

/** Ready for swinir_session_get_memory(). */
#define SWINIR_MEMORY_INIT {sizeof(swinir_memory), 0, 0, 0}

/**
 * Tells how much memory a session holds.
 *
 * @param session  a session that no other call is using
 * @param memory   begins as ::SWINIR_MEMORY_INIT; exactly memory->struct_size bytes are written
 *
 * @retval SWINIR_OK                memory is filled in
 * @retval SWINIR_INVALID_ARGUMENT  a pointer is NULL, or struct_size cannot be
 * @retval SWINIR_BUSY              another call is using the session
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_session_get_memory(const swinir_session* session,
                                                                    swinir_memory* memory);

/* ---------------------------------------------------------------------------------- pictures */

/** The samples of a pixel, in the order of memory. */
enum {
  SWINIR_GRAY = 1, /**< one sample */
  SWINIR_RGB = 2,  /**< red, green, blue */
  SWINIR_BGR = 3,  /**< blue, green, red */
  SWINIR_RGBA = 4, /**< with opacity, which is not multiplied into the colours */
  SWINIR_BGRA = 5  /**< the same in the other order */
};

/** The type of a sample. */
enum {
  SWINIR_UINT8 = 1,  /**< 0..255 */
  SWINIR_FLOAT32 = 2 /**< 0..1 */
};

/** Pixels that belong to the caller. */
typedef struct swinir_picture {
  void* data;     /**< first sample of the top left pixel; not written where it is the input */
  int32_t width;  /**< pixels, at least 1 */
  int32_t height; /**< pixels, at least 1 */
  int32_t format; /**< ::SWINIR_GRAY, ::SWINIR_RGB, ... */
  int32_t type;   /**< ::SWINIR_UINT8 or ::SWINIR_FLOAT32 */
  ptrdiff_t stride; /**< bytes from a row to the one below it, negative if that lies before it in
                         memory; 0: rows follow each other without a gap */
} swinir_picture;

/**
 * Restores a picture of any size, tile by tile where it is large: the same tiles and blending as
 * swinir-deploy's Restorer in Python.
 *
 * Results are clamped; bytes are rounded half to even. Float input outside 0..1 (noise) reaches a
 * float model as it is. A gray picture goes through a colour model as three equal channels and
 * comes out as luma (Rec. 601), a colour picture through a gray model channel by channel. Colours
 * under zero opacity are replaced by those around them before the model sees them. Opacity is
 * scaled by a gray model, else by bicubic interpolation; where the input has none, the output is
 * opaque.
 *
 * @param session  a session that no other call is using
 * @param input    the picture; only read
 * @param output   has `scale` times the sides of input. Both are gray or both are colour; the order
 *                 of colours, opacity and type may differ. Its memory must not overlap that of
 *                 input. After a failure it holds part of the result.
 *
 * @retval SWINIR_OK                  output holds the restored picture
 * @retval SWINIR_INVALID_ARGUMENT    a pointer is NULL, an engine takes no tile of this size, or
 *                                    the model has other channels than pictures
 * @retval SWINIR_INVALID_PICTURE     a size, stride, format or type is wrong, the pictures do not
 *                                    fit each other, or a float sample of input is not finite
 * @retval SWINIR_INVALID_MODEL       the model's fixed sides are smaller than its window, or it
 *                                    gives another size than its description promises
 * @retval SWINIR_DEVICE_UNAVAILABLE  the device is gone
 * @retval SWINIR_OUT_OF_MEMORY       even the smallest tile does not fit
 * @retval SWINIR_INFERENCE_FAILED    the back end failed
 * @retval SWINIR_NOT_FINITE          the model gave NaN or infinity
 * @retval SWINIR_CANCELLED           the progress callback asked for it
 * @retval SWINIR_BUSY                another call is using the session
 *
 * @code{.c}
 * uint8_t* restored_rgb(swinir_session* session, int32_t scale, uint8_t* rgb, int32_t width,
 *                       int32_t height) {
 *   uint8_t* out = malloc((size_t)width * (size_t)height * 3 * (size_t)(scale * scale));
 *   const swinir_picture input = {rgb, width, height, SWINIR_RGB, SWINIR_UINT8, 0};
 *   const swinir_picture output = {out,        width * scale, height * scale,
 *                                  SWINIR_RGB, SWINIR_UINT8,  0};
 *   if (out != NULL && swinir_session_restore(session, &input, &output) != SWINIR_OK) {
 *     fprintf(stderr, "%s\n", swinir_last_error());
 *     free(out);
 *     out = NULL;
 *   }
 *   return out; // the caller frees it
 * }
 * @endcode
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_session_restore(swinir_session* session,
                                                                 const swinir_picture* input,
                                                                 const swinir_picture* output);

/**
 * Tells what the model gives for a batch: [n, c, h, w] for ::SWINIR_IO_TENSOR, [n, h, w, c] for
 * ::SWINIR_IO_IMAGE.
 *
 * @param model         an open model
 * @param shape         of the input
 * @param output_shape  gets that of the output
 *
 * @retval SWINIR_OK                output_shape is filled in
 * @retval SWINIR_INVALID_ARGUMENT  a pointer is NULL, or the model does not take this shape
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_model_output_shape(const swinir_model* model,
                                                                    const int64_t shape[4],
                                                                    int64_t output_shape[4]);

/**
 * Runs the model itself: no padding below min_side_px, no tiles, no clamping, no check for values
 * that are not finite.
 *
 * @param session       a session that no other call is using
 * @param input         a dense array of float32 (::SWINIR_IO_TENSOR) or uint8 (::SWINIR_IO_IMAGE)
 * @param shape         its shape; see swinir_model_output_shape()
 * @param output        a dense array of the same type that does not overlap input
 * @param output_bytes  its size, just what swinir_model_output_shape() asks for
 *
 * @retval SWINIR_OK                  output holds the result
 * @retval SWINIR_INVALID_ARGUMENT    a pointer is NULL, or shape or output_bytes does not fit
 * @retval SWINIR_INVALID_MODEL       the model gives another size than its description promises
 * @retval SWINIR_DEVICE_UNAVAILABLE  the device is gone
 * @retval SWINIR_OUT_OF_MEMORY       of the device or the host
 * @retval SWINIR_INFERENCE_FAILED    the back end failed
 * @retval SWINIR_BUSY                another call is using the session
 *
 * @code{.c}
 * float* run_tensor(const swinir_model* model, swinir_session* session, const float* input,
 *                   const int64_t shape[4]) {
 *   int64_t sides[4];
 *   float* output = NULL;
 *   if (swinir_model_output_shape(model, shape, sides) == SWINIR_OK) {
 *     const size_t bytes = (size_t)(sides[0] * sides[1] * sides[2] * sides[3]) * sizeof(float);
 *     output = malloc(bytes);
 *     if (output != NULL &&
 *         swinir_session_run(session, input, shape, output, bytes) == SWINIR_OK) {
 *       return output; // the caller frees it
 *     }
 *   }
 *   fprintf(stderr, "%s\n", swinir_last_error());
 *   free(output);
 *   return NULL;
 * }
 * @endcode
 */
SWINIR_NODISCARD SWINIR_API swinir_status swinir_session_run(swinir_session* session,
                                                             const void* input,
                                                             const int64_t shape[4], void* output,
                                                             size_t output_bytes);

#ifdef __cplusplus
}
#endif

#endif
