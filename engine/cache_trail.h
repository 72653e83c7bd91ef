// CacheTrail: forks of a sequence's cache at some of its positions, from which what a token did can be computed again
// without the tokens before. Needed where states are overwritten by every token; keys and values alone are cut back.
// Engine thread only.
//
// A fork shares pages with the cache that it was taken of, so that it costs its constant states, the page that was
// being written and its windows (Cache::fork_bytes). They are kept at multiples of a distance that begins at 64 tokens
// and doubles, every other one being dropped, whenever all together would pass the limit: the distance to go over again
// is at most twice (tokens so far) * fork_bytes / max_bytes. A state-space model of 130 M parameters (19 MB of states)
// with 256 MiB of them over 32,768 tokens: 13 forks, 4,096 tokens apart.
#pragma once

#include <cstdint>
#include <map>

#include "engine/cache.h"

namespace orrery {

class CacheTrail {
 public:
  // max_bytes 0: nothing is kept.
  explicit CacheTrail(size_t max_bytes = 0) : max_bytes_(max_bytes) {}

  // After each pass. Errors: of fork().
  Result<void> note(const Cache& cache);
  // The last one at or before `length`; null where there is none.
  const Cache* nearest(int64_t length) const;
  size_t n_forks() const { return forks_.size(); }
  int64_t distance() const { return distance_; }

 private:
  void thin();

  size_t max_bytes_;
  int64_t distance_ = kKvPageTokens;
  std::map<int64_t, Cache> forks_;  // by length
};

}  // namespace orrery
