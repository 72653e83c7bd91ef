#include "app/checkpoint_taker.h"

#include <algorithm>

namespace orrery {

int64_t checkpoint_distance(Level level, int64_t n_state_bytes, bool keeps_all_keys) {
  if (level < Level::kStandard || n_state_bytes > kMostStateBytes) return 0;
  const bool is_full = level >= Level::kFull;
  if (!is_full && keeps_all_keys) return 0;
  const int64_t per_token = is_full ? kFullCheckpointBytes : kStandardCheckpointBytes;
  const int64_t least = is_full ? kLeastFullSteps : kLeastStandardSteps;
  const int64_t by_bytes = (n_state_bytes + per_token - 1) / per_token;
  return (std::max(least, by_bytes) + kKvPageTokens - 1) / kKvPageTokens * kKvPageTokens;
}

Result<std::shared_ptr<const StateCheckpoint>> CheckpointTaker::take(const Cache& cache, Level level) {
  const int64_t length = cache.length();
  const auto n_state_bytes = static_cast<int64_t>(cache.states_bytes(length));
  const int64_t distance = checkpoint_distance(level, n_state_bytes, cache.keeps_all_keys());
  if (distance == 0 || length / distance == last_ / distance) return std::shared_ptr<const StateCheckpoint>();
  const auto n_key_bytes = static_cast<int64_t>(cache.keys_bytes(keys_end_, length));
  if (n_key_bytes_ + n_key_bytes > kMostKeyBytes) return std::shared_ptr<const StateCheckpoint>();
  auto checkpoint = std::make_shared<StateCheckpoint>();
  checkpoint->step = length;
  checkpoint->keys_begin = keys_end_;
  ORRERY_ASSIGN_OR_RETURN(checkpoint->states, cache.save_states());
  ORRERY_ASSIGN_OR_RETURN(checkpoint->keys, cache.save_keys(keys_end_, length));
  last_ = keys_end_ = length;
  n_key_bytes_ += n_key_bytes;
  return std::shared_ptr<const StateCheckpoint>(std::move(checkpoint));
}

}  // namespace orrery
