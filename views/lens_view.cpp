// Lens: what would be said next if the model stopped after each layer (in a loop, after each visit of one); layers x
// tokens, and one token's rank and probability through the layers at the selected step.
#include <algorithm>
#include <array>
#include <cmath>

#include "probes/model_axes.h"
#include "views/lens_cells.h"
#include "views/lens_follow.h"
#include "views/scene_builder.h"
#include "views/step_names.h"
#include "views/token_names.h"
#include "views/views.h"

namespace orrery {
namespace {

constexpr int64_t kMostSteps = 64;          // that are drawn where the user has not zoomed
constexpr float kLeastBeside = 620;         // of the body, for the followed token to stand beside the map
constexpr float kLeastStacked = 440;        // of the body, for it to stand below
constexpr float kLeastForCandidates = 260;  // of the body, for the 8 of one layer to stand at its end
constexpr float kTextCell = 54;             // width of a cell that is meant to hold a token
constexpr float kLeastTextCell = 30;        // narrower cells are colour alone
constexpr float kLeastCell = 1.5f;
constexpr float kMostPitch = 56;  // of a layer's row
constexpr float kGap = 18;

// The layer that is drawn: the selected one, else the last, which says what the model says.
Selection selection_of(const FrameHistory& history, const ViewState& state) {
  Selection now = resolve(history, state);
  if (state.selected.layer < 0) now.layer = history.info().config.n_layers() - 1;
  return now;
}

class LensPicture {
 public:
  explicit LensPicture(const SceneInput& input)
      : history_(input.history),
        state_(input.state),
        b_(input, "lens", "Lens"),
        now_(selection_of(input.history, input.state)),
        followed_(followed_token(input.history, now_)),
        names_(input, now_.step),
        follow_(b_, history_, names_, now_, followed_, trace_),
        n_(history_.n_processed()) {
    b_.scene.selection = now_;
    b_.scene.selection.token = followed_.id;
  }

  Scene draw() {
    if (b_.says_why_empty(lens_view(), history_)) return b_.finish();
    subtitle();
    trace_ = lens_trace(history_, followed_.id, now_.step);
    Rect area = b_.body;
    const bool has_candidates = area.height >= kLeastForCandidates;
    const float strip = has_candidates ? candidates_height() : 0;
    Rect upper = area.inset(0, 0, 0, has_candidates ? strip + 8 : 0);
    if (!lens_is_held()) {
      tell_how_to_get_it();
      return b_.finish();
    }
    scale_ = b_.scene.add_scale({.low = 0, .high = 1});
    if (area.width >= kLeastBeside) {
      const float panel = std::clamp(area.width * 0.34f, 240.0f, 480.0f);
      map({upper.x, upper.y, upper.width - panel - kGap, upper.height});
      if (!rows_.empty()) follow_.draw({upper.right() - panel, upper.y, panel, upper.height}, rows_, 0);
    } else if (area.height >= kLeastStacked) {
      const float height = upper.height * 0.45f;
      map(upper.inset(0, 0, 0, height + 8));
      follow_below({upper.x, upper.bottom() - height, upper.width, height});
    } else {
      map(upper);
    }
    // Below the rows, where these do not need all of the height.
    const float used = rows_.empty() || area.width < kLeastBeside ? upper.bottom() : rows_.bottom() + foot(true);
    if (has_candidates) candidates({area.x, std::min(used, upper.bottom()) + 8, area.width, strip});
    record();
    return b_.finish();
  }

 private:
  std::string why_followed() const {
    switch (followed_.why) {
      case FollowedToken::Why::kPinned:
        return "pinned";
      case FollowedToken::Why::kCameNext:
        return "came next";
      case FollowedToken::Why::kLikeliest:
        return "the likeliest at the end";
      case FollowedToken::Why::kNone:
        break;
    }
    return "";
  }

  void subtitle() {
    std::string text = "after " + step_text(history_, now_.step);
    if (followed_.id >= 0) text += " · follows " + names_(followed_.id) + ", " + why_followed();
    b_.subtitle(text);
  }

  // --- where it was not recorded ---
  bool lens_is_held() const {
    if (trace_.row) return true;
    const StepRange steps = lens_steps(history_, state_, kMostSteps);
    const auto missing = history_.missing(*find_probe("lens.top"), steps.begin, steps.end);
    return missing.size() != 1 || missing[0] != std::pair{steps.begin, steps.end};
  }

