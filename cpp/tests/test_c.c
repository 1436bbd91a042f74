/* The header is C11, and a program in C needs nothing but it. */
#include <stdio.h>
#include <string.h>

#include "swinir.h"

/* The layout that programs were compiled with; new members go to the end, and change these sums. */
_Static_assert(sizeof(void*) != 8 || sizeof(swinir_model_options) == 72, "swinir_model_options");
_Static_assert(sizeof(void*) != 8 || sizeof(swinir_model_info) == 120, "swinir_model_info");
_Static_assert(sizeof(void*) != 8 || sizeof(swinir_session_options) == 40, "swinir_session_options");
_Static_assert(sizeof(void*) != 8 || sizeof(swinir_memory) == 32, "swinir_memory");
_Static_assert(sizeof(void*) != 8 || sizeof(swinir_picture) == 32, "swinir_picture");
_Static_assert(SWINIR_INTERNAL == 12, "a status has another number");

int main(void) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  swinir_session_options session_options = SWINIR_SESSION_OPTIONS_INIT;
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  swinir_memory memory = SWINIR_MEMORY_INIT;
  swinir_model* model = NULL;
  if (options.backend != NULL || session_options.progress != NULL || info.device != NULL ||
      memory.backend_bytes != 0) {
    return 1;
  }
  if (swinir_model_open("no-such-file.onnx", &options, &model) != SWINIR_INVALID_MODEL) return 1;
  if (model != NULL || strstr(swinir_last_error(), "no-such-file.onnx") == NULL) return 1;
  return strcmp(swinir_version(), "0.1.0");
}
