#include "engine/cache_trail.h"

namespace orrery {

Result<void> CacheTrail::note(const Cache& cache) {
  if (!cache.has_constant_states() || cache.fork_bytes() > max_bytes_) return {};
  const int64_t last = forks_.empty() ? 0 : forks_.rbegin()->first;
  if (cache.length() / distance_ == last / distance_) return {};
  ORRERY_ASSIGN_OR_RETURN(Cache fork, cache.fork());
  forks_.emplace(cache.length(), std::move(fork));
  while (forks_.size() * cache.fork_bytes() > max_bytes_) thin();
  return {};
}

// Doubles the distance and keeps the first of each stretch.
void CacheTrail::thin() {
  distance_ *= 2;
  int64_t kept = 0;
  std::erase_if(forks_, [&](const auto& entry) {
    if (entry.first / distance_ == kept / distance_) return true;
    kept = entry.first;
    return false;
  });
}

const Cache* CacheTrail::nearest(int64_t length) const {
  const auto after = forks_.upper_bound(length);
  return after == forks_.begin() ? nullptr : &std::prev(after)->second;
}

}  // namespace orrery
