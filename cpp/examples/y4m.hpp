// Frames of YUV4MPEG2 with 8 bits: what ffmpeg (-f yuv4mpegpipe) and VapourSynth (vspipe -c y4m)
// write. The head tells the size, the rate, the shape of a pixel and the colours; all of it is kept.
#ifndef SWINIR_EXAMPLES_Y4M_HPP
#define SWINIR_EXAMPLES_Y4M_HPP

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace y4m {

using Bytes = std::vector<std::uint8_t>;

// Reads a line, without its end. False at the end of the stream.
inline bool read_line(std::FILE* file, std::string& line) {
  line.clear();
  for (int byte = std::fgetc(file); byte != '\n'; byte = std::fgetc(file)) {
    if (byte == EOF) return false;
    if (line.size() > 4096) throw std::runtime_error("the input is no YUV4MPEG2 stream");
    line += static_cast<char>(byte);
  }
  return true;
}

struct Head {
  int width = 0;
  int height = 0;
  int across = 2;         // luma samples for a colour sample in a row; 0: there is no colour
  int down = 2;           // the same in a column
  bool is_left = false;   // a colour sample lies on its left luma sample, not between two
  bool is_full = false;   // samples use 0..255, not 16..235
  bool is_bt601 = true;   // as players take streams that do not tell: small ones are BT.601
  std::string fields;     // all that follows the size, as it was

  explicit Head(const std::string& line) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word != "YUV4MPEG2") throw std::runtime_error("the input is no YUV4MPEG2 stream");
    while (words >> word) {
      const std::string value = word.substr(1);
      if (word[0] == 'W') width = std::atoi(value.c_str());
      else if (word[0] == 'H') height = std::atoi(value.c_str());
      else fields += ' ' + word;
      if (word[0] == 'C') set_colours(value);
      if (word[0] == 'I' && value != "p" && value != "?")
        throw std::runtime_error("the stream is interlaced; make whole frames first (bwdif)");
      if (word == "XCOLORRANGE=FULL") is_full = true;
    }
    if (width < 1 || height < 1) throw std::runtime_error("the stream does not tell its size");
    is_bt601 = width < 1280 && height < 577;
  }

  void set_colours(const std::string& name) {
    is_left = name == "420mpeg2";
    if (name == "420" || name == "420jpeg" || name == "420mpeg2") across = down = 2;
    else if (name == "422") across = 2, down = 1, is_left = true;
    else if (name == "444") across = down = 1;
    else if (name == "mono") across = down = 0;
    else
      throw std::runtime_error("frames of the kind C" + name +
                               " are not supported; give 8 bits, such as -pix_fmt yuv420p");
  }

  int colour_width(int scale) const { return across ? (width * scale + across - 1) / across : 0; }
  int colour_height(int scale) const { return down ? (height * scale + down - 1) / down : 0; }
  std::size_t luma_bytes(int scale) const {
    return std::size_t(width) * std::size_t(height) * std::size_t(scale * scale);
  }
  std::size_t bytes(int scale) const {
    return luma_bytes(scale) +
           2 * std::size_t(colour_width(scale)) * std::size_t(colour_height(scale));
  }
  std::string text(int scale) const {
    return "YUV4MPEG2 W" + std::to_string(width * scale) + " H" + std::to_string(height * scale) +
           fields + '\n';
  }
};

// Between the planes of a frame and RGB, by the equations of ITU-T H.273.
class Converter {
 public:
  explicit Converter(const Head& head) : head_(head) {
    red_ = head.is_bt601 ? 0.299 : 0.2126;
    blue_ = head.is_bt601 ? 0.114 : 0.0722;
    black_ = head.is_full ? 0 : 16;
    span_ = head.is_full ? 255 : 219;
    unit_ = head.is_full ? 255 : 224;
  }

