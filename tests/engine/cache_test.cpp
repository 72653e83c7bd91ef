#include "engine/cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "engine/cache_trail.h"
#include "tests/engine/models/golden_check.h"

namespace orrery::testing {
namespace {

// Host memory, counting the allocations that live.
class CountingBackend final : public Backend {
 public:
  int64_t n_live() const { return *n_live_; }

  Result<std::unique_ptr<Allocation>> allocate(size_t n_bytes) override {
    return std::unique_ptr<Allocation>(std::make_unique<Memory>(n_bytes, n_live_));
  }
  std::string name() const override { return "counting"; }
  std::string instruction_set() const override { return ""; }
  std::string description() const override { return "counting"; }
  int n_threads() const override { return 1; }
  Result<PlacedWeight> place(const TensorView& weight, const PlaceProgress&) override {
    return PlacedWeight{.view = weight, .memory = nullptr};
  }
  Result<void> finish(std::span<const Fetch>) override { return {}; }
  void copy(std::byte* to, const std::byte* from, size_t n_bytes) override { std::memcpy(to, from, n_bytes); }
  // A cache computes nothing.
  Result<std::unique_ptr<Readback>> allocate_readback(size_t) override {
    ADD_FAILURE();
    return Error{ErrorCode::kUnsupported, "a cache reads nothing back"};
  }
  void embed(const TensorView&, std::span<const int32_t>, float, Matrix<float>) override { FAIL(); }
  void rms_norm(Matrix<const float>, const TensorView&, float, Matrix<float>) override { FAIL(); }
  void layer_norm(Matrix<const float>, const TensorView&, const TensorView&, float, Matrix<float>) override { FAIL(); }
  void matmul(Matrix<const float>, std::span<const Product>) override { FAIL(); }
  void rope(Matrix<float>, std::span<const int64_t>, int64_t, const RopeConfig&, int32_t) override { FAIL(); }
  void store_kv(Matrix<const float>, std::span<const int64_t>, std::span<std::byte* const>, DType, int32_t,
                int32_t) override {
    FAIL();
  }
  void attention(const AttentionArgs&, const AttentionStats&) override { FAIL(); }
  void activate(Activation, Matrix<const float>, Matrix<float>) override { FAIL(); }
  void activate_multiply(Activation, Matrix<const float>, Matrix<const float>, Matrix<float>) override { FAIL(); }
  void clipped_multiply(ClippedGate, Matrix<const float>, Matrix<const float>, Matrix<float>) override { FAIL(); }
  void clip(Matrix<float>, float) override { FAIL(); }
  void soft_cap(Matrix<float>, float) override { FAIL(); }
  void add(Matrix<float>, Matrix<const float>, float) override { FAIL(); }
  void scale(Matrix<float>, float) override { FAIL(); }
  void gate_groups(Activation, Matrix<const float>, Matrix<float>) override { FAIL(); }
  void softplus(Matrix<const float>, const TensorView&, SoftplusRange, Matrix<float>) override { FAIL(); }
  void input_strength(Matrix<const float>, const TensorView&, std::span<const int64_t>, Matrix<float>) override {
    FAIL();
  }
  void causal_conv(const CausalConvArgs&, StatSlot) override { FAIL(); }
  void token_shift(const TokenShiftArgs&) override { FAIL(); }
  void matrix_state(const MatrixStateArgs&, const MatrixStateStats&) override { FAIL(); }
  void matrix_state_rows(const StateRowArgs&, StatSlot) override { FAIL(); }
  void fast_weights(const FastWeightsArgs&, const FastWeightsStats&) override { FAIL(); }
  void route(Matrix<const float>, const TensorView&, const RouterConfig&, const Routes&, const RouterStats&) override {
    FAIL();
  }
  void expert_matmul(Matrix<const float>, const Routes&, std::span<const ExpertProduct>) override { FAIL(); }
  void sum_experts(Matrix<const float>, const Routes&, Matrix<float>) override { FAIL(); }
  void truncated_normal(uint64_t, std::span<const int64_t>, float, Matrix<float>) override { FAIL(); }
  void group_norms(Matrix<const float>, int64_t, StatSlot) override { FAIL(); }
  void group_dots(Matrix<const float>, Matrix<const float>, Matrix<float>) override { FAIL(); }
  void mean_magnitudes(Matrix<const float>, StatSlot) override { FAIL(); }
  void row_change(const RowChangeArgs&, StatSlot, StatSlot) override { FAIL(); }
  void row_divergence(Matrix<const float>, Matrix<const float>, StatSlot) override { FAIL(); }
  void output_stats(Matrix<const float>, const OutputStats&) override { FAIL(); }

