// Output: the likeliest next tokens at the selected step, which of them the sampler could take, and which one came.
#include <algorithm>
#include <cmath>

#include "views/sampling_cells.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/token_names.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr int kMostRows = 64;

class OutputPicture {
 public:
  explicit OutputPicture(const SceneInput& input)
      : history_(input.history), b_(input, "output", "Output"), now_(b_.scene.selection), names_(input, now_.step) {}

  Scene draw() {
    if (now_.step < 0) {
      b_.message("No tokens yet.");
      return b_.finish();
    }
    const FrameRow row = row_of("output.top");
    candidates_ = output_candidates(history_, now_.step);
    read_outcome();
    subtitle();
    if (!row) {
      b_.hatch(b_.body);
      b_.note("output.top is not recorded at step " + std::to_string(now_.step) + ".");
      return b_.finish();
    }
    b_.provenance(provenance_of(history_, row));
    bars();
    return b_.finish();
  }

 private:
  FrameRow row_of(const char* name) const {
    const Probe* probe = find_probe(name);
    return probe == nullptr ? FrameRow{} : history_.row(*probe, now_.step);
  }

  // What came next, and what the sampler made of the candidates; tokens that were given were not sampled.
  void read_outcome() {
    const int64_t next = now_.step + 1;
    if (next < history_.n_steps()) next_ = &history_.tokens()[static_cast<size_t>(next)];
    const std::optional<SamplingInfo>& settings = history_.info().sampling;
    const bool is_sampled = next_ == nullptr || next_->segment == Segment::kGenerated;
    if (!settings || !is_sampled || candidates_.empty()) return;
    const auto n_before = static_cast<size_t>(std::min(next, history_.n_steps()));
    sampling_ = sampling_of(*settings, candidates_, history_.tokens().first(n_before));
  }

  // "after step 12 ␣cat: entropy 2.31 nats · outside the 64: 1.2 %"
  void subtitle() {
    std::string text = "after " + step_text(history_, now_.step);
    const auto add = [&](const char* probe, const char* name, std::string (*format)(double), const char* unit) {
      const FrameRow row = row_of(probe);
      if (!row) return;
      const auto value = static_cast<double>(row.f32()[0]);
      text += std::string(" · ") + name + " " + format(value) + unit;
      b_.scene.series.push_back({.name = name,
                                 .probe = probe,
                                 .unit = std::string(find_probe(probe)->unit),
                                 .x_name = "step",
                                 .x = {static_cast<double>(now_.step)},
                                 .y = {value}});
    };
    add("output.entropy", "entropy", format_value, " nats");
    add("output.tail", "outside the 64", format_percent, "");
    b_.subtitle(text);
  }

  // What came next, and what is known of why.
  std::string outcome() const {
    if (next_ == nullptr) return "Nothing was chosen yet.";
    const char* how = next_->segment == Segment::kGenerated ? "Sampled: "
                      : next_->segment == Segment::kForced  ? "Given: "
                                                            : "Next in the prompt: ";
    std::string text = how + token_label(next_->bytes);
    const auto found = std::ranges::find(candidates_, next_->id, &OutputCandidate::id);
    if (found == candidates_.end()) return text + ", outside the 64 likeliest";
    const auto rank = found - candidates_.begin() + 1;
    text +=
        ", " + (rank == 1 ? std::string("the likeliest") : "number " + std::to_string(rank)) + " before the samplers, ";
    text += format_percent(found->probability);
    if (!sampling_) return text;
    const auto i = static_cast<size_t>(rank - 1);
    if (sampling_->cut[i] == CutBy::kNothing) {
      return text + "; after them " + format_percent(sampling_->probabilities[i]) + ", one of " +
             std::to_string(sampling_->n_left);
    }
    return text + "; the run's settings as they are known would have cut it (" + cut_name(sampling_->cut[i]) + ")";
  }

  // "top-k 40 · top-p 0.95 · temperature 0.8 · seed 0: 12 of 64 left"
  std::string settings_line() const {
    std::string text = sampling_text(*history_.info().sampling) + ": " + std::to_string(sampling_->n_left) + " of " +
                       std::to_string(candidates_.size()) + " left; lines: probability after these";
    return sampling_->approximate.empty() ? text : text + " (approximate: " + sampling_->approximate + ")";
  }

  // The lines above the bars; returns what is left.
  Rect words(Rect area) {
    const float lh = b_.label();
    if (area.height < 4 * lh) return area;
    b_.label({area.x, area.y + lh / 2}, outcome(), area.width, Align::kLeft,
             Paint::of(next_ == nullptr ? ColourRole::kMuted : ColourRole::kForeground), TextRole::kNote);
    area = area.inset(0, lh + 6, 0, 0);
    if (!sampling_ || area.height < 6 * lh) return area;
    b_.label({area.x, area.y + lh / 2 - 2}, settings_line(), area.width, Align::kLeft, Paint::of(ColourRole::kMuted),
             TextRole::kNote);
    return area.inset(0, lh + 4, 0, 0);
  }

