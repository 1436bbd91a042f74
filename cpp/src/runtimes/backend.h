/* What a back end is to libswinir: a shared object with one function that gives this table.
 *
 * libswinir_NAME.so (swinir_NAME.dll) exports swinir_backend_entry() and nothing else. It finds the
 * library that it runs on by itself and checks its version before it hands any object to it. The
 * core calls the functions with checked arguments: shapes are those that the graph promises,
 * buffers have the right size. One thread at a time uses a session; several sessions are used at
 * once. Exceptions must not leave the functions.
 */
#ifndef SWINIR_BACKEND_H
#define SWINIR_BACKEND_H

#include "swinir.h"

#define SWINIR_BACKEND_ABI 2
#define SWINIR_BACKEND_ENTRY "swinir_backend_entry"

/* Makes swinir_backend_entry visible from outside; write it before the definition. */
#if defined(_WIN32)
#define SWINIR_BACKEND_EXPORT __declspec(dllexport)
#else
#define SWINIR_BACKEND_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct swinir_backend_model swinir_backend_model;
typedef struct swinir_backend_session swinir_backend_session;

/* Why a function failed; ends with a zero. */
typedef struct swinir_backend_message {
  char text[1024];
} swinir_backend_message;

/* What the user asked for. Pointers are valid during the call, log and log_data longer. */
typedef struct swinir_backend_options {
  const char* path;    /* of the model's file; what messages call the model where `data` is given */
  const void* data;    /* the model itself, valid during the call; NULL: read the file */
  size_t size;         /* bytes of data */
  const char* library; /* path of the back end's library, or NULL */
  const char* device;  /* or NULL */
  int32_t threads;     /* or 0 */
  int32_t precision;   /* asked for: SWINIR_FP32, ...; or 0 */
  int32_t log_level;   /* a SWINIR_LOG constant */
  swinir_log_callback log; /* never NULL */
  void* log_data;
} swinir_backend_options;

/* What the graph of an opened model is like. */
typedef struct swinir_backend_graph {
  int32_t inputs; /* how many there are; the other members describe the first */
  int32_t outputs;
  int32_t input_type; /* SWINIR_FLOAT32, SWINIR_UINT8; 0: another */
  int32_t output_type;
  int32_t input_rank;
  int64_t shape[4];  /* of the input; -1: any */
  int64_t min_side;  /* smallest height and width; 0: half a window and one pixel */
  int32_t precision; /* of the arithmetic, if the back end has chosen it; or 0 */
  char library_version[64];
  char device[64];
} swinir_backend_graph;

typedef struct swinir_backend {
  uint32_t abi; /* SWINIR_BACKEND_ABI; checked before anything else is read */
  const char* name;
  swinir_status (*model_open)(const swinir_backend_options* options, swinir_backend_model** model,
                              swinir_backend_graph* graph, swinir_backend_message* message);
  void (*model_close)(swinir_backend_model* model);
  swinir_status (*session_open)(swinir_backend_model* model, swinir_backend_session** session,
                                swinir_backend_message* message);
  void (*session_close)(swinir_backend_session* session);
  /* Fills `output`, whose shape is `output_shape`, or fails. */
  swinir_status (*session_run)(swinir_backend_session* session, const void* input,
                               const int64_t input_shape[4], void* output,
                               const int64_t output_shape[4], swinir_backend_message* message);
  uint64_t (*session_bytes)(const swinir_backend_session* session); /* 0: unknown */
} swinir_backend;

typedef const swinir_backend* (*swinir_backend_entry_function)(void);

#ifdef __cplusplus
}
#endif

#endif
