#include "restoration/session.hpp"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "failure.hpp"
#include "pictures/alpha.hpp"
#include "restoration/blend.hpp"
#include "restoration/padding.hpp"

namespace swinir::core {
namespace {

constexpr std::int64_t kDefaultTile = 256;
constexpr std::int64_t kDefaultOverlap = 32;
constexpr std::int64_t kWholePicturePixels = 384 * 384;

// Halving stops at tiles of so many windows: below, the overlap would be most of the work.
constexpr std::int64_t kSmallestTileWindows = 4;

void require(bool ok, const char* name, std::int32_t actual, const char* expected) {
  if (!ok) fail(SWINIR_INVALID_ARGUMENT, name, " is ", actual, "; it must be ", expected, ".");
}

}  // namespace

Session::Session(std::shared_ptr<const Model> model, const swinir_session_options& options)
    : model_(std::move(model)), options_(options), adapter_(model_) {
  require(options.tile_px >= SWINIR_TILE_WHOLE, "tile_px", options.tile_px,
          "at least 1, 0 or SWINIR_TILE_WHOLE");
  require(options.overlap_px >= SWINIR_OVERLAP_NONE, "overlap_px", options.overlap_px,
          "at least 1, 0 or SWINIR_OVERLAP_NONE");
  require(options.batch >= 0, "batch", options.batch, "at least 1, or 0");
  batch_ = std::max<std::int64_t>(1, options.batch);
  if (model_->batch() > 0) batch_ = model_->batch();
}

AxisPlan Session::axis(std::int64_t side, std::int64_t fixed_side, std::int64_t tile) const {
  const std::int64_t window = model_->metadata().window_px;
  const std::int64_t min_side = model_->min_side();
  std::int64_t used = fixed_side;
  if (used == 0) {
    const std::int64_t requested = tile > 0 ? tile : padded_side(side, window, 1);
    used = std::max(padded_side(1, window, min_side), requested / window * window);
  }
  if (used < window) {
    fail(SWINIR_INVALID_MODEL, "The model takes sides of ", used,
         " pixels only, less than its window of ", window, ". Export it with larger sides.");
  }
  std::int64_t overlap = options_.overlap_px == 0 ? kDefaultOverlap : options_.overlap_px;
  overlap = std::max<std::int64_t>(0, std::min({overlap, used / 2, used - window}));
  return plan_axis(side, used, overlap, window, min_side, fixed_side != 0);
}

TilePlan Session::plan(std::int64_t height, std::int64_t width) const {
  std::int64_t tile = std::max(0, options_.tile_px);
  if (options_.tile_px == 0 && height * width > kWholePicturePixels) tile = kDefaultTile;
  if (largest_tile_ > 0) tile = tile > 0 ? std::min(tile, largest_tile_) : largest_tile_;
  return {axis(height, model_->height(), tile), axis(width, model_->width(), tile)};
}

// Makes this and later pictures need less memory; returns false where nothing can be made smaller.
bool Session::shrink(const TilePlan& plan) {
  if (batch_ > 1 && model_->batch() == 0) {
    batch_ = 1;
    return true;
  }
  if (model_->height() != 0 || model_->width() != 0) return false;
  const std::int64_t window = model_->metadata().window_px;
  const std::int64_t before = std::max(plan.rows.tile, plan.columns.tile);
  const std::int64_t floor =
      std::max(kSmallestTileWindows * window, padded_side(1, window, model_->min_side()));
  const std::int64_t after = std::max(floor, before / 2 / window * window);
  if (after >= before) return false;
  largest_tile_ = after;
  return true;
}

void Session::report(std::int64_t done, std::int64_t total) const {
  if (options_.progress == nullptr) return;
  if (options_.progress(options_.progress_data, done, total) != 0) {
    fail(SWINIR_CANCELLED, "Cancelled by the progress callback after ", done, " of ", total,
         " tiles.");
  }
}

void Session::note_memory(std::uint64_t besides) {
  peak_bytes_ = std::max(peak_bytes_, adapter_.buffers_bytes() + filled_bytes_ + besides);
}

void Session::run_plan(const TilePlan& plan, const Channels& source, const Channels& target,
                       Progress progress) {
  const std::vector<std::int64_t> rows = reflect_indices(plan.rows.side, plan.rows.padded);
  const std::vector<std::int64_t> columns = reflect_indices(plan.columns.side, plan.columns.padded);
  const auto sink = [&](std::int64_t top, std::int64_t count, const float* values,
                        std::int64_t pitch) { adapter_.write(target, top, count, values, pitch); };
  Blender blender(plan, model_->metadata().scale, source.count(), sink);
  TileGroup group{plan.rows.tile, plan.columns.tile, {}, &rows, &columns};
  const std::int64_t tiles = plan.tiles(), total = tiles * progress.passes;
  std::int64_t done = 0;
  report(tiles * progress.pass, total);
  for (const std::int64_t top : plan.rows.starts) {
    for (const std::int64_t left : plan.columns.starts) {
      group.corners.push_back({top, left});
      const auto waiting = static_cast<std::int64_t>(group.corners.size());
      if (waiting < batch_ && done + waiting < tiles) continue;
      adapter_.run(source, group, [&blender](const float* tile) { blender.add(tile); });
      note_memory(blender.bytes());
      group.corners.clear();
      done += waiting;
      report(tiles * progress.pass + done, total);
    }
  }
}

void Session::restore_channels(const Channels& source, const Channels& target, Progress progress) {
  while (true) {
    const TilePlan tiles = plan(source.height, source.width);
    try {
      run_plan(tiles, source, target, progress);
      return;
    } catch (const Failure& failure) {
      if (failure.status() != SWINIR_OUT_OF_MEMORY) throw;
      if (!shrink(tiles)) {
        fail(SWINIR_OUT_OF_MEMORY, "Not enough memory for one tile of ", tiles.columns.tile, "x",
             tiles.rows.tile, " pixels: ", failure.what(),
             " Close other programs, or use a smaller model.");
      }
    } catch (const std::bad_alloc&) {
      if (!shrink(tiles)) throw;
    }
  }
}

void Session::restore(const swinir_picture& input, const swinir_picture& output) {
  check_picture(input, "input", true);
  check_picture(output, "output", false);
  const std::int32_t scale = model_->metadata().scale;
  check_pair(input, output, scale);
  const std::int32_t channels = model_->metadata().channels;
  if ((channels != 1 && channels != 3) || model_->metadata().out_channels != channels) {
    fail(SWINIR_INVALID_ARGUMENT, "The model takes ", channels, " channels and gives ",
         model_->metadata().out_channels,
         "; pictures have 1 (gray) or 3 (RGB). Run it on tensors: swinir_session_run().");
  }

  Channels colour = colour_of(input);
  std::vector<unsigned char> filled;
  if (has_alpha(input)) {
    filled = fill_transparent(colour, alpha_of(input));
    if (!filled.empty()) colour = filled_channels(colour, filled);
  }
  filled_bytes_ = filled.size();
  const bool keeps_alpha = has_alpha(input) && has_alpha(output);
  const bool alpha_by_model = keeps_alpha && scale > 1 && model_->metadata().channels == 1;
  const std::int64_t passes = alpha_by_model ? 2 : 1;
  restore_channels(colour, colour_of(output), {0, passes});
  filled_bytes_ = 0;
  if (alpha_by_model) {
    restore_channels(alpha_of(input), alpha_of(output), {1, passes});
  } else if (keeps_alpha) {
    scale_alpha(alpha_of(input), alpha_of(output));
  } else if (has_alpha(output)) {
    fill_largest(alpha_of(output));
  }
}

void Session::run(const void* input, const Shape& shape, void* output, std::size_t output_bytes) {
  const Shape output_shape = model_->output_shape(shape);
  std::uint64_t expected = model_->metadata().io == SWINIR_IO_TENSOR ? sizeof(float) : 1;
  for (const std::int64_t side : output_shape) expected *= static_cast<std::uint64_t>(side);
  if (expected != output_bytes) {
    fail(SWINIR_INVALID_ARGUMENT, "output_bytes is ", output_bytes, "; this shape gives ", expected,
         " bytes (swinir_model_output_shape).");
  }
  adapter_.run_tensor(input, shape, output, output_shape);
}

swinir_memory Session::memory() const {
  swinir_memory memory = SWINIR_MEMORY_INIT;
  memory.buffers_bytes = adapter_.buffers_bytes();
  memory.peak_buffers_bytes = std::max(peak_bytes_, memory.buffers_bytes);
  memory.backend_bytes = adapter_.backend_bytes();
  return memory;
}

}  // namespace swinir::core
