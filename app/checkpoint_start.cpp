// Re-runs that begin at a checkpoint of the recording.
#include <algorithm>

#include "app/rerun.h"
#include "probes/tap_mask.h"

namespace orrery {
namespace {

const Probe& residual_norm() { return *find_probe("residual.norm"); }

// The keys of [0, entries[last].step), out of that checkpoint and those before it.
Result<std::vector<Cache::SavedKeys>> read_keys(const CheckpointSource& source,
                                                const std::vector<CheckpointEntry>& entries, size_t last,
                                                const Cache& cache) {
  std::vector<Cache::SavedKeys> parts;
  if (!cache.keeps_all_keys()) return parts;
  int64_t end = entries[last].step;
  for (size_t i = last + 1; i-- > 0 && end > 0;) {
    if (entries[i].step != end) continue;
    const int64_t begin = entries[i].keys_begin;
    ORRERY_ASSIGN_OR_RETURN(std::vector<std::byte> bytes,
                            source.reader.checkpoint_keys(source.record.run, end, cache.keys_bytes(begin, end)));
    parts.push_back({.begin = begin, .end = end, .bytes = std::move(bytes)});
    end = begin;
  }
  if (end > 0) {
    return Error{ErrorCode::kInvalidFile, "the keys of the first " + std::to_string(end) + " tokens are missing"};
  }
  std::ranges::reverse(parts);
  return parts;
}

// Whether the next token, fed from here, leaves the residual stream that was recorded: a state that was made by another
// hand, or is of other tokens, shows there. The generator stays where it is.
Result<void> check_next(const CheckpointSource& source, const std::vector<Token>& tokens, Generator& generator) {
  const int64_t step = generator.length();
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Frame> recorded,
                          source.reader.frames(residual_norm(), source.record.run, step, step + 1));
  if (recorded.size() != 1) return Error{ErrorCode::kNotFound, "nothing was recorded to hold it against"};
  TapMask mask;
  mask.probes = {&residual_norm()};
  const ProbePlan plan = compile(mask, generator.model().config());
  ORRERY_ASSIGN_OR_RETURN(Cache before, generator.cache().fork());
  const int32_t id[] = {tokens[static_cast<size_t>(step)].id};
  ORRERY_RETURN_IF_ERROR(generator.feed(id, plan, LogitsWanted::kNone));
  const std::vector<Frame> now = cut_frames(generator.probes(), generator.model().config(), source.record.run, step);
  // On a device, one row alone may be added up in another order than in the batch that it was recorded in.
  const bool by_bits = generator.model().backend()->name() == "cpu";
  FrameComparison comparison(by_bits);
  comparison.compare(recorded.front(), now.front());
  generator.take_up(std::move(before));
  if (by_bits ? comparison.n_other_bits() == 0 : !comparison.first_difference().has_value()) return {};
  return Error{ErrorCode::kInvalidFile, "it does not lead to what was recorded at step " + std::to_string(step)};
}

Result<void> take_up(const CheckpointSource& source, const std::vector<CheckpointEntry>& entries, size_t index,
                     const std::vector<Token>& tokens, Generator& generator) {
  const int64_t step = entries[index].step;
  const Cache& cache = generator.cache();
  ORRERY_ASSIGN_OR_RETURN(const std::vector<std::byte> states,
                          source.reader.checkpoint_states(source.record.run, step, cache.states_bytes(step)));
  ORRERY_ASSIGN_OR_RETURN(const std::vector<Cache::SavedKeys> keys, read_keys(source, entries, index, cache));
  ORRERY_RETURN_IF_ERROR(generator.restore(step, states, keys));
  return check_next(source, tokens, generator);
}

}  // namespace

int64_t start_from_checkpoint(const CheckpointSource& source, const OpenedModel& opened,
                              const std::vector<Token>& tokens, int64_t step, Generator& generator) {
  const auto say = [&](const std::string& sentence) {
    if (source.say) source.say(sentence);
  };
  generator.reset();
  const Result<std::vector<CheckpointEntry>> entries = source.reader.checkpoints(source.record.run);
  if (!entries) {
    say(entries.error().message + "; replayed from the start");
    return 0;
  }
  const auto after = std::ranges::upper_bound(*entries, step, std::ranges::less(),
                                              [](const CheckpointEntry& one) { return one.step; });
  if (after == entries->begin()) return 0;
  const int64_t at = std::prev(after)->step;
  const std::string name = "the checkpoint at step " + std::to_string(at);
  const std::vector<std::string> other = other_conditions(source.record, opened);
  if (!other.empty()) {
    say(name + " was made under " + other.front() + "; replayed from the start");
    return 0;
  }
  if (turns_by_length(opened.model->config())) {
    say(name + " holds keys that turn by what was fed together; replayed from the start");
    return 0;
  }
  const auto index = static_cast<size_t>(std::prev(after) - entries->begin());
  const Result<void> taken = take_up(source, *entries, index, tokens, generator);
  if (!taken) {
    generator.reset();
    say(name + " cannot be used: " + taken.error().message + "; replayed from the start");
    return 0;
  }
  say("from " + name);
  return at;
}

}  // namespace orrery