  void bars() {
    const float lh = b_.label();
    const Rect area = words(b_.body);
    const float text_line = b_.line(TextSize::kText);
    const float pitch = area.height >= 12 * text_line ? text_line * 1.15f : lh * 1.1f;
    const float foot = lh + 4;
    const int n =
        std::min({static_cast<int>((area.height - foot) / pitch), static_cast<int>(candidates_.size()), kMostRows});
    if (n <= 0) return;
    const TextSize size = pitch >= text_line ? TextSize::kText : TextSize::kLabel;
    float gutter = 0;
    for (int i = 0; i < n; ++i) {
      gutter = std::max(gutter, b_.width(names_(candidates_[static_cast<size_t>(i)].id), size));
    }
    gutter = std::min(gutter, area.width * 0.4f) + 8;
    const bool has_room = area.width >= 360;  // for what became of a candidate
    const float value_width = b_.width(sampling_ && has_room ? "100.0 % → 100.0 %" : "100.0 %", TextSize::kLabel) + 8;
    const Rect plot{area.x + gutter, area.y, std::max(area.width - gutter - value_width, 0.0f),
                    pitch * static_cast<float>(n)};
    if (plot.width < 20) return;
    double high = std::max(candidates_.front().probability, 1e-9);
    if (sampling_) high = std::max(high, sampling_->probabilities.front());
    SceneAxis axis{.name = "probability", .unit = ""};
    axis.ticks = b_.axis({.plot = plot,
                          .high = high,
                          .ticks = round_ticks(0, high, std::max(1, static_cast<int>(plot.width / 80)), false),
                          .format = format_percent});
    b_.scene.add_axis(std::move(axis));
    for (int i = 0; i < n; ++i) {
      candidate(static_cast<size_t>(i), {area.x, plot.y + static_cast<float>(i) * pitch, area.width, pitch}, plot, high,
                size, value_width, has_room);
    }
    record(static_cast<size_t>(n));
    if (n < static_cast<int>(candidates_.size())) {
      b_.note("Shows " + std::to_string(n) + " of " + std::to_string(candidates_.size()) + " recorded candidates.");
    }
    if (sampling_) b_.note("Bars: before the samplers; lines: probability of being taken; pale: cut by them.");
  }

  // "25.0 % → 37.1 %", "0.3 %, top-p"
  std::string value_text(size_t i, bool has_room) const {
    std::string text = format_percent(candidates_[i].probability);
    if (!sampling_ || !has_room) return text;
    if (sampling_->cut[i] == CutBy::kNothing) return text + " → " + format_percent(sampling_->probabilities[i]);
    return text + ", " + cut_name(sampling_->cut[i]);
  }

  // A row: its name, its bar, what the sampler makes of it.
  void candidate(size_t i, const Rect& row, const Rect& plot, double high, TextSize size, float value_width,
                 bool has_room) {
    const OutputCandidate& one = candidates_[i];
    const std::string& name = names_(one.id);
    const bool came = next_ != nullptr && one.id == next_->id;
    const bool is_cut = sampling_ && sampling_->cut[i] != CutBy::kNothing;
    const float middle = row.centre().y;
    b_.text({{plot.x - 8, middle},
             b_.fit(name, size, plot.x - row.x - 8),
             size,
             Align::kRight,
             Paint::of(came     ? ColourRole::kAccent
                       : is_cut ? ColourRole::kMuted
                                : ColourRole::kForeground),
             TextRole::kToken});
    const auto width_of = [&](double p) { return static_cast<float>(p / high) * plot.width; };
    const float w = width_of(one.probability);
    b_.box({plot.x, row.y + row.height * 0.15f, std::max(w, 0.5f), row.height * 0.7f},
           Paint::of(came ? ColourRole::kAccent : ColourRole::kSeries1, is_cut ? 0.3f
                                                                        : came ? 1.0f
                                                                               : 0.85f));
    float taken = 0;
    if (sampling_ && !is_cut) {
      taken = width_of(sampling_->probabilities[i]);
      b_.box({plot.x, row.y + row.height * 0.85f - 1, std::max(taken, 0.5f), 2}, Paint::of(ColourRole::kForeground));
    }
    const float after = std::max(w, taken);
    b_.label({plot.x + after + 6, middle}, value_text(i, has_room), value_width + plot.width - after, Align::kLeft,
             Paint::of(ColourRole::kMuted), TextRole::kValue);
    if (one.id == now_.token) b_.box(row.inset(0, 1, 0, 1), Paint::none(), Paint::of(ColourRole::kAccent));
    b_.scene.regions.push_back({.rect = row,
                                .click = Select{.token = one.id},
                                .tooltip = name + " · id " + std::to_string(one.id) + " · " + value_text(i, true) +
                                           "\nA click follows it in the lens."});
  }

  void record(size_t n) {
    Series series{.name = "candidates", .probe = "output.top", .unit = "probability", .x_name = "token id"};
    Series taken{.name = "probability after the samplers", .probe = "output.top", .unit = "", .x_name = "token id"};
    for (size_t i = 0; i < n; ++i) {
      series.x.push_back(candidates_[i].id);
      series.y.push_back(candidates_[i].probability);
      series.labels.push_back(names_(candidates_[i].id));
      taken.x.push_back(candidates_[i].id);
      taken.y.push_back(sampling_ ? sampling_->probabilities[i] : std::nan(""));
    }
    b_.scene.series.push_back(std::move(series));
    if (sampling_) b_.scene.series.push_back(std::move(taken));
  }

  const FrameHistory& history_;
  SceneBuilder b_;
  const Selection now_;
  TokenNames names_;
  const Token* next_ = nullptr;
  std::vector<OutputCandidate> candidates_;
  std::optional<Sampling> sampling_;  // nothing where the next token was given
};

class OutputView final : public View {
 public:
  std::string_view name() const override { return "output"; }
  std::string_view title() const override { return "Output"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    return {{find_probe("output.top"), step, step + 1},
            {find_probe("output.entropy"), step, step + 1},
            {find_probe("output.tail"), step, step + 1}};
  }
  Scene scene(const SceneInput& input) const override { return OutputPicture(input).draw(); }
};

}  // namespace

const View& output_view() {
  static const OutputView kView;
  return kView;
}

}  // namespace orrery
