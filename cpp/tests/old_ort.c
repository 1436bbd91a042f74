/* Claims to be an ONNX Runtime that is too old; must be turned away before its interface is asked
 * for. */
#include <stdint.h>
#include <stdlib.h>

static const void* get_api(uint32_t version) {
  (void)version;
  abort();
}

static const char* version(void) { return "1.16.3"; }

static const struct {
  const void* (*get_api)(uint32_t);
  const char* (*version)(void);
} base = {get_api, version};

__attribute__((visibility("default"))) const void* OrtGetApiBase(void);
const void* OrtGetApiBase(void) { return &base; }
