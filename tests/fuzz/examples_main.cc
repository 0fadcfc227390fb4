// Writes the examples of a fuzzer as files: the corpus that libFuzzer starts from.
//
// usage: ..._examples DIRECTORY
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/fuzz.h"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: %s DIRECTORY\n", arguments[0]);
    return 2;
  }
  const std::filesystem::path directory(arguments[1]);
  std::filesystem::create_directories(directory);
  std::size_t number = 0;
  for (const auto& example : synod::fuzz::examples()) {
    std::ofstream file(directory / ("example-" + std::to_string(number++)), std::ios::binary);
    file.write(reinterpret_cast<const char*>(example.data()), static_cast<std::streamsize>(example.size()));
    if (!file.flush()) {
      std::fprintf(stderr, "%s: cannot write %s\n", arguments[0], directory.c_str());
      return 1;
    }
  }
  return 0;
}
