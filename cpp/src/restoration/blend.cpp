#include "restoration/blend.hpp"

#include <algorithm>
#include <utility>

namespace swinir::core {

Blender::Blender(const TilePlan& plan, std::int64_t scale, std::int64_t channels, Sink sink)
    : plan_(plan), scale_(scale), channels_(channels), sink_(std::move(sink)) {
  if (plan.tiles() == 1) return;  // goes straight through
  row_weights_ = plan.rows.weights(scale);
  column_weights_ = plan.columns.weights(scale);
  band_.assign(
      static_cast<std::size_t>(plan.rows.tile * scale * plan.columns.padded * scale * channels),
      0.0F);
}

void Blender::add(const float* tile) {
  if (plan_.tiles() == 1) {
    sink_(0, plan_.rows.side * scale_, tile, plan_.columns.tile * scale_ * channels_);
    return;
  }
  accumulate(tile);
  if (++column_ == plan_.columns.starts.size()) {
    finish_row();
    column_ = 0;
    ++row_;
  }
}

void Blender::accumulate(const float* tile) {
  const std::vector<float>& across = column_weights_[column_];
  const std::int64_t pitch = plan_.columns.padded * scale_ * channels_;
  float* band = band_.data() + plan_.columns.starts[column_] * scale_ * channels_;
  for (const float down : row_weights_[row_]) {
    float* to = band;
    for (const float weight : across) {
      const float share = down * weight;
      for (std::int64_t c = 0; c < channels_; ++c) *to++ += *tile++ * share;
    }
    band += pitch;
  }
}

void Blender::finish_row() {
  const std::vector<std::int64_t>& starts = plan_.rows.starts;
  const bool last = row_ + 1 == starts.size();
  const std::int64_t top = starts[row_] * scale_;
  const std::int64_t done = last ? plan_.rows.tile * scale_ : starts[row_ + 1] * scale_ - top;
  const std::int64_t pitch = plan_.columns.padded * scale_ * channels_;
  sink_(top, std::min(done, plan_.rows.side * scale_ - top), band_.data(), pitch);
  if (last) return;
  const auto kept = std::copy(band_.begin() + done * pitch, band_.end(), band_.begin());
  std::fill(kept, band_.end(), 0.0F);
}

}  // namespace swinir::core
