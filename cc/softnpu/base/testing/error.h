// cc/softnpu/base/testing/error.h: the Error that a call throws, as text.
#pragma once

#include <string>

#include "cc/softnpu/base/error.h"

namespace softnpu {

// "<code> <sentence>" of the Error that `body` throws; empty: it throws none.
template <typename Body>
std::string ErrorOf(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::to_string(error.code()) + " " + error.what();
  }
  return "";
}

}  // namespace softnpu
