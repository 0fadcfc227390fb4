// Faults at gateways (configuration, files, devices): one line that says what happened and what to do.
// The data path uses small enums of reasons instead, which are counted.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace synod {

struct Error {
  std::string text;
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(std::string text) {
  return std::unexpected(Error{std::move(text)});
}

}  // namespace synod
