// What the tests check with. A failed check says where, and the program returns 1.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <iostream>

namespace swinir_test {

// A bit for every status that CHECK_STATUS has met.
inline std::atomic<std::uint64_t> met_statuses{0};

}  // namespace swinir_test

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #condition << std::endl; \
      std::exit(1);                                                                \
    }                                                                              \
  } while (false)

#define CHECK_EQUAL(actual, expected)                                                              \
  do {                                                                                             \
    const auto actual_ = (actual);                                                                 \
    const decltype(actual_) expected_ = (expected);                                                \
    if (!(actual_ == expected_)) {                                                                 \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #actual << " is " << actual_ << ", not " \
                << expected_ << std::endl;                                                         \
      std::exit(1);                                                                                \
    }                                                                                              \
  } while (false)

// A status, with the library's sentence where it is another.
#define CHECK_STATUS(call, expected)                                                            \
  do {                                                                                          \
    const swinir_status status_ = (call);                                                       \
    if (status_ >= 0 && status_ < 64) swinir_test::met_statuses |= std::uint64_t{1} << status_; \
    if (status_ != (expected)) {                                                                \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #call << " gave "                     \
                << swinir_status_name(status_) << " (" << swinir_last_error() << "), not "      \
                << swinir_status_name(expected) << std::endl;                                   \
      std::exit(1);                                                                             \
    }                                                                                           \
  } while (false)