  void tell_how_to_get_it() {
    static constexpr std::array<const char*, 3> kSentences{
        "The lens is not recorded here: what each layer would say is kept at level full only.",
        "Record with run --level full, or --span A:B=full for some steps.",
        "From a recording, shot --model and export --recompute compute it."};
    b_.hatch(b_.body);
    const float line = b_.label() * 1.4f;
    const auto fits = [&](const char* text) { return b_.width(text, TextSize::kLabel) + 16 <= b_.body.width; };
    const bool has_room = b_.body.height >= 3 * line + 12 && std::ranges::all_of(kSentences, fits);
    if (has_room) {
      const Point centre = b_.body.centre();
      float widest = 0;
      for (const char* text : kSentences) widest = std::max(widest, b_.width(text, TextSize::kLabel));
      b_.box({centre.x - widest / 2 - 8, centre.y - 1.5f * line - 4, widest + 16, 3 * line + 8},
             Paint::of(ColourRole::kPanel));
      for (size_t i = 0; i < kSentences.size(); ++i) {
        b_.label({centre.x, centre.y + (static_cast<float>(i) - 1) * line}, kSentences[i], b_.body.width,
                 Align::kCentre, Paint::of(i == 0 ? ColourRole::kForeground : ColourRole::kMuted), TextRole::kNote);
      }
    } else if (b_.body.height >= b_.label()) {
      const std::string shown = b_.fit("Not recorded: kept at level full", TextSize::kLabel, b_.body.width - 8);
      const float w = b_.width(shown, TextSize::kLabel) + 8;
      b_.box({b_.body.centre().x - w / 2, b_.body.centre().y - b_.label() / 2, w, b_.label()},
             Paint::of(ColourRole::kPanel));
      b_.label(b_.body.centre(), shown, b_.body.width, Align::kCentre);
    }
    for (const char* text : kSentences) b_.note(text);
  }

  // --- layers x tokens ---
  float foot(bool has_bar) const { return b_.label() + 4 + (has_bar ? b_.scale_bar_height() + 4 : 0); }

  float gutter_width(float width) const {
    return std::min(b_.names_width(history_.info(), trace_.layers), width * 0.35f) + 8;
  }

  bool rows_hold_text(float height) const {
    return (height - b_.label() - 2) / static_cast<float>(trace_.layers.size()) >= b_.label();
  }

  // What is drawn in a plot of that size: as many steps as their tokens fit.
  StepRange steps_in(const Rect& plot) const {
    const auto fit = static_cast<int64_t>(plot.width / kTextCell);
    return lens_steps(history_, state_,
                      rows_hold_text(plot.height) ? std::clamp<int64_t>(fit, 8, kMostSteps) : kMostSteps);
  }

  void map(const Rect& area) {
    const bool has_bar = area.height >= 150;
    const float gutter = gutter_width(area.width);
    Rect plot = area.inset(gutter, b_.heading_height(), 2, foot(has_bar));
    if (plot.width < 20 || plot.height < 10) return;
    const auto n_rows = static_cast<float>(trace_.layers.size());
    const StepRange steps = steps_in(plot);
    const LensMap map = lens_map(history_, steps, static_cast<int>(plot.width / kLeastCell));
    const float cell_width = plot.width / static_cast<float>(std::max(map.cols, 1));
    const bool has_text =
        map.steps_per_col == 1 && cell_width >= kLeastTextCell && rows_hold_text(plot.height) && map.cols > 0;
    if (has_text) plot = plot.inset(0, b_.label() + 2, 0, 0);  // for the tokens of the columns
    plot.height = std::min(plot.height, kMostPitch * n_rows);
    rows_ = plot;
    b_.label({area.x, area.y + b_.label() / 2},
             std::string("layers × tokens: ") + (has_text ? "likeliest next token, coloured by" : "") +
                 (has_text ? " its probability" : "probability of the likeliest next token"),
             area.width);
    b_.box(plot, Paint::of(ColourRole::kGrid, 0.35f), Paint::of(ColourRole::kGrid));
    const int64_t end = steps.begin + static_cast<int64_t>(map.cols) * map.steps_per_col;
    for (const StepRange& missing : map.missing) b_.hatch(steps_rect(plot, steps.begin, end, missing));
    if (map.cols > 0) tile(map, plot, gutter, end);
    if (has_text) cell_texts(map, plot);
    visits(plot);
    marks(map, plot, end);
    hovered_cell(map, plot, end);
    if (has_bar) {
      b_.scale_bar({plot.x, plot.bottom() + b_.label() + 7, plot.width, 0}, scale_, "probability of the likeliest",
                   format_percent);
    }
    notes(map);
  }

