// Output: the likeliest next tokens at the selected step, and which one came.
#include <algorithm>
#include <cmath>

#include "views/scene_builder.h"
#include "views/token_text.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr int kMostRows = 64;

struct Candidate {
  int32_t id = -1;
  double probability = 0;
  std::string text;
};

class OutputPicture {
 public:
  explicit OutputPicture(const SceneInput& input)
      : input_(input), history_(input.history), b_(input, "output", "Output"), now_(b_.scene.selection) {}

  Scene draw() {
    if (now_.step < 0) {
      b_.message("No tokens yet.");
      return b_.finish();
    }
    const FrameRow row = row_of("output.top");
    read_candidates(row);
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

  std::string text_of(int32_t id) const {
    std::string bytes = input_.texts == nullptr ? "" : input_.texts->bytes(id);
    if (bytes.empty() && next_ != nullptr && next_->id == id) bytes = next_->bytes;
    return bytes.empty() ? "id " + std::to_string(id) : token_label(bytes);
  }

  void read_candidates(const FrameRow& row) {
    const int64_t next = now_.step + 1;
    if (next < history_.n_steps()) next_ = &history_.tokens()[static_cast<size_t>(next)];
    if (!row) return;
    const std::span<const float> top = row.f32();
    for (size_t i = 0; i + 1 < top.size(); i += 2) {
      if (!(top[i] >= 0)) continue;
      const auto id = static_cast<int32_t>(top[i]);
      candidates_.push_back({id, std::exp(static_cast<double>(top[i + 1])), text_of(id)});
    }
  }

  // "after step 12 ␣cat: entropy 2.31 nats · outside the 64: 1.2 %"
  void subtitle() {
    std::string text = "after step " + std::to_string(now_.step);
    if (now_.step < history_.n_steps()) {
      text += " " + token_label(history_.tokens()[static_cast<size_t>(now_.step)].bytes);
    }
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
    const char* how = next_->segment == Segment::kGenerated ? "Sampled: " : "Next in the prompt: ";
    std::string text = how + token_label(next_->bytes);
    const auto found =
        std::find_if(candidates_.begin(), candidates_.end(), [&](const Candidate& c) { return c.id == next_->id; });
    if (found == candidates_.end()) return text + ", outside the 64 likeliest";
    const auto rank = found - candidates_.begin() + 1;
    text +=
        ", " + (rank == 1 ? std::string("the likeliest") : "number " + std::to_string(rank)) + " before the samplers, ";
    return text + format_percent(found->probability);
  }

  void bars() {
    const float lh = b_.label();
    Rect area = b_.body;
    if (area.height >= 4 * lh) {
      b_.label({area.x, area.y + lh / 2}, outcome(), area.width, Align::kLeft,
               Paint::of(next_ == nullptr ? ColourRole::kMuted : ColourRole::kForeground), TextRole::kNote);
      area = area.inset(0, lh + 6, 0, 0);
    }
    const float text_line = b_.line(TextSize::kText);
    const float pitch = area.height >= 12 * text_line ? text_line * 1.15f : lh * 1.1f;
    const float foot = lh + 4;
    const int n =
        std::min({static_cast<int>((area.height - foot) / pitch), static_cast<int>(candidates_.size()), kMostRows});
    if (n <= 0) return;
    const TextSize size = pitch >= text_line ? TextSize::kText : TextSize::kLabel;
    float gutter = 0;
    for (int i = 0; i < n; ++i) gutter = std::max(gutter, b_.width(candidates_[static_cast<size_t>(i)].text, size));
    gutter = std::min(gutter, area.width * 0.4f) + 8;
    const float value_width = b_.width("100.0 %", TextSize::kLabel) + 8;
    const Rect plot{area.x + gutter, area.y, std::max(area.width - gutter - value_width, 0.0f),
                    pitch * static_cast<float>(n)};
    if (plot.width < 20) return;
    const double high = std::max(candidates_.front().probability, 1e-9);
    SceneAxis axis{.name = "probability", .unit = ""};
    axis.ticks = b_.axis({.plot = plot,
                          .high = high,
                          .ticks = round_ticks(0, high, std::max(1, static_cast<int>(plot.width / 80)), false),
                          .format = format_percent});
    b_.scene.add_axis(std::move(axis));
    Series series{.name = "candidates", .probe = "output.top", .unit = "probability", .x_name = "token id"};
    for (int i = 0; i < n; ++i) {
      const Candidate& one = candidates_[static_cast<size_t>(i)];
      const float top = plot.y + static_cast<float>(i) * pitch;
      const bool came = next_ != nullptr && one.id == next_->id;
      b_.text({{plot.x - 8, top + pitch / 2},
               b_.fit(one.text, size, gutter - 8),
               size,
               Align::kRight,
               Paint::of(came ? ColourRole::kAccent : ColourRole::kForeground),
               TextRole::kToken});
      const auto w = static_cast<float>(one.probability / high) * plot.width;
      b_.box({plot.x, top + pitch * 0.15f, std::max(w, 0.5f), pitch * 0.7f},
             Paint::of(came ? ColourRole::kAccent : ColourRole::kSeries1, came ? 1.0f : 0.85f));
      b_.label({plot.x + w + 6, top + pitch / 2}, format_percent(one.probability), value_width + plot.width - w,
               Align::kLeft, Paint::of(ColourRole::kMuted), TextRole::kValue);
      b_.scene.regions.push_back(
          {.rect = {area.x, top, area.width, pitch},
           .tooltip = one.text + " · id " + std::to_string(one.id) + " · " + format_percent(one.probability)});
      series.x.push_back(one.id);
      series.y.push_back(one.probability);
      series.labels.push_back(one.text);
    }
    b_.scene.series.push_back(std::move(series));
    if (n < static_cast<int>(candidates_.size())) {
      b_.note("Shows " + std::to_string(n) + " of " + std::to_string(candidates_.size()) + " recorded candidates.");
    }
  }

  const SceneInput& input_;
  const FrameHistory& history_;
  SceneBuilder b_;
  const Selection now_;
  const Token* next_ = nullptr;
  std::vector<Candidate> candidates_;
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