 private:
  class Memory final : public Allocation {
   public:
    Memory(size_t n_bytes, std::shared_ptr<int64_t> n_live) : bytes_(n_bytes), n_live_(std::move(n_live)) {
      ++*n_live_;
    }
    ~Memory() override { --*n_live_; }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    std::byte* data() override { return bytes_.data(); }
    size_t n_bytes() const override { return bytes_.size(); }

   private:
    std::vector<std::byte> bytes_;
    std::shared_ptr<int64_t> n_live_;
  };
  std::shared_ptr<int64_t> n_live_ = std::make_shared<int64_t>(0);
};

std::vector<LayerState> two_layers(int64_t window_of_second) {
  StateSpec full;
  full.dtype = DType::kF32;
  full.n_kv_heads = 2;
  full.d_head_k = 3;
  full.d_head_v = 5;
  StateSpec windowed = full;
  windowed.dtype = DType::kF16;
  windowed.window = window_of_second;
  return {{.key = {.layer = 0}, .spec = full}, {.key = {.layer = 1}, .spec = windowed}};
}

TEST(Cache, KeepsOnePageFor64Tokens) {
  Cache cache(two_layers(0), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(64));
  EXPECT_EQ(cache.pages(0, 0).keys.size(), 1U);
  cache.advance(64);
  ASSERT_TRUE(cache.reserve(1));
  EXPECT_EQ(cache.pages(0, 0).keys.size(), 2U);
  EXPECT_EQ(cache.length(), 64);
}

TEST(Cache, DropsPagesThatAWindowCannotReach) {
  Cache cache(two_layers(10), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(200));
  const std::byte* second = cache.pages(1, 0).keys_of(1);
  cache.advance(72);  // the next row, at 72, sees 63..72
  EXPECT_EQ(cache.pages(1, 0).first_page, 0);
  cache.advance(1);  // the next row, at 73, sees 64..73
  EXPECT_EQ(cache.pages(1, 0).first_page, 1);
  EXPECT_EQ(cache.pages(1, 0).keys_of(1), second);
  EXPECT_EQ(cache.key_page(1, 0, 73), second);
  EXPECT_EQ(cache.pages(0, 0).first_page, 0);
}

TEST(Cache, AWindowsMemoryIsConstantHoweverLongTheText) {
  for (const int64_t window : {1, 5, 63, 64, 65, 130}) {
    const auto backend = std::make_shared<CountingBackend>();
    Cache cache({two_layers(window)[1]}, backend);
    const int64_t most = (window + kKvPageTokens - 1) / kKvPageTokens + 1;
    for (int64_t t = 0; t < 2000; ++t) {
      ASSERT_TRUE(cache.reserve(1));
      ASSERT_LE(backend->n_live(), most) << "window " << window << " at " << t;
      ASSERT_EQ(static_cast<int64_t>(cache.pages(1, 0).keys.size()), backend->n_live()) << "no list of what is gone";
      const int64_t first_seen = std::max<int64_t>(0, t + 1 - window);
      ASSERT_LE(cache.pages(1, 0).first_page * kKvPageTokens, first_seen) << "every key that is seen is held";
      cache.advance(1);
    }
    // A batch adds what it writes, and gives it back.
    ASSERT_TRUE(cache.reserve(640));
    EXPECT_LE(backend->n_live(), most + 10);
    cache.advance(640);
    EXPECT_LE(backend->n_live(), most);
  }
}

TEST(Cache, ForksOfAWindowHoldTheirOwnPast) {
  const auto backend = std::make_shared<CountingBackend>();
  Cache cache({two_layers(100)[1]}, backend);
  ASSERT_TRUE(cache.reserve(150));
  std::memset(cache.key_page(1, 0, 149), 7, 16);
  cache.advance(150);
  auto fork = cache.fork();
  ASSERT_TRUE(fork);
  const int64_t shared = backend->n_live();
  const std::byte* kept = cache.pages(1, 0).keys_of(1);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(cache.reserve(1));
    cache.advance(1);
  }
  EXPECT_EQ(fork->length(), 150);
  EXPECT_EQ(fork->pages(1, 0).keys_of(1), kept) << "what the one has dropped the other still sees";
  EXPECT_EQ(std::to_integer<int>(fork->pages(1, 0).keys_of(2)[0]), 7);
  EXPECT_LE(backend->n_live(), shared + 3);
  ASSERT_TRUE(fork->reserve(1));
  EXPECT_EQ(std::to_integer<int>(fork->key_page(1, 0, 150)[0]), 7);
}

TEST(Cache, ForksShareThePastUntilOneOfThemWrites) {
  Cache cache(two_layers(0), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(70));
  std::memset(cache.key_page(0, 0, 69), 7, 16);
  cache.advance(70);
  auto fork = cache.fork();
  ASSERT_TRUE(fork);
  EXPECT_EQ(fork->pages(0, 0).keys[0], cache.pages(0, 0).keys[0]);
  ASSERT_TRUE(fork->reserve(1));
  EXPECT_EQ(fork->pages(0, 0).keys[0], cache.pages(0, 0).keys[0]) << "a full page is never copied";
  ASSERT_NE(fork->pages(0, 0).keys[1], cache.pages(0, 0).keys[1]);
  std::memset(fork->key_page(0, 0, 70), 9, 16);
  EXPECT_EQ(std::to_integer<int>(cache.pages(0, 0).keys[1][0]), 7);
  EXPECT_EQ(std::to_integer<int>(fork->pages(0, 0).values[1][0]), 0);
}

TEST(Cache, RetainsWhatLeftItsWindowsWithinTheLimitSoThatForksCanBeCutBack) {
  const auto backend = std::make_shared<CountingBackend>();
  const std::vector<LayerState> states{two_layers(10)[1]};
  const auto page_bytes = static_cast<size_t>(states[0].spec.unit_bytes() * kKvPageTokens);
  Cache cache(states, backend);
  cache.retain(3 * page_bytes);
  for (int64_t t = 0; t < 1000; ++t) {
    ASSERT_TRUE(cache.reserve(1));
    std::memset(cache.key_page(1, 0, t), static_cast<int>(t / kKvPageTokens), 16);
    cache.advance(1);
    const int64_t n_window_pages = t / kKvPageTokens - std::max<int64_t>(0, t + 2 - 10) / kKvPageTokens + 1;
    ASSERT_LE(backend->n_live(), n_window_pages + 3) << t;
  }
  auto fork = cache.fork();
  ASSERT_TRUE(fork);
  ASSERT_TRUE(fork->truncate(850));
  EXPECT_EQ(std::to_integer<int>(fork->pages(1, 0).keys_of(13)[0]), 13);
  auto early = cache.fork();
  EXPECT_FALSE(early->truncate(700)) << "given back: the oldest first";
  ASSERT_TRUE(fork->reserve(1));
  fork->advance(1);
  EXPECT_EQ(fork->pages(1, 0).first_page, 13) << "a fork retains nothing";
  EXPECT_EQ(cache.length(), 1000);
}

TEST(Cache, ComesBackFromItsBytes) {
  for (const int64_t window : {0, 1, 70}) {
    std::vector<LayerState> states = two_layers(window);
    StateSpec constant;
    constant.kind = StateKind::kMatrixState;
    constant.shape = {2, 3};
    states.push_back({.key = {.layer = 1, .kind = StateKind::kMatrixState}, .spec = constant});
    const auto backend = make_cpu_backend(1);
    Cache cache(states, backend);
    ASSERT_TRUE(cache.reserve(200));
    for (int64_t t = 0; t < 200; t += kKvPageTokens) {
      for (const int32_t layer : {0, 1}) {
        const StateSpec& spec = states[static_cast<size_t>(layer)].spec;
        const auto n_bytes = static_cast<size_t>(spec.unit_bytes() * kKvPageTokens);
        std::byte* page = cache.key_page(layer, 0, t);
        for (size_t i = 0; i < n_bytes; ++i) page[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(t + layer));
      }
    }
    for (int i = 0; i < 6; ++i) cache.state({1, 0, StateKind::kMatrixState})[i] = static_cast<float>(i) + 0.5f;
    cache.advance(199);
    const int64_t all = window == 0 ? 2 : 1;
    std::vector<Cache::SavedKeys> keys;
    for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 64}, {64, 130}, {130, 199}}) {
      keys.push_back({.begin = begin, .end = end, .bytes = cache.save_keys(begin, end).value()});
      EXPECT_EQ(keys.back().bytes.size(), cache.keys_bytes(begin, end));
    }
    const std::vector<std::byte> saved = cache.save_states().value();
    EXPECT_EQ(saved.size(), cache.states_bytes(199));
    Cache back(states, backend);
    ASSERT_TRUE(back.restore(199, saved, keys));
    EXPECT_EQ(back.length(), 199);
    EXPECT_EQ(back.save_states().value(), saved);
    EXPECT_EQ(back.keeps_all_keys(), all > 0);
    EXPECT_EQ(back.save_keys(0, 199).value(), cache.save_keys(0, 199).value());
    EXPECT_EQ(back.pages(1, 0).first_page, cache.pages(1, 0).first_page);
    Cache wrong(states, backend);
    EXPECT_FALSE(wrong.restore(198, saved, keys));
    keys.erase(keys.begin() + 1);
    EXPECT_FALSE(wrong.restore(199, saved, keys));
    EXPECT_EQ(wrong.length(), 0);
  }
}