  static Rect steps_rect(const Rect& plot, int64_t begin, int64_t end, const StepRange& steps) {
    const float per_step = plot.width / static_cast<float>(std::max<int64_t>(end - begin, 1));
    return {plot.x + static_cast<float>(steps.begin - begin) * per_step, plot.y,
            static_cast<float>(std::min(steps.end, end) - steps.begin) * per_step, plot.height};
  }

  void tile(const LensMap& map, const Rect& plot, float gutter, int64_t end) {
    SceneAxis rows = layer_axis(plot, gutter);
    SceneAxis cols = b_.step_axis(plot, map.steps, map.steps_per_col, end);
    const int row_axis = b_.scene.add_axis(std::move(rows));
    const int col_axis = b_.scene.add_axis(std::move(cols));
    const auto n_rows = static_cast<int>(map.layers.size());
    const int item = b_.scene.add(Tile{.name = "probability of the likeliest",
                                       .rect = plot,
                                       .rows = n_rows,
                                       .cols = map.cols,
                                       .values = map.probabilities,
                                       .scale = scale_,
                                       .row_axis = row_axis,
                                       .col_axis = col_axis,
                                       .probe = "lens.top"});
    b_.scene.regions.push_back({.rect = plot,
                                .rows = n_rows,
                                .cols = map.cols,
                                .row_axis = row_axis,
                                .col_axis = col_axis,
                                .tile_item = item,
                                .tokens = map.ids,
                                .wheel_zooms_steps = true});
  }

  SceneAxis layer_axis(const Rect& plot, float gutter) {
    SceneAxis rows = layer_rows(history_.info(), trace_.layers);
    b_.row_names(rows, plot, gutter - 6, now_.layer);
    return rows;
  }

  void cell_texts(const LensMap& map, const Rect& plot) {
    const float w = plot.width / static_cast<float>(map.cols);
    const float h = plot.height / static_cast<float>(map.layers.size());
    for (size_t i = 0; i < map.ids.size(); ++i) {
      const int32_t id = map.ids[i];
      if (id < 0) continue;
      const auto row = static_cast<float>(i / static_cast<size_t>(map.cols));
      const auto col = static_cast<float>(i % static_cast<size_t>(map.cols));
      b_.label({plot.x + (col + 0.5f) * w, plot.y + (row + 0.5f) * h}, names_(id), w - 6, Align::kCentre,
               Paint::contrast(scale_, map.probabilities[i]), TextRole::kToken);
      if (id == followed_.id) {
        b_.box({plot.x + col * w + 2, plot.y + (row + 1) * h - 2.5f, w - 4, 2}, Paint::of(ColourRole::kAccent));
      }
    }
    for (int col = 0; col < map.cols; ++col) {
      const int64_t step = map.steps.begin + col;
      b_.label({plot.x + (static_cast<float>(col) + 0.5f) * w, plot.y - 2 - b_.label() / 2}, token_at(history_, step),
               w - 4, Align::kCentre, Paint::of(step == now_.step ? ColourRole::kAccent : ColourRole::kForeground),
               TextRole::kToken);
    }
  }

  // A line where an iteration of a loop ends.
  void visits(const Rect& plot) {
    const std::vector<LayerConfig>& layers = history_.info().config.layers;
    const float pitch = plot.height / static_cast<float>(trace_.layers.size());
    for (size_t i = 1; i < trace_.layers.size(); ++i) {
      const LayerConfig& before = layers[static_cast<size_t>(trace_.layers[i - 1])];
      if (before.iteration == layers[static_cast<size_t>(trace_.layers[i])].iteration) continue;
      const float y = plot.y + static_cast<float>(i) * pitch;
      b_.rule({plot.x, y}, {plot.right(), y}, Paint::of(ColourRole::kMuted));
    }
  }

  // --- the selected cell, and the one under the pointer ---
  Rect cell_rect(const LensMap& map, const Rect& plot, int64_t end, int64_t step, int32_t layer) const {
    const auto found = std::ranges::find(map.layers, layer);
    if (found == map.layers.end() || step < map.steps.begin || step >= map.steps.end) return {};
    const int64_t first = map.steps.begin + (step - map.steps.begin) / map.steps_per_col * map.steps_per_col;
    Rect rect = steps_rect(plot, map.steps.begin, end, {first, first + map.steps_per_col});
    const float pitch = plot.height / static_cast<float>(map.layers.size());
    rect.y = plot.y + static_cast<float>(found - map.layers.begin()) * pitch;
    rect.height = pitch;
    return rect;
  }

