#include "consensus/doubt.h"

#include "base/mutant.h"

namespace synod::consensus {

bool Doubt::is_resolved(const Window<AcceptedSlot>& slots) const {
  if (kind == Kind::none) return true;
  if (kind == Kind::unbounded) return false;
  if (mutant(Mutant::repair_promises_early)) return true;
  if (last > slots.last()) return false;
  for (Slot slot = slots.first(); slot <= last; ++slot) {
    // What is only staged counts: the record of a promise follows it in the journal.
    const AcceptedSlot& accepted = slots[slot];
    if (!accepted.chosen && (!accepted.present() || accepted.ballot < bound)) return false;
  }
  return true;
}

}  // namespace synod::consensus
