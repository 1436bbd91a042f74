// A video filter: frames in on stdin, restored ones out on stdout.
//
// As YUV4MPEG2, which tells size, rate and the shape of a pixel by itself:
//
//   ffmpeg -i in.mp4 -f yuv4mpegpipe -pix_fmt yuv420p - |
//     swinir-filter MODEL y4m [LIBRARY] |
//     ffmpeg -i - -i in.mp4 -map 0:v -map 1:a -c:a copy out.mp4
//
// Or as raw RGB, where you say what the frames are:
//
//   ffmpeg -i in.mp4 -f rawvideo -pix_fmt rgb24 - |
//     swinir-filter MODEL 640 360 [LIBRARY] |
//     ffmpeg -f rawvideo -pix_fmt rgb24 -s 1280x720 -r 25 -i - out.mp4
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <swinir.hpp>
#include <vector>

#include "y4m.hpp"

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

namespace {

using Bytes = std::vector<std::uint8_t>;

// Fills a frame from stdin. False if the stream ends before it.
bool read_frame(Bytes& frame) {
  const std::size_t bytes = std::fread(frame.data(), 1, frame.size(), stdin);
  if (bytes == frame.size()) return true;
  if (bytes == 0) return false;
  throw std::runtime_error("the last frame has " + std::to_string(bytes) + " of " +
                           std::to_string(frame.size()) + " bytes");
}

void write(const void* data, std::size_t bytes) {
  if (std::fwrite(data, 1, bytes, stdout) != bytes) throw std::runtime_error("stdout is closed");
}

void filter_rgb(swinir::Session& session, int scale, int width, int height) {
  Bytes in(std::size_t(width) * std::size_t(height) * 3);
  Bytes out(in.size() * std::size_t(scale * scale));
  const swinir_picture input = swinir::picture(in.data(), width, height);
  const swinir_picture output = swinir::picture(out.data(), width * scale, height * scale);
  while (read_frame(in)) {
    session.restore(input, output);
    write(out.data(), out.size());
  }
}

void filter_y4m(swinir::Session& session, int scale) {
  std::string line;
  if (!y4m::read_line(stdin, line)) throw std::runtime_error("the input is no YUV4MPEG2 stream");
  const y4m::Head head(line);
  const y4m::Converter converter(head);
  Bytes frame(head.bytes(1));
  Bytes restored(head.bytes(scale));
  Bytes in(head.luma_bytes(1) * 3);
  Bytes out(head.luma_bytes(scale) * 3);
  const swinir_picture input = swinir::picture(in.data(), head.width, head.height);
  const swinir_picture output =
      swinir::picture(out.data(), head.width * scale, head.height * scale);
  const std::string text = head.text(scale);
  write(text.data(), text.size());
  while (y4m::read_line(stdin, line)) {
    if (line.rfind("FRAME", 0) != 0) throw std::runtime_error("a frame does not begin with FRAME");
    if (!read_frame(frame)) throw std::runtime_error("the last frame has no bytes");
    converter.to_rgb(frame, in);
    session.restore(input, output);
    converter.from_rgb(out, scale, restored);
    write("FRAME\n", 6);
    write(restored.data(), restored.size());
  }
}

}  // namespace

int main(int count, char** arguments) {
  const bool is_y4m = count > 2 && std::string(arguments[2]) == "y4m";
  const int sizes = is_y4m ? 1 : 2;
  const int width = count > 3 ? std::atoi(arguments[2]) : 0;
  const int height = count > 3 ? std::atoi(arguments[3]) : 0;
  if (count < 2 + sizes || count > 3 + sizes || (!is_y4m && (width < 1 || height < 1))) {
    std::cerr << "usage: " << arguments[0] << " MODEL (y4m | WIDTH HEIGHT) [LIBRARY]\n";
    return 2;
  }
  use_bytes();
  try {
    swinir::ModelOptions options;
    if (count == 3 + sizes) options.library = arguments[2 + sizes];
    const swinir::Model model(arguments[1], options);
    swinir::Session session(model);
    const int scale = model.info().scale;
    if (is_y4m) filter_y4m(session, scale);
    else filter_rgb(session, scale, width, height);
    return std::fflush(stdout) == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
