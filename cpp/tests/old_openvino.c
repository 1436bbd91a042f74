/* Claims to be an OpenVINO that is too old; must be turned away before any object is made. */
#include <stdlib.h>

typedef struct {
  const char *build_number, *description;
} version_t;

__attribute__((visibility("default"))) int ov_get_openvino_version(version_t* version);
int ov_get_openvino_version(version_t* version) {
  version->build_number = "2022.3.0-9052";
  version->description = "";
  return 0;
}

__attribute__((visibility("default"))) void ov_version_free(version_t* version);
void ov_version_free(version_t* version) { version->build_number = NULL; }

__attribute__((visibility("default"))) int ov_core_create(void** core);
int ov_core_create(void** core) {
  (void)core;
  abort();
}
