// What must come of any bytes, however damaged: an answer that makes sense, or a refusal. For the
// table of mutations and the fuzzers alike.
#pragma once

#include <string>

#include "artifacts/metadata.hpp"
#include "check.hpp"
#include "failure.hpp"

namespace swinir_test {

// "" where the metadata was read, else why not.
inline std::string read_or_refuse(const swinir::core::ModelSource& source) {
  try {
    const swinir::core::Metadata metadata = swinir::core::read_metadata(source);
    CHECK(metadata.scale >= 1 && metadata.scale <= 16);
    CHECK(metadata.channels >= 1 && metadata.channels <= 16);
    CHECK(metadata.out_channels >= 1 && metadata.out_channels <= 16);
    CHECK(metadata.window_px >= 2 && metadata.window_px <= 256);
    CHECK(metadata.io == SWINIR_IO_TENSOR || metadata.io == SWINIR_IO_IMAGE);
    CHECK(metadata.precision >= SWINIR_FP32 && metadata.precision <= SWINIR_BF16);
    return "";
  } catch (const swinir::core::Failure& failure) {
    CHECK_EQUAL(failure.status(), SWINIR_INVALID_MODEL);
    CHECK(!std::string(failure.what()).empty());
    return failure.what();
  }
}

}  // namespace swinir_test
