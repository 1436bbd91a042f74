/* A program of somebody else: built against the installed package, it restores a gray ramp.
 *
 *   consumer MODEL LIBRARY
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <swinir.h>

enum { WIDTH = 24, HEIGHT = 16, SCALE = 2 };

int main(int count, char** arguments) {
  static uint8_t in[WIDTH * HEIGHT], out[WIDTH * HEIGHT * SCALE * SCALE];
  swinir_model_options options = SWINIR_MODEL_OPTIONS_INIT;
  swinir_model* model = NULL;
  swinir_session* session = NULL;
  swinir_picture input = {in, WIDTH, HEIGHT, SWINIR_GRAY, SWINIR_UINT8, 0};
  swinir_picture output = {out, WIDTH * SCALE, HEIGHT * SCALE, SWINIR_GRAY, SWINIR_UINT8, 0};
  swinir_status status;
  int x, y;

  if (count != 3) return 2;
  for (y = 0; y < HEIGHT; ++y) {
    for (x = 0; x < WIDTH; ++x) in[y * WIDTH + x] = (uint8_t)(10 * x);
  }
  options.library = arguments[2];
  status = swinir_model_open(arguments[1], &options, &model);
  if (status == SWINIR_OK) status = swinir_session_create(model, NULL, &session);
  if (status == SWINIR_OK) status = swinir_session_restore(session, &input, &output);
  if (status != SWINIR_OK) fprintf(stderr, "%s\n", swinir_last_error());
  swinir_session_destroy(session);
  swinir_model_close(model);
  if (status != SWINIR_OK) return 1;
  /* A ramp stays a ramp: 5 levels a pixel, away from the borders. */
  for (x = 8; x < WIDTH * SCALE - 8; ++x) {
    const int step = out[HEIGHT * WIDTH * SCALE + x] - out[HEIGHT * WIDTH * SCALE + x - 1];
    if (step < 2 || step > 8) {
      fprintf(stderr, "a step of %d at %d\n", step, x);
      return 1;
    }
  }
  return 0;
}