  void marks(const LensMap& map, const Rect& plot, int64_t end) {
    const auto column = [&](int64_t step, Paint paint) {
      if (step < map.steps.begin || step >= map.steps.end) return;
      const Rect at = steps_rect(plot, map.steps.begin, end, {step, step + 1});
      if (at.width >= 6) return b_.box(at, Paint::none(), paint);
      b_.rule({at.centre().x, plot.y}, {at.centre().x, plot.bottom()}, paint);
    };
    column(state_.hovered.step, Paint::of(ColourRole::kHover, 0.7f));
    column(now_.step, Paint::of(ColourRole::kAccent));
    b_.box(cell_rect(map, plot, end, now_.step, now_.layer), Paint::none(), Paint::of(ColourRole::kAccent), 2);
  }

  // The 8 of the cell under the pointer, as its tooltip: of all cells that would be thousands of texts a frame.
  void hovered_cell(const LensMap& map, const Rect& plot, int64_t end) {
    const Selection& at = state_.hovered;
    const Rect rect = cell_rect(map, plot, end, at.step, at.layer);
    if (rect.empty()) return;
    const std::vector<LensCandidate> eight = lens_candidates(history_, at.layer, at.step);
    if (eight.empty()) return;
    std::string text = layer_name(history_.info(), at.layer) + ", " + step_text(history_, at.step);
    for (size_t i = 0; i < eight.size(); ++i) {
      text += "\n" + std::to_string(i + 1) + ". " + names_(eight[i].id) + "  " +
              format_percent(static_cast<double>(eight[i].probability));
    }
    b_.box(rect, Paint::none(), Paint::of(ColourRole::kHover), 2);
    Selection target;
    target.step = at.step;
    target.layer = at.layer;
    b_.scene.regions.push_back({.rect = rect,
                                .click = Select{.step = at.step, .layer = at.layer, .token = eight.front().id},
                                .hover = Hover{target},
                                .tooltip = std::move(text)});
  }

  // --- one token through the layers ---
  void follow_below(const Rect& area) {
    const float gutter = gutter_width(area.width);
    Rect plot = area.inset(gutter, b_.heading_height(), 2, b_.label() + 4);
    if (plot.height < 10 || plot.width < 60) return;
    plot.height = std::min(plot.height, kMostPitch * static_cast<float>(trace_.layers.size()));
    layer_axis(plot, gutter);
    follow_.draw({plot.x, area.y, plot.width, area.height}, plot, gutter);
  }

  // --- the 8 of one layer ---
  float candidates_height() const { return b_.heading_height() + 2.4f * b_.label(); }

  void candidates(const Rect& area) {
    const float lh = b_.label();
    const std::vector<LensCandidate> eight = lens_candidates(history_, now_.layer, now_.step);
    const bool is_left = eight.empty() && trace_.row && history_.info().config.loop.any();
    b_.label({area.x, area.y + lh / 2},
             "the 8 likeliest after " + layer_name(history_.info(), now_.layer) + " at step " +
                 std::to_string(now_.step) +
                 (is_left         ? ": the token was not in that iteration"
                  : eight.empty() ? ": not recorded"
                                  : "; a click follows one"),
             area.width);
    const Rect boxes{area.x, area.y + b_.heading_height(), area.width, area.height - b_.heading_height()};
    if (eight.empty()) return is_left ? b_.box(boxes, SceneBuilder::blank()) : b_.hatch(boxes);
    const float pitch = boxes.width / static_cast<float>(eight.size());
    for (size_t i = 0; i < eight.size(); ++i) {
      const Rect rect{boxes.x + static_cast<float>(i) * pitch, boxes.y, pitch - 3, boxes.height};
      const float p = eight[i].probability;
      const bool follows = eight[i].id == followed_.id;
      b_.box(rect, Paint::mapped(scale_, p), Paint::of(follows ? ColourRole::kAccent : ColourRole::kGrid),
             follows ? 2.0f : 1.0f);
      b_.label({rect.centre().x, rect.y + rect.height * 0.28f}, names_(eight[i].id), rect.width - 6, Align::kCentre,
               Paint::contrast(scale_, p), TextRole::kToken);
      b_.label({rect.centre().x, rect.y + rect.height * 0.72f}, format_percent(static_cast<double>(p)), rect.width - 6,
               Align::kCentre, Paint::contrast(scale_, p), TextRole::kValue);
      b_.scene.regions.push_back({.rect = rect,
                                  .click = Select{.token = eight[i].id},
                                  .tooltip = std::to_string(i + 1) + ". " + names_(eight[i].id) + "  id " +
                                             std::to_string(eight[i].id) +
                                             "\nlens.top: " + format_percent(static_cast<double>(p))});
    }
    Series series{.name = "candidates of the layer", .probe = "lens.top", .unit = "probability", .x_name = "token id"};
    for (const LensCandidate& one : eight) {
      series.x.push_back(one.id);
      series.y.push_back(static_cast<double>(one.probability));
      series.labels.push_back(names_(one.id));
    }
    b_.scene.series.push_back(std::move(series));
  }

