/* Restores a PNG file.
 *
 *   restore_png MODEL INPUT.png OUTPUT.png [LIBRARY]
 *
 * LIBRARY is the back end's own, such as libonnxruntime.so.1.32.0; without it the loader searches.
 */
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swinir.h>

static int32_t show_progress(void* unused, int64_t done, int64_t total) {
  (void)unused;
  fprintf(stderr, "\r%lld of %lld tiles%s", (long long)done, (long long)total,
          done == total ? "\n" : "");
  return 0; /* anything else would cancel */
}

/* Any PNG as RGBA bytes; the caller frees the pixels. */
static uint8_t* read_png(const char* path, png_image* image) {
  uint8_t* pixels = NULL;
  memset(image, 0, sizeof *image);
  image->version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(image, path)) {
    image->format = PNG_FORMAT_RGBA;
    pixels = malloc(PNG_IMAGE_SIZE(*image));
    if (pixels != NULL && png_image_finish_read(image, NULL, pixels, 0, NULL)) return pixels;
    free(pixels);
  }
  fprintf(stderr, "%s: %s\n", path, image->message);
  png_image_free(image);
  return NULL;
}

static int restore(swinir_session* session, int32_t scale, const char* from, const char* to) {
  png_image image, restored;
  int written = 0;
  uint8_t* in = read_png(from, &image);
  uint8_t* out = NULL;
  if (in == NULL) return 1;
  restored = image;
  restored.width *= (unsigned)scale;
  restored.height *= (unsigned)scale;
  out = malloc(PNG_IMAGE_SIZE(restored));
  if (out != NULL) {
    const swinir_picture input = {in,          (int32_t)image.width, (int32_t)image.height,
                                  SWINIR_RGBA, SWINIR_UINT8,         0};
    const swinir_picture output = {
        out, (int32_t)restored.width, (int32_t)restored.height, SWINIR_RGBA, SWINIR_UINT8, 0};
    if (swinir_session_restore(session, &input, &output) != SWINIR_OK) {
      fprintf(stderr, "%s\n", swinir_last_error());
    } else {
      written = png_image_write_to_file(&restored, to, 0, out, 0, NULL);
      if (!written) fprintf(stderr, "%s: %s\n", to, restored.message);
    }
  }
  free(in);
  free(out);
  return written ? 0 : 1;
}

int main(int count, char** arguments) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  swinir_session_options session_options = SWINIR_SESSION_OPTIONS_INIT;
  swinir_model_info info = SWINIR_MODEL_INFO_INIT;
  swinir_model* model = NULL;
  swinir_session* session = NULL;
  int code = 1;

  if (count < 4 || count > 5) {
    fprintf(stderr, "usage: %s MODEL INPUT.png OUTPUT.png [LIBRARY]\n", arguments[0]);
    return 2;
  }
  if (count == 5) options.library = arguments[4];
  session_options.progress = show_progress;
  if (swinir_model_open(arguments[1], &options, &model) != SWINIR_OK ||
      swinir_model_get_info(model, &info) != SWINIR_OK ||
      swinir_session_create(model, &session_options, &session) != SWINIR_OK) {
    fprintf(stderr, "%s\n", swinir_last_error());
  } else {
    fprintf(stderr, "%s x%d on %s %s\n", info.model_id, (int)info.scale, info.backend,
            info.backend_version);
    code = restore(session, info.scale, arguments[2], arguments[3]);
  }
  swinir_session_destroy(session);
  swinir_model_close(model);
  return code;
}
