#include "engine/generator.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>

namespace orrery {

namespace {

// Floats per row that RWKV-7's time mix takes: six mixtures; values, gate, output, and what mixes the first values in;
// queries, keys, and what they are made of; low-rank parts are narrower than the stream.
int64_t time_mix_width(const MatrixStateSizes& sizes, int64_t d_model) {
  return 7 * d_model + int64_t{sizes.n_heads} * (5 * sizes.d_value + 7 * sizes.d_key + 1);
}

// Floats per row that a layer's mixers take of the workspace; those in parallel may be there at once.
int64_t mixer_width(const LayerConfig& layer, int64_t d_model) {
  const AttentionConfig& attention = layer.attention;
  const int64_t heads = int64_t{attention.n_heads} * (2 * attention.d_head_k + 2 * attention.d_head_v);
  const int64_t kv_heads = int64_t{attention.n_kv_heads} * (attention.d_head_k + attention.d_head_v);
  // Of latent attention: queries and answers in the space of what is cached.
  const int64_t latent =
      int64_t{attention.n_heads + 1} * (2 * attention.d_latent + attention.d_shared_rope) + attention.d_query_latent;
  const MatrixStateSizes& state = layer.state.sizes;
  const bool is_rwkv = layer.has(MixerKind::kMatrixState) && layer.state.recurrence == Recurrence::kRwkv7;
  if (is_rwkv) return heads + kv_heads + time_mix_width(state, d_model);
  // Its inputs before and after the convolution, gate, output, rates; Mamba-1's low-rank time steps are narrower.
  const int64_t recurrence =
      4 * int64_t{state.n_heads} * (state.d_value + 2) + 6 * int64_t{state.n_groups} * state.d_key;
  // Queries, keys, values, what queries and keys are made of, the gate, rates.
  const int64_t fast = int64_t{layer.fast.n_heads} * (5 * layer.fast.d_head + 1);
  return heads + kv_heads + latent + recurrence + fast + 4 * layer.conv.n_channels;
}

int64_t feed_forward_width(const LayerConfig& layer, int64_t d_model) {
  if (layer.feed_forward == FeedForwardKind::kChannelMix) return layer.d_ffn + d_model;
  if (layer.feed_forward != FeedForwardKind::kMoe) return 2 * layer.d_ffn;
  const RouterConfig& router = layer.moe.router;
  return router.n_experts + router.n_chosen * (2 * layer.moe.d_expert + d_model + 2) + 2 * layer.moe.d_shared + d_model;
}

}  // namespace

Generator::Generator(std::shared_ptr<const Model> model, DType kv_dtype)
    : model_(std::move(model)),
      kv_dtype_(kv_dtype),
      states_(model_->states(kv_dtype)),
      cache_(states_, model_->backend()),
      workspace_(model_->backend()),
      probes_(model_->backend()),
      stack_(*model_, workspace_, probes_),
      loop_(*model_, stack_, workspace_) {
  CHECK(kv_dtype == DType::kF16 || kv_dtype == DType::kF32);
}

void Generator::reset() {
  cache_ = Cache(states_, model_->backend());
  trail_ = CacheTrail(past_bytes_);
  if (!cache_.has_constant_states()) cache_.retain(past_bytes_);
}

Result<void> Generator::restore(int64_t length, std::span<const std::byte> states,
                                std::span<const Cache::SavedKeys> keys) {
  reset();
  return cache_.restore(length, states, keys);
}

Result<Cache> Generator::past(int64_t length) const {
  CHECK(length >= 0 && length <= cache_.length());
  ORRERY_ASSIGN_OR_RETURN(Cache copy, cache_.fork());
  if (copy.truncate(length)) return copy;
  if (const Cache* kept = trail_.nearest(length)) return kept->fork();
  return Cache(states_, model_->backend());
}

Result<void> Generator::check_tokens(std::span<const int32_t> tokens) const {
  const ModelConfig& config = model_->config();
  for (const int32_t token : tokens) {
    if (token >= 0 && token < config.vocab_size) continue;
    return Error{ErrorCode::kInvalidArgument, "token ids of this model are from 0 to " +
                                                  std::to_string(config.vocab_size - 1) + ", but one is " +
                                                  std::to_string(token)};
  }
  const TensorView& learned = model_->parts().positions;
  const int64_t end = length() + static_cast<int64_t>(tokens.size());
  if (!learned.empty() && end > learned.n_rows()) {
    return Error{ErrorCode::kInvalidArgument, "the learned positions of this model are " +
                                                  std::to_string(learned.n_rows()) + ", but the text would have " +
                                                  std::to_string(end)};
  }
  return {};
}

int64_t Generator::scratch_bytes(int64_t n_rows) const {
  const ModelConfig& config = model_->config();
  int64_t widest = 0;
  for (const LayerConfig& layer : config.layers) {
    widest = std::max({widest, mixer_width(layer, config.d_model), feed_forward_width(layer, config.d_model)});
  }
  // The residual stream, its norm and a block's output, what layers leave for later ones, the widest mixer or
  // feed-forward, logits, and their norm; a cache line for each matrix.
  const int64_t per_row = 4 * config.d_model + model_->parts().carried_width + widest;
  const int64_t logit_rows = std::min(n_rows, kLogitRows);
  const int64_t n_floats = n_rows * per_row + logit_rows * config.vocab_size + loop_.scratch_floats(n_rows);
  return static_cast<int64_t>(sizeof(float)) * n_floats + 32 * 64;
}

Result<void> Generator::make_room(int64_t n_rows, const ProbePlan& plan, LogitsWanted wanted) {
  const int64_t logit_rows = wanted == LogitsWanted::kAll ? n_rows : 1;
  const auto logit_bytes = static_cast<size_t>(logit_rows * model_->config().vocab_size) * sizeof(float);
  if (logits_ == nullptr || logits_->n_bytes() < logit_bytes) {
    ORRERY_ASSIGN_OR_RETURN(logits_, model_->backend()->allocate_readback(logit_bytes));
  }
  ORRERY_RETURN_IF_ERROR(workspace_.reserve(static_cast<size_t>(scratch_bytes(n_rows))));
  if (model_->config().loop.any()) ORRERY_RETURN_IF_ERROR(loop_.reserve(n_rows));
  return cache_.reserve(n_rows, plan.keeps_history);
}

Result<Matrix<const float>> Generator::feed(std::span<const int32_t> tokens, const ProbePlan& plan,
                                            LogitsWanted wanted) {
  CHECK(!tokens.empty());
  ORRERY_RETURN_IF_ERROR(check_tokens(tokens));
  const auto n_rows = static_cast<int64_t>(tokens.size());
  ORRERY_RETURN_IF_ERROR(make_room(n_rows, plan, wanted));
  ORRERY_RETURN_IF_ERROR(probes_.prepare(plan, n_rows, length() + n_rows));

  std::vector<int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), length());
  const std::vector<int32_t> sequences(tokens.size(), 0);
  Cache* const caches[] = {&cache_};
  const Batch batch{.tokens = tokens,
                    .positions = positions,
                    .sequences = sequences,
                    .caches = caches,
                    .length = std::max(announced_length_, length() + n_rows)};

  const Workspace::Scope scope(workspace_);
  const Matrix<float> residual = workspace_.matrix(n_rows, model_->config().d_model);
  ORRERY_RETURN_IF_ERROR(run_layers(batch, residual));
  const int64_t vocab = model_->config().vocab_size;
  const int64_t n_logits = compute_output(residual, wanted);
  const bool is_looped = model_->config().loop.any();
  const Fetch brought[] = {probes_.wanted(),
                           {logits_.get(), static_cast<size_t>(n_logits * vocab) * sizeof(float)},
                           is_looped ? loop_.trace() : Fetch{}};
  ORRERY_RETURN_IF_ERROR(model_->backend()->finish(brought));
  fill_cache_probes(positions);
  if (is_looped) fill_loop_probes(n_rows);
  cache_.advance(n_rows);
  ORRERY_RETURN_IF_ERROR(trail_.note(cache_));
  if (n_logits == 0) return Matrix<const float>();
  return Matrix<const float>(reinterpret_cast<const float*>(logits_->read()), n_logits, vocab);
}