TEST(CacheTrail, KeepsForksWithinItsBytesEverFartherApart) {
  StateSpec constant;
  constant.kind = StateKind::kMatrixState;
  constant.shape = {100};
  const std::vector<LayerState> states{{.key = {.layer = 0, .kind = StateKind::kMatrixState}, .spec = constant}};
  Cache cache(states, make_cpu_backend(1));
  CacheTrail trail(10 * cache.fork_bytes());
  for (int64_t t = 0; t < 5000; ++t) {
    ASSERT_TRUE(cache.reserve(1));
    cache.state({0, 0, StateKind::kMatrixState})[0] = static_cast<float>(t + 1);
    cache.advance(1);
    ASSERT_TRUE(trail.note(cache));
    ASSERT_LE(trail.n_forks(), 10U);
  }
  EXPECT_EQ(trail.distance(), 512);
  for (const int64_t step : {0, 511, 512, 1500, 4999, 5000}) {
    const Cache* fork = trail.nearest(step);
    ASSERT_EQ(fork != nullptr, step >= 512);
    if (fork == nullptr) continue;
    EXPECT_EQ(fork->length(), step / 512 * 512);
    Cache copy = fork->fork().value();
    EXPECT_EQ(copy.state({0, 0, StateKind::kMatrixState})[0], static_cast<float>(fork->length()));
  }
  Cache plain(two_layers(0), make_cpu_backend(1));
  CacheTrail none(size_t{1} << 30);
  ASSERT_TRUE(plain.reserve(100));
  plain.advance(100);
  ASSERT_TRUE(none.note(plain));
  EXPECT_EQ(none.n_forks(), 0U) << "keys and values are cut back";
}

