// A video filter: raw RGB frames in on stdin, restored ones out on stdout.
//
//   ffmpeg -i in.mp4 -f rawvideo -pix_fmt rgb24 - |
//     swinir-filter MODEL 640 360 [LIBRARY] |
//     ffmpeg -f rawvideo -pix_fmt rgb24 -s 1280x720 -r 25 -i - out.mp4
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <swinir.hpp>
#include <vector>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>

// Windows would change bytes that look like ends of lines.
void use_bytes() {
  _setmode(_fileno(stdin), _O_BINARY);
  _setmode(_fileno(stdout), _O_BINARY);
}
#else
void use_bytes() {}
#endif

int main(int count, char** arguments) {
  const int width = count > 3 ? std::atoi(arguments[2]) : 0;
  const int height = count > 3 ? std::atoi(arguments[3]) : 0;
  if (count < 4 || count > 5 || width < 1 || height < 1) {
    std::cerr << "usage: " << arguments[0] << " MODEL WIDTH HEIGHT [LIBRARY]\n";
    return 2;
  }
  use_bytes();
  try {
    swinir::ModelOptions options;
    if (count == 5) options.library = arguments[4];
    const swinir::Model model(arguments[1], options);
    swinir::Session session(model);
    const int scale = model.info().scale;
    std::vector<std::uint8_t> in(std::size_t(width) * std::size_t(height) * 3);
    std::vector<std::uint8_t> out(in.size() * std::size_t(scale * scale));
    const swinir_picture input = swinir::picture(in.data(), width, height);
    const swinir_picture output = swinir::picture(out.data(), width * scale, height * scale);
    while (const std::size_t bytes = std::fread(in.data(), 1, in.size(), stdin)) {
      if (bytes != in.size()) {
        std::cerr << "the last frame has " << bytes << " of " << in.size() << " bytes\n";
        return 1;
      }
      session.restore(input, output);
      if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) return 1;
    }
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