Result<void> Generator::look_at(int32_t token, const ProbePlan& plan, int32_t last_layer) {
  ORRERY_ASSIGN_OR_RETURN(Cache before, cache_.fork());
  end_layer_ = last_layer + 1;
  const auto fed = feed({&token, 1}, plan, LogitsWanted::kNone);
  end_layer_ = 0;
  cache_ = std::move(before);
  if (!fed) return fed.error();
  return {};
}

Result<void> Generator::run_layers(const Batch& batch, Matrix<float> residual) {
  const ModelConfig& config = model_->config();
  stack_.embed(batch, residual);
  const Workspace::Scope scope(workspace_);
  stack_.set_carried(workspace_.matrix(residual.n_rows, model_->parts().carried_width));
  if (!config.loop.any()) {
    stack_.visit(batch, 0, 0, end_layer_ > 0 ? end_layer_ : config.n_layers(), residual);
    return {};
  }
  stack_.visit(batch, 0, 0, config.loop.begin, residual);
  const LoopedPass::Wanted wanted{.changes = probes_.slot(Quantity::kLoopStep) || probes_.slot(Quantity::kLoopCosine),
                                  .gate = static_cast<bool>(probes_.slot(Quantity::kLoopExit))};
  return loop_.run(batch, wanted, residual);
}

