// Restores every PPM and PGM file (P5, P6, 8 bit) of a folder with several threads, which share one
// model.
//
//   restore_folder MODEL INPUT_FOLDER OUTPUT_FOLDER THREADS [LIBRARY]
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <swinir.hpp>
#include <thread>
#include <vector>

namespace fs = std::filesystem;

struct Picture {
  std::int32_t width = 0, height = 0, format = SWINIR_RGB;
  std::vector<std::uint8_t> pixels;

  void resize(std::int32_t new_width, std::int32_t new_height) {
    width = new_width;
    height = new_height;
    pixels.resize(std::size_t(width) * std::size_t(height) * (format == SWINIR_RGB ? 3 : 1));
  }
  swinir_picture view() { return swinir::picture(pixels.data(), width, height, format); }
};

Picture read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  std::int32_t width = 0, height = 0, largest = 0;
  file >> kind >> width >> height >> largest;
  file.get();
  if (!file || (kind != "P5" && kind != "P6") || width < 1 || height < 1 || largest != 255) {
    throw std::runtime_error("no PPM or PGM file of 8 bits");
  }
  Picture picture;
  picture.format = kind == "P6" ? SWINIR_RGB : SWINIR_GRAY;
  picture.resize(width, height);
  if (!file.read(reinterpret_cast<char*>(picture.pixels.data()),
                 static_cast<std::streamsize>(picture.pixels.size()))) {
    throw std::runtime_error("ends before its pixels do");
  }
  return picture;
}

void write(const fs::path& path, const Picture& picture) {
  std::ofstream file(path, std::ios::binary);
  file << (picture.format == SWINIR_RGB ? "P6 " : "P5 ") << picture.width << ' ' << picture.height
       << " 255\n";
  file.write(reinterpret_cast<const char*>(picture.pixels.data()),
             static_cast<std::streamsize>(picture.pixels.size()));
  if (!file) throw std::runtime_error("cannot be written");
}

int main(int count, char** arguments) {
  if (count < 5 || count > 6) {
    std::cerr << "usage: " << arguments[0] << " MODEL INPUT OUTPUT THREADS [LIBRARY]\n";
    return 2;
  }
  try {
    swinir::ModelOptions options;
    options.threads = 1;  // a thread a picture uses the processor better than many for one
    if (count == 6) options.library = arguments[5];
    const swinir::Model model(arguments[1], options);
    const std::int32_t scale = model.info().scale;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(arguments[2])) files.push_back(entry.path());
    const fs::path target = arguments[3];
    fs::create_directories(target);

    std::atomic<std::size_t> next{0};
    std::atomic<int> bad{0};
    std::mutex printing;
    const auto work = [&] {
      swinir::Session session(model);
      for (std::size_t i = next++; i < files.size(); i = next++) {
        try {
          Picture picture = read(files[i]), restored;
          restored.format = picture.format;
          restored.resize(picture.width * scale, picture.height * scale);
          session.restore(picture.view(), restored.view());
          write(target / files[i].filename(), restored);
        } catch (const std::exception& error) {
          ++bad;
          const std::lock_guard lock(printing);
          std::cerr << files[i].string() << ": " << error.what() << '\n';
        }
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < std::max(1, std::atoi(arguments[4])); ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    std::cerr << files.size() - static_cast<std::size_t>(bad) << " of " << files.size()
              << " pictures restored\n";
    return bad == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
