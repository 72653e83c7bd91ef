// SVG with hostile text, JSON, and ImGui without a window.
#include <gtest/gtest.h>
#include <imgui.h>

#include <cmath>
#include <set>

#include "tests/views/fake_glyphs.h"
#include "tests/views/sample_run.h"
#include "views/imgui_renderer.h"
#include "views/json_renderer.h"
#include "views/registry.h"
#include "views/svg_renderer.h"

namespace orrery {
namespace {

const std::vector<std::string> kHostile{
    "<script>alert(1)</script>",          "]]>",  "&amp;\"'",      "\x1b[2J\x07", "\u202Egpj.exe",
    std::string("\xff\xfe") + '\0' + "x", "<!--", "</text></svg>", "\r\n"};

FrameHistory hostile_history() {
  FrameHistory history;
  history.reset(SampleRun{.n_layers = 1, .n_heads = 1}.info());
  for (size_t i = 0; i < kHostile.size(); ++i) {
    Token token;
    token.step = static_cast<int64_t>(i);
    token.id = static_cast<int32_t>(i);
    token.bytes = kHostile[i];
    history.add_token(token);
  }
  history.add_batch(SampleRun{.n_layers = 1, .n_heads = 1}.batch(2));
  return history;
}

class HostileTexts final : public TokenTexts {
 public:
  std::string bytes(int32_t id) const override { return kHostile[static_cast<size_t>(id) % kHostile.size()]; }
};

TEST(SvgRenderer, EscapesHostileTokenText) {
  const Theme& theme = theme_of(ThemeKind::kLight);
  const FixedWidthMetrics metrics(theme);
  const HostileTexts texts;
  FrameHistory history = hostile_history();
  for (size_t i = 0; i < kHostile.size(); ++i) {
    Token token;
    token.step = static_cast<int64_t>(i);
    token.bytes = kHostile[i];
    history.add_token(token);
  }
  ViewState state;
  state.follow = false;
  state.selected.step = 2;
  for (const View* view : all_views()) {
    const std::string svg = render_svg(view->scene({history, state, {1200, 900}, metrics, &texts}), theme, metrics);
    EXPECT_EQ(svg.find("<script"), std::string::npos);
    EXPECT_EQ(svg.find("<!--"), std::string::npos);
    EXPECT_EQ(svg.find("]]>"), std::string::npos);
    EXPECT_EQ(svg.find('\x1b'), std::string::npos);
    EXPECT_EQ(svg.find('\x07'), std::string::npos);
    EXPECT_EQ(svg.find('\r'), std::string::npos);
    EXPECT_EQ(svg.find('\0'), std::string::npos);
    EXPECT_EQ(svg.find("\u202E"), std::string::npos);
    EXPECT_EQ(svg.find('\xff'), std::string::npos);
    EXPECT_EQ(svg.rfind("</svg>\n"), svg.size() - 7);
    EXPECT_EQ(svg.find("</svg>"), svg.size() - 7);
  }
  const std::string svg =
      render_svg((*find_view("text"))->scene({history, state, {1200, 900}, metrics, &texts}), theme, metrics);
  EXPECT_NE(svg.find("&lt;script&gt;alert(1)&lt;/script&gt;"), std::string::npos);
  EXPECT_NE(svg.find("]]&gt;"), std::string::npos);
  EXPECT_NE(svg.find("␛[2J␇"), std::string::npos);
}

TEST(SvgRenderer, KeepsTextAsTextAndTellsProvenance) {
  const Theme& theme = theme_of(ThemeKind::kDark);
  const FixedWidthMetrics metrics(theme);
  const FrameHistory history = SampleRun{.n_layers = 2, .n_heads = 2}.history(12);
  const std::string svg =
      render_svg((*find_view("attention"))->scene({history, {}, {1000, 700}, metrics}), theme, metrics);
  EXPECT_NE(svg.find(">0 attention</text>"), std::string::npos);
  EXPECT_NE(svg.find("<image"), std::string::npos);
  EXPECT_NE(svg.find("data:image/png;base64,iVBORw0KGgo"), std::string::npos);
  EXPECT_NE(svg.find("run 1 · attention.row · steps 0–11 · layer 0 attention · head 0 · F32 · exact · live"),
            std::string::npos);
}

TEST(JsonRenderer, MissingValuesAreNull) {
  Scene scene;
  scene.add_scale({});
  scene.add(Tile{.name = "t", .rect = {0, 0, 2, 1}, .rows = 1, .cols = 2, .values = {0.5f, std::nanf("")}});
  EXPECT_EQ(render_json(scene)["tiles"][0]["cells"], (nlohmann::json{{0.5, nullptr}}));
}

TEST(TilePixels, ColoursCellsByTheTableAndLeavesMissingOnesTransparent) {
  const Theme& theme = theme_of(ThemeKind::kDark);
  const Tile tile{.name = "t", .rect = {}, .rows = 1, .cols = 3, .values = {0.0f, 1.0f, std::nanf("")}};
  const std::vector<Rgba> pixels = tile_pixels(tile, {}, theme);
  EXPECT_EQ(pixels[0], colour_table(ColourMapId::kSequential, true)[0]);
  EXPECT_EQ(pixels[1], colour_table(ColourMapId::kSequential, true)[255]);
  EXPECT_EQ(pixels[2].a, 0);
}

TEST(ImGuiRenderer, DrawsTwoThousandTokensWithABoundedNumberOfVertices) {
  const FrameHistory attention = SampleRun{.n_layers = 2, .n_heads = 3, .exact_steps = 64}.history(2000);
  const FrameHistory hybrid = HybridRun{}.history(2000);
  const FrameHistory fast = FastRun{}.history(2000);
  const Theme& theme = theme_of(ThemeKind::kDark);
  const FixedWidthMetrics metrics(theme);
  const SampleTexts texts;
  HeadlessImGui imgui({1600, 1000});
  for (const View* view : all_views()) {
    const auto has = [view](const FrameHistory& one) { return !view->unavailable(one.info()); };
    const FrameHistory& history = has(attention) ? attention : has(hybrid) ? hybrid : fast;
    const Scene scene = view->scene({history, {}, {1600, 1000}, metrics, &texts});
    const HeadlessImGui::Counts counts = imgui.frame(scene, theme, metrics);
    EXPECT_GT(counts.n_vertices, 200) << view->name();
    EXPECT_LT(counts.n_vertices, 60000) << view->name();
    int n_tiles = 0;
    const auto count = [&](const auto& self, const Scene& one) -> void {
      for (const Item& item : one.items) n_tiles += std::holds_alternative<Tile>(item) ? 1 : 0;
      for (const ScenePanel& panel : one.panels) self(self, *panel.scene);
    };
    count(count, scene);
    EXPECT_EQ(static_cast<int>(counts.tiles.size()), n_tiles) << "every tile has a name of its own in " << view->name();
  }
}

TEST(ImGuiRenderer, TheSameFramesLiveAndRecordedGiveTheSameDrawData) {
  SampleRun run{.n_layers = 2, .n_heads = 3, .exact_steps = 40};
  const Theme& theme = theme_of(ThemeKind::kLight);
  const FixedWidthMetrics metrics(theme);
  HeadlessImGui imgui({1200, 800});
  const auto vertices = [&] {
    const FrameHistory history = run.history(80);
    const Scene scene = timeline_view().scene({history, {}, {1200, 300}, metrics});
    imgui.frame(scene, theme, metrics);
    const ImDrawData* data = ImGui::GetDrawData();
    std::vector<float> values;
    for (int i = 0; i < data->CmdListsCount; ++i) {
      for (const ImDrawVert& v : data->CmdLists[i]->VtxBuffer)
        values.insert(values.end(), {v.pos.x, v.pos.y, static_cast<float>(v.col)});
    }
    return values;
  };
  const std::vector<float> live = vertices();
  run.origin = Origin::kRecorded;
  EXPECT_EQ(live, vertices());
}

}  // namespace
}  // namespace orrery
