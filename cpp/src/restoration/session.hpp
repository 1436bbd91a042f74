// Runs pictures of any size through a model, tile by tile; as
// swinir_deploy/restoration/restorer.py.
#pragma once

#include <cstdint>
#include <memory>

#include "pictures/pixels.hpp"
#include "restoration/adapter.hpp"
#include "restoration/tiling.hpp"
#include "runtimes/model.hpp"

namespace swinir::core {

class Session {
 public:
  // `options` is complete (every field of this version). Throws Failure.
  Session(std::shared_ptr<const Model> model, const swinir_session_options& options);

  // See swinir_session_restore. Throws Failure.
  void restore(const swinir_picture& input, const swinir_picture& output);

  // See swinir_session_run. Throws Failure.
  void run(const void* input, const Shape& shape, void* output, std::size_t output_bytes);

  // Returns the answer of swinir_session_get_memory; struct_size is that of this version.
  swinir_memory memory() const;

 private:
  // How much of a picture is done before the channels that are being restored.
  struct Progress {
    std::int64_t pass, passes;
  };

  TilePlan plan(std::int64_t height, std::int64_t width) const;
  AxisPlan axis(std::int64_t side, std::int64_t fixed_side, std::int64_t tile) const;
  bool shrink(const TilePlan& plan);
  void restore_channels(const Channels& source, const Channels& target, Progress progress);
  void run_plan(const TilePlan& plan, const Channels& source, const Channels& target,
                Progress progress);
  void report(std::int64_t done, std::int64_t total) const;
  void note_memory(std::uint64_t besides);

  std::shared_ptr<const Model> model_;
  swinir_session_options options_;
  ModelAdapter adapter_;
  std::int64_t batch_;
  std::int64_t largest_tile_ = 0;  // the largest that memory has allowed; 0: no limit
  std::uint64_t filled_bytes_ = 0;
  std::uint64_t peak_bytes_ = 0;
};

}  // namespace swinir::core
