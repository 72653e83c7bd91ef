// The block map of the cache view: whose tokens each block of 64 keys holds, how old it is in each layer and how much
// of the attention it gets; what has left a window is drawn as gone.
#pragma once

#include <string>
#include <vector>

#include "views/cache_blocks.h"
#include "views/scene_builder.h"

namespace orrery {

class CacheBlockMap {
 public:
  // All must outlive this.
  CacheBlockMap(SceneBuilder& builder, const SceneInput& input, const Selection& now)
      : b_(builder), history_(input.history), state_(input.state), now_(now) {}

  // What it takes with rows as high as they get.
  float wanted_height() const;
  // The owners and as many maps as fit.
  void draw(const Rect& area);

 private:
  struct Drawn {
    std::string title = {};
    const char* tile = "";
    const char* probe = "";
    const char* unit = "";
    Transfer transfer = Transfer::kLinear;
    bool is_last = false;
  };

  void owners(const Rect& area, const Rect& plot, bool with_gone);
  void map(const Rect& plot, const CacheBlocks& blocks, const std::vector<float>& values, const Drawn& drawn);
  void tile(const Rect& plot, const CacheBlocks& blocks, const std::vector<float>& values, const Drawn& drawn,
            int scale);
  void provenance(const CacheBlocks& blocks, bool with_received);
  int64_t blocks_per_cell(const Rect& plot, const CacheBlocks& blocks) const;
  // Where a token's place is: blocks are as wide as 64 tokens, the last one too.
  float x_of(const Rect& plot, int64_t token) const;

  SceneBuilder& b_;
  const FrameHistory& history_;
  const ViewState& state_;
  const Selection& now_;
  int64_t n_tokens_ = 1;  // along the axis: whole cells
  float gutter_ = 0;
};

}  // namespace orrery
