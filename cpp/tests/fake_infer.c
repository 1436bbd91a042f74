/* A TensorRT that is a version and nothing else: what needs more must not be asked for before the
 * version and the GPU are known to be right. */
#include <stdint.h>
#include <stdlib.h>

__attribute__((visibility("default"))) int32_t getInferLibVersion(void);
int32_t getInferLibVersion(void) { return FAKE_INFER_VERSION; }

__attribute__((visibility("default"))) void* createInferRuntime_INTERNAL(void* log,
                                                                         int32_t version);
void* createInferRuntime_INTERNAL(void* log, int32_t version) {
  (void)log;
  (void)version;
  abort();
}
