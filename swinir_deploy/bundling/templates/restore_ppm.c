/* Restores a PPM file (P6, 8 bit), $scale times as large.
 *
 *   restore_ppm MODEL in.ppm out.ppm [LIBRARY]
 *
 * LIBRARY is the back end's own; without it the loader searches for $library.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <swinir.h>

enum { SCALE = $scale };

static uint8_t* read_ppm(const char* path, int* width, int* height) {
  uint8_t* pixels = NULL;
  FILE* file = fopen(path, "rb");
  if (file != NULL && fscanf(file, "P6 %d %d 255", width, height) == 2 && getc(file) != EOF &&
      *width > 0 && *height > 0) {
    const size_t size = (size_t)*width * (size_t)*height * 3;
    pixels = malloc(size);
    if (pixels != NULL && fread(pixels, 1, size, file) != size) {
      free(pixels);
      pixels = NULL;
    }
  }
  if (file != NULL) fclose(file);
  if (pixels == NULL) fprintf(stderr, "%s: cannot be read as a PPM file of 8 bits\n", path);
  return pixels;
}

static int write_ppm(const char* path, const uint8_t* pixels, int width, int height) {
  const size_t size = (size_t)width * (size_t)height * 3;
  FILE* file = fopen(path, "wb");
  int right = file != NULL && fprintf(file, "P6 %d %d 255\n", width, height) > 0 &&
              fwrite(pixels, 1, size, file) == size;
  if (file != NULL) right = fclose(file) == 0 && right;
  if (!right) fprintf(stderr, "%s: cannot be written\n", path);
  return right;
}

int main(int count, char** arguments) {
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  swinir_model* model = NULL;
  swinir_session* session = NULL;
  uint8_t *in = NULL, *out = NULL;
  int width = 0, height = 0, done = 0;

  if (count < 4 || count > 5) {
    fprintf(stderr, "usage: %s MODEL in.ppm out.ppm [LIBRARY]\n", arguments[0]);
    return 2;
  }
  options.backend = "$backend";
  options.library = count == 5 ? arguments[4] : NULL;
  in = read_ppm(arguments[2], &width, &height);
  if (in != NULL) out = malloc((size_t)width * (size_t)height * 3 * SCALE * SCALE);
  if (out != NULL) {
    const swinir_picture input = {in, width, height, SWINIR_RGB, SWINIR_UINT8, 0};
    const swinir_picture output = {out, width * SCALE, height * SCALE, SWINIR_RGB, SWINIR_UINT8, 0};
    if (swinir_model_open(arguments[1], &options, &model) != SWINIR_OK ||
        swinir_session_create(model, NULL, &session) != SWINIR_OK ||
        swinir_session_restore(session, &input, &output) != SWINIR_OK) {
      fprintf(stderr, "%s\n", swinir_last_error());
    } else {
      done = write_ppm(arguments[3], out, width * SCALE, height * SCALE);
    }
  }
  swinir_session_destroy(session);
  swinir_model_close(model);
  free(in);
  free(out);
  return done ? 0 : 1;
}