  void to_rgb(const Bytes& frame, Bytes& rgb) const {
    const std::uint8_t* cb = frame.data() + head_.luma_bytes(1);
    const std::uint8_t* cr =
        cb + std::size_t(head_.colour_width(1)) * std::size_t(head_.colour_height(1));
    const double green = 1 - red_ - blue_;
    std::size_t at = 0;
    for (int y = 0; y < head_.height; ++y) {
      for (int x = 0; x < head_.width; ++x, ++at) {
        const double luma = (frame[at] - black_) / span_;
        const double b = head_.across ? (colour(cb, x, y) - 128) / unit_ * 2 * (1 - blue_) : 0;
        const double r = head_.across ? (colour(cr, x, y) - 128) / unit_ * 2 * (1 - red_) : 0;
        rgb[3 * at] = byte(255 * (luma + r));
        rgb[3 * at + 1] = byte(255 * (luma - (blue_ * b + red_ * r) / green));
        rgb[3 * at + 2] = byte(255 * (luma + b));
      }
    }
  }

  void from_rgb(const Bytes& rgb, int scale, Bytes& frame) const {
    const int width = head_.width * scale;
    const int height = head_.height * scale;
    for (std::size_t at = 0; at < head_.luma_bytes(scale); ++at)
      frame[at] = byte(black_ + span_ * luma(&rgb[3 * at]) / 255);
    std::size_t place = head_.luma_bytes(scale);
    for (int plane = 0; head_.across && plane < 2; ++plane) {
      const int channel = plane == 0 ? 2 : 0;
      const double factor = unit_ / 255 / (2 * (1 - (plane == 0 ? blue_ : red_)));
      for (int y = 0; y < head_.colour_height(scale); ++y) {
        for (int x = 0; x < head_.colour_width(scale); ++x) {
          double sum = 0;
          double weights = 0;
          // The samples that this one stands for; of a left one, both neighbours count half.
          const int first = head_.across * x - (head_.is_left ? head_.across / 2 : 0);
          for (int v = head_.down * y; v < head_.down * (y + 1); ++v) {
            for (int u = first; u < head_.across * x + head_.across; ++u) {
              const double weight = head_.is_left && u != head_.across * x ? 0.5 : 1;
              const int column = std::min(std::max(u, 0), width - 1);
              const int row = std::min(v, height - 1);
              const std::uint8_t* pixel =
                  &rgb[3 * (std::size_t(row) * std::size_t(width) + std::size_t(column))];
              sum += weight * (pixel[channel] - luma(pixel));
              weights += weight;
            }
          }
          frame[place++] = byte(128 + factor * sum / weights);
        }
      }
    }
  }

 private:
  static std::uint8_t byte(double value) {
    return std::uint8_t(std::lround(std::min(std::max(value, 0.0), 255.0)));
  }
  double luma(const std::uint8_t* pixel) const {
    return red_ * pixel[0] + (1 - red_ - blue_) * pixel[1] + blue_ * pixel[2];
  }
  // A colour sample at the place of a luma sample, between the four around it.
  double colour(const std::uint8_t* plane, int x, int y) const {
    const int width = head_.colour_width(1);
    const int height = head_.colour_height(1);
    const double shift = head_.is_left ? 0 : (head_.across - 1) / 2.0;
    const double u = std::min(std::max((x - shift) / head_.across, 0.0), width - 1.0);
    const double v =
        std::min(std::max((y - (head_.down - 1) / 2.0) / head_.down, 0.0), height - 1.0);
    const int left = int(u);
    const int top = int(v);
    const int right = std::min(left + 1, width - 1);
    const int bottom = std::min(top + 1, height - 1);
    const auto at = [&](int row, int column) {
      return double(plane[std::size_t(row) * std::size_t(width) + std::size_t(column)]);
    };
    const double above = at(top, left) + (u - left) * (at(top, right) - at(top, left));
    const double below = at(bottom, left) + (u - left) * (at(bottom, right) - at(bottom, left));
    return above + (v - top) * (below - above);
  }

  const Head& head_;
  double red_, blue_, black_, span_, unit_;
};

}  // namespace y4m

#endif
