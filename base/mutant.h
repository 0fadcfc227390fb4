// Deliberate bugs, to measure the tests by (DeMillo, Lipton, Sayward, "Hints on Test Data Selection", 1978). Compiled out of
// every build but one that was configured for them:
//
//   -Dmutant=none   the default: mutant(...) is false at compile time and leaves nothing behind
//   -Dmutant=NAME   that one is compiled in
//   -Dmutant=any    all of them are, and active_mutant says which one lives: the simulator takes it from SYNOD_MUTANT
//
// `./dev.sh mutants` says which of them the simulator catches, how fast, and by which check. Each stands where the rule is that
// it breaks, on one line where possible.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace synod {

enum class Mutant : std::uint8_t {
  none,
  // rule 1, durable before visible
  reply_before_durable,
  own_vote_before_durable,
  promise_omits_staged_accept,
  accept_below_promise,
  promise_number_stale,
  // rule 2, ballots
  prepare_before_own_promise,
  ballot_reused_after_restart,
  // choosing values
  phase1_prefers_own_value,
  phase1_takes_lower_ballot,
  vote_counted_twice,
  minority_is_quorum,
  // rule 3, learning
  commit_stale_record,
  catchup_serves_uncommitted,
  // rule 4, who leads
  behind_candidate_leads,
  noop_over_trimmed,
  // rule 5, identity
  reformatted_votes,
  // rule 6, repair
  repair_promises_early,
  nack_unreadable,
  stale_image_votes,
  // the journal
  torn_tail_is_data,
  misdirected_accepted,
  tail_resurrected,
  durable_by_completion_order,
  recycled_is_current,
  promise_lost_in_recycle,
  // rules 7 and 8, clients
  session_lost_on_failover,
  evicted_is_new,
  opening_answers_any,
  lsn_from_old_base,
  tail_without_probe,
  // rule 10, early answers
  receipt_is_vote,
  received_before_staging,
  early_answer_at_once,
  all_is_quorum,
  // trims
  trim_falls,
  trim_lets_go_too_far,
  trimmed_is_read,
  // packets
  fragment_mixup,
  count_
};

inline constexpr std::array<std::string_view, static_cast<std::size_t>(Mutant::count_)> mutant_names{
    "none",
    "reply-before-durable",
    "own-vote-before-durable",
    "promise-omits-staged-accept",
    "accept-below-promise",
    "promise-number-stale",
    "prepare-before-own-promise",
    "ballot-reused-after-restart",
    "phase1-prefers-own-value",
    "phase1-takes-lower-ballot",
    "vote-counted-twice",
    "minority-is-quorum",
    "commit-stale-record",
    "catchup-serves-uncommitted",
    "behind-candidate-leads",
    "noop-over-trimmed",
    "reformatted-votes",
    "repair-promises-early",
    "nack-unreadable",
    "stale-image-votes",
    "torn-tail-is-data",
    "misdirected-accepted",
    "tail-resurrected",
    "durable-by-completion-order",
    "recycled-is-current",
    "promise-lost-in-recycle",
    "session-lost-on-failover",
    "evicted-is-new",
    "opening-answers-any",
    "lsn-from-old-base",
    "tail-without-probe",
    "receipt-is-vote",
    "received-before-staging",
    "early-answer-at-once",
    "all-is-quorum",
    "trim-falls",
    "trim-lets-go-too-far",
    "trimmed-is-read",
    "fragment-mixup",
};

// Mutant::count_ when there is none of that name.
[[nodiscard]] constexpr Mutant mutant_of(std::string_view name) {
  for (std::size_t i = 0; i < mutant_names.size(); ++i) {
    if (mutant_names[i] == name) return static_cast<Mutant>(i);
  }
  return Mutant::count_;
}

#if defined(SYNOD_MUTANT_ANY)

inline Mutant active_mutant = Mutant::none;  // set before anything else runs
[[nodiscard]] inline bool mutant(Mutant which) {
  return which == active_mutant;
}

#else

#if !defined(SYNOD_MUTANT_NAME)
#define SYNOD_MUTANT_NAME "none"
#endif
static_assert(mutant_of(SYNOD_MUTANT_NAME) != Mutant::count_, "-Dmutant=NAME: no mutant has this name");
[[nodiscard]] constexpr bool mutant(Mutant which) {
  return which == mutant_of(SYNOD_MUTANT_NAME);
}

#endif

}  // namespace synod