TEST(Cache, UsageCountsWhatIsHeldAndWhatWasDropped) {
  const auto states = two_layers(10);
  const int64_t full_token = 2 * (3 + 5) * 4, windowed_token = 2 * (3 + 5) * 2;
  EXPECT_EQ(usage_after(states, 0, 99).bytes[0], 100 * full_token);
  EXPECT_EQ(usage_after(states, 0, 99).evicted, 0);
  EXPECT_EQ(usage_after(states, 1, 4).bytes[0], 5 * windowed_token);
  EXPECT_EQ(usage_after(states, 1, 99).bytes[0], 10 * windowed_token);
  EXPECT_EQ(usage_after(states, 1, 99).entries, 10);
  EXPECT_EQ(usage_after(states, 1, 99).evicted, 90);
}

TEST(Cache, IsCutBackWhereAllThatTheNextRowSeesIsHeld) {
  Cache full(two_layers(0), make_cpu_backend(1));
  ASSERT_TRUE(full.reserve(100));
  full.advance(100);
  ASSERT_TRUE(full.truncate(30));
  EXPECT_EQ(full.length(), 30);
  EXPECT_EQ(full.pages(0, 0).keys.size(), 1U);

  Cache windowed(two_layers(10), make_cpu_backend(1));
  ASSERT_TRUE(windowed.reserve(72));
  windowed.advance(72);
  ASSERT_TRUE(windowed.truncate(2)) << "its first page is still there";
  ASSERT_TRUE(windowed.reserve(128));
  windowed.advance(128);                       // 130 tokens: the next row sees from 121 on, so page 0 is gone
  EXPECT_TRUE(windowed.truncate(73));          // a row at 73 sees 64..73
  const auto refused = windowed.truncate(72);  // one at 72 sees 63, which lay in page 0
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(windowed.length(), 73);
  EXPECT_EQ(windowed.pages(0, 0).keys.size(), 2U) << "a refusal changes nothing";
  ASSERT_TRUE(windowed.reserve(1));
  EXPECT_EQ(windowed.pages(1, 0).first_page, 1);
}