int64_t Generator::compute_output(Matrix<const float> residual, LogitsWanted wanted) {
  const int64_t vocab = model_->config().vocab_size;
  const int64_t n_rows = residual.n_rows;
  auto* kept = reinterpret_cast<float*>(logits_->written());
  if (wanted == LogitsWanted::kAll) {
    const Matrix<float> logits(kept, n_rows, vocab);
    stack_.unembed(residual, model_->reads_normed(), logits);
    fill_output_stats(logits, 0);
    return n_rows;
  }
  const bool stats_wanted = probes_.slot(Quantity::kOutputTop) || probes_.slot(Quantity::kOutputEntropy) ||
                            probes_.slot(Quantity::kOutputTail);
  const int64_t n_kept = wanted == LogitsWanted::kLast ? 1 : 0;
  // The rows whose logits nobody keeps, a few at a time; the last one straight into the buffer that is returned.
  for (int64_t first = 0; stats_wanted && first < n_rows - n_kept; first += kLogitRows) {
    const Workspace::Scope scope(workspace_);
    const int64_t count = std::min(kLogitRows, n_rows - n_kept - first);
    const Matrix<float> logits = workspace_.matrix(count, vocab);
    stack_.unembed(residual.rows(first, count), model_->reads_normed(), logits);
    fill_output_stats(logits, first);
  }
  if (n_kept == 0) return 0;
  const Matrix<float> last(kept, 1, vocab);
  stack_.unembed(residual.rows(n_rows - 1, 1), model_->reads_normed(), last);
  fill_output_stats(last, n_rows - 1);
  return 1;
}

void Generator::fill_output_stats(Matrix<const float> logits, int64_t first) {
  OutputStats stats;
  stats.top = from_row(probes_.slot(Quantity::kOutputTop), first);
  stats.entropy = from_row(probes_.slot(Quantity::kOutputEntropy), first);
  stats.tail = from_row(probes_.slot(Quantity::kOutputTail), first);
  if (stats.top || stats.entropy || stats.tail) model_->backend()->output_stats(logits, stats);
}

void Generator::fill_cache_probes(std::span<const int64_t> positions) {
  for (int32_t layer = 0; layer < model_->config().n_layers(); ++layer) {
    const StatSlot bytes = probes_.host_slot(Quantity::kCacheBytes, layer);
    const StatSlot entries = probes_.host_slot(Quantity::kCacheEntries, layer);
    const StatSlot evicted = probes_.host_slot(Quantity::kCacheEvicted, layer);
    if (!bytes && !entries && !evicted) continue;
    for (size_t r = 0; r < positions.size(); ++r) {
      const LayerUsage usage = usage_after(states_, layer, positions[r]);
      const auto row = static_cast<int64_t>(r);
      const auto n_entries = static_cast<int32_t>(usage.entries);
      const auto n_evicted = static_cast<int32_t>(usage.evicted);
      if (bytes) std::memcpy(bytes.row(row), usage.bytes.data(), sizeof(usage.bytes));
      if (entries) std::memcpy(entries.row(row), &n_entries, sizeof(n_entries));
      if (evicted) std::memcpy(evicted.row(row), &n_evicted, sizeof(n_evicted));
    }
  }
}

void Generator::fill_loop_probes(int64_t n_rows) {
  const LoopConfig& loop = model_->config().loop;
  if (loop.fill != ExitFill::kComputed) {
    probes_.set_depths({loop_.depths().begin(), loop_.depths().end()});
  }
  const StatSlot depth = probes_.host_slot(Quantity::kLoopDepth), exit = probes_.host_slot(Quantity::kLoopExit);
  const StatSlot step = probes_.host_slot(Quantity::kLoopStep), cosine = probes_.host_slot(Quantity::kLoopCosine);
  for (int64_t row = 0; row < n_rows; ++row) {
    if (depth) std::memcpy(depth.row(row), &loop_.depths()[static_cast<size_t>(row)], sizeof(int32_t));
    if (exit) std::ranges::copy(loop_.exit_probabilities(row), exit.row(row));
    for (int32_t i = 0; i < loop.n_iterations; ++i) {
      if (step) step.row(row)[i] = loop_.change(row, i);
      if (cosine) cosine.row(row)[i] = loop_.cosine(row, i);
    }
  }
}

int64_t Generator::rows_within(const ProbePlan& plan, int64_t position, int64_t most, size_t max_bytes) const {
  const auto bytes_of = [&](int64_t n_rows) {
    int64_t words = 0;
    for (const ProbeField& field : plan.fields) {
      words += n_rows * field.n_layers() * field.width.words(position + n_rows);
    }
    return static_cast<size_t>(words) * sizeof(float) + static_cast<size_t>(scratch_bytes(n_rows));
  };
  int64_t least = 1;  // one row always goes
  while (least < most) {
    const int64_t middle = least + (most - least + 1) / 2;
    if (bytes_of(middle) <= max_bytes) {
      least = middle;
    } else {
      most = middle - 1;
    }
  }
  return least;
}

}  // namespace orrery
