// What the tests check with. A failed check says where, and the program returns 1.
#pragma once

#include <cstdlib>
#include <iostream>

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #condition << std::endl; \
      std::exit(1);                                                                \
    }                                                                              \
  } while (false)

#define CHECK_EQUAL(found, wanted)                                                               \
  do {                                                                                           \
    const auto found_ = (found);                                                                 \
    const decltype(found_) wanted_ = (wanted);                                                   \
    if (!(found_ == wanted_)) {                                                                  \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #found << " is " << found_ << ", not " \
                << wanted_ << std::endl;                                                         \
      std::exit(1);                                                                              \
    }                                                                                            \
  } while (false)

// A status, with the library's sentence where it is another.
#define CHECK_STATUS(call, wanted)                                                         \
  do {                                                                                     \
    const swinir_status status_ = (call);                                                  \
    if (status_ != (wanted)) {                                                             \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #call << " gave "                \
                << swinir_status_name(status_) << " (" << swinir_last_error() << "), not " \
                << swinir_status_name(wanted) << std::endl;                                \
      std::exit(1);                                                                        \
    }                                                                                      \
  } while (false)