// A recurrent layer beside one with attention: matrices [2, 3, 5] and a convolution's last 3 rows of 7 channels.
std::vector<LayerState> hybrid_layers() {
  StateSpec matrices, rows;
  matrices.kind = StateKind::kMatrixState;
  matrices.shape = {2, 3, 5};
  matrices.history_width = 4;
  rows.kind = StateKind::kConvolution;
  rows.shape = {3, 7};
  return {two_layers(0)[0],
          {.key = {.layer = 1, .kind = StateKind::kMatrixState}, .spec = matrices},
          {.key = {.layer = 1, .kind = StateKind::kConvolution}, .spec = rows}};
}

constexpr CacheKey kMatrices{.layer = 1, .kind = StateKind::kMatrixState};

TEST(Cache, AConstantStateIsZeroAtFirstAndStaysWhereItIs) {
  Cache cache(hybrid_layers(), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(1));
  float* const state = cache.state(kMatrices);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(state[i], 0.0f);
  state[29] = 7.0f;
  cache.advance(1);
  ASSERT_TRUE(cache.reserve(100));
  EXPECT_EQ(cache.state(kMatrices), state);
  EXPECT_EQ(state[29], 7.0f);
}

TEST(Cache, AForksStateIsItsOwnOnceItGoesOn) {
  Cache cache(hybrid_layers(), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(1));
  cache.state(kMatrices)[0] = 1.0f;
  cache.advance(1);
  Result<Cache> fork = cache.fork();
  ASSERT_TRUE(fork);
  ASSERT_TRUE(fork->reserve(1));
  EXPECT_EQ(fork->state(kMatrices)[0], 1.0f);
  fork->state(kMatrices)[0] = 2.0f;
  ASSERT_TRUE(cache.reserve(1));
  EXPECT_EQ(cache.state(kMatrices)[0], 1.0f);
}

TEST(Cache, AStateIsNotCutBackButForgotten) {
  Cache cache(hybrid_layers(), make_cpu_backend(1));
  ASSERT_TRUE(cache.reserve(5));
  cache.state(kMatrices)[0] = 1.0f;
  cache.advance(5);
  const Result<void> cut = cache.truncate(3);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(cache.length(), 5);
  EXPECT_TRUE(cache.truncate(5));
  ASSERT_TRUE(cache.truncate(0));
  ASSERT_TRUE(cache.reserve(1));
  EXPECT_EQ(cache.state(kMatrices)[0], 0.0f);
}

TEST(Cache, AHistoryKeepsWhatWasPutInAsItGrows) {
  Cache cache(hybrid_layers(), make_cpu_backend(1));
  for (int64_t t = 0; t < 300; ++t) {
    ASSERT_TRUE(cache.reserve(1, true));
    cache.history(1, 0)[t * 4 + 3] = static_cast<float>(t);
    cache.advance(1);
  }
  for (int64_t t = 0; t < 300; ++t) ASSERT_EQ(cache.history(1, 0)[t * 4 + 3], static_cast<float>(t));
}

TEST(Cache, ConstantStatesUseTheSameBytesAtEveryLength) {
  const auto states = hybrid_layers();
  for (const int64_t t : {0, 63, 100000}) {
    EXPECT_EQ(usage_after(states, 1, t).bytes[1], 2 * 3 * 5 * 4);
    EXPECT_EQ(usage_after(states, 1, t).bytes[2], 3 * 7 * 4);
    EXPECT_EQ(usage_after(states, 1, t).entries, 0);
  }
}

}  // namespace
}  // namespace orrery::testing
