// Which deliberate bug lives in a build that holds all of them (base/mutant.h): the environment says.
#pragma once

#include <cstdio>
#include <cstdlib>

#include "base/mutant.h"

namespace synod {

// Call it first. False, and said so: SYNOD_MUTANT names one that this build does not have.
[[nodiscard]] inline bool choose_mutant() {
  const char* name = std::getenv("SYNOD_MUTANT");
  if (name == nullptr) return true;
#if defined(SYNOD_MUTANT_ANY)
  active_mutant = mutant_of(name);
  if (active_mutant != Mutant::count_) return true;
#endif
  std::fprintf(stderr, "SYNOD_MUTANT=%s: there is no such mutant in this build; `sim --mutants` lists them\n", name);
  return false;
}

}  // namespace synod