  // --- what the picture says in numbers and words ---
  void record() {
    if (!trace_.row) return;
    Series ids{.name = "likeliest by layer", .probe = "lens.top", .unit = "token id", .x_name = "layer"};
    Series ranks{.name = "rank of the followed token", .probe = "lens.top", .unit = "", .x_name = "layer"};
    Series probabilities{
        .name = "probability of the followed token", .probe = "lens.top", .unit = "", .x_name = "layer"};
    for (size_t i = 0; i < trace_.layers.size(); ++i) {
      const auto layer = static_cast<double>(trace_.layers[i]);
      const std::vector<LensCandidate> eight = lens_candidates(history_, trace_.layers[i], now_.step);
      ids.x.push_back(layer);
      ids.y.push_back(eight.empty() ? std::nan("") : eight.front().id);
      ids.labels.push_back(eight.empty() ? "" : names_(eight.front().id));
      ranks.x.push_back(layer);
      ranks.y.push_back(trace_.ranks[i] > 0 ? trace_.ranks[i] : std::nan(""));
      probabilities.x.push_back(layer);
      probabilities.y.push_back(static_cast<double>(trace_.probabilities[i]));
    }
    for (Series* series : {&ids, &ranks, &probabilities}) b_.scene.series.push_back(std::move(*series));
    b_.provenance(provenance_of(history_, trace_.row));
  }

  void notes(const LensMap& map) {
    if (map.steps.size() < n_) {
      b_.note("Shows steps " + std::to_string(map.steps.begin) + "–" + std::to_string(map.steps.end - 1) + " of " +
              std::to_string(n_) + "; the wheel zooms.");
    }
    if (map.steps_per_col > 1) {
      b_.note("Each column shows the last of its " + std::to_string(map.steps_per_col) + " steps.");
    }
    if (!map.missing.empty()) b_.note("Hatched columns: not recorded, or not held.");
    if (!map.row) return;
    Provenance p = provenance_of(history_, map.row);
    p.step_begin = map.steps.begin;
    p.step_end = map.steps.end;
    b_.provenance(std::move(p));
  }

  const FrameHistory& history_;
  const ViewState& state_;
  SceneBuilder b_;
  const Selection now_;
  const FollowedToken followed_;
  TokenNames names_;
  LensTrace trace_;
  LensFollow follow_;
  const int64_t n_;
  Rect rows_;      // of the map: its rows are the layers
  int scale_ = 0;  // of probabilities
};

class LensView final : public View {
 public:
  std::string_view name() const override { return "lens"; }
  std::string_view title() const override { return "Lens"; }
  std::optional<std::string> unavailable(const RunInfo&) const override { return std::nullopt; }
  std::vector<Wanted> wanted(const FrameHistory& history, const ViewState& state) const override {
    const Probe* probe = find_probe("lens.top");
    const int64_t step = std::max<int64_t>(resolve(history, state).step, 0);
    if (!state.steps.all()) {
      const StepRange steps = visible_range(state.steps, history.n_steps());
      return {{probe, step, step + 1}, {probe, steps.begin, steps.end}};
    }
    // What any width of the picture may show around the step.
    const int64_t end = std::max(std::min(step + kMostSteps, history.n_steps()), step + 1);
    return {{probe, std::max<int64_t>(std::min(step, history.n_steps()) - kMostSteps, 0), end}};
  }
  Scene scene(const SceneInput& input) const override { return LensPicture(input).draw(); }
};

}  // namespace

const View& lens_view() {
  static const LensView kView;
  return kView;
}

}  // namespace orrery
