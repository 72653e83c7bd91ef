// ImGui without a window, a device or fonts: one quad a character, tiles counted by name.
#pragma once

#include <imgui.h>

#include <set>
#include <string>
#include <vector>

#include "views/imgui_renderer.h"
#include "views/utf8.h"

namespace orrery {

class FakeGlyphs final : public GlyphSource {
 public:
  explicit FakeGlyphs(const TextMetrics& metrics) : metrics_(metrics) {}
  Size line_size(std::string_view utf8, TextSize size) override {
    return {metrics_.width(utf8, size), metrics_.line_height(size)};
  }
  std::span<const Quad> quads(std::string_view utf8, TextSize size) override {
    quads_.clear();
    float x = 0;
    while (!utf8.empty()) {
      const auto n = static_cast<size_t>(next_utf8(utf8).n_bytes);
      const float w = metrics_.width(utf8.substr(0, n), size);
      if (utf8[0] != ' ') {
        quads_.push_back({ImGui::GetIO().Fonts->TexID, {x, 0, w, metrics_.line_height(size)}, {0, 0}, {1, 1}, false});
      }
      x += w;
      utf8.remove_prefix(n);
    }
    return quads_;
  }

 private:
  const TextMetrics& metrics_;
  std::vector<Quad> quads_;
};

class CountingTiles final : public TilePainter {
 public:
  void add_tile(ImDrawList& list, std::string_view key, const Tile&, const ColourScale&, bool, ImVec2 min,
                ImVec2 max) override {
    names.emplace(key);
    list.AddImage(reinterpret_cast<ImTextureID>(intptr_t{2}), min, max);
  }
  std::set<std::string> names;
};

class HeadlessImGui {
 public:
  struct Counts {
    int n_vertices = 0;
    std::set<std::string> tiles;
  };

  explicit HeadlessImGui(Size size) : context_(ImGui::CreateContext()) {
    ImGui::SetCurrentContext(context_);
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = {size.width, size.height};
    io.DeltaTime = 1.0f / 60;
    io.IniFilename = nullptr;
    unsigned char* pixels = nullptr;
    int width = 0;
    int height = 0;
    io.Fonts->GetTexDataAsRGBA32(&pixels, &width, &height);
    io.Fonts->SetTexID(reinterpret_cast<ImTextureID>(intptr_t{1}));
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
  }
  ~HeadlessImGui() { ImGui::DestroyContext(context_); }
  HeadlessImGui(const HeadlessImGui&) = delete;
  HeadlessImGui& operator=(const HeadlessImGui&) = delete;

  Counts frame(const Scene& scene, const Theme& theme, const TextMetrics& metrics) {
    FakeGlyphs glyphs(metrics);
    CountingTiles tiles;
    ImGui::NewFrame();
    draw(scene, {*ImGui::GetBackgroundDrawList(), {0, 0}, theme, glyphs, tiles});
    ImGui::Render();
    return {ImGui::GetDrawData()->TotalVtxCount, tiles.names};
  }

 private:
  ImGuiContext* context_;
};

}  // namespace orrery
