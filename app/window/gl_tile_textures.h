// GlTileTextures: maps as float textures, coloured by a table in a fragment shader; a map is one quad however many
// cells it has. UI thread, with the canvas' GL context current.
#pragma once

#include <imgui.h>

#include <QOpenGLExtraFunctions>
#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "app/window/fonts.h"
#include "views/imgui_renderer.h"

namespace orrery {

class GlTileTextures final : public TilePainter {
 public:
  GlTileTextures();
  ~GlTileTextures() override;
  GlTileTextures(const GlTileTextures&) = delete;
  GlTileTextures& operator=(const GlTileTextures&) = delete;

  // Once a frame, before any add_tile(): frees the textures of tiles that have not been drawn for a while.
  void begin_frame();
  // Uploads the rows that changed since the tile's last frame.
  void add_tile(ImDrawList& list, std::string_view key, const Tile& tile, const ColourScale& scale, bool dark,
                ImVec2 min, ImVec2 max) override;

  size_t n_textures() const { return textures_.size(); }
  // Of the textures and of the values that are held to tell what changed.
  size_t n_bytes() const;
  // Rows sent to the GL since construction: what "incremental" is measured by.
  int64_t uploaded_rows() const { return uploaded_rows_; }
  // CPU nanoseconds spent inside GL calls since the last take.
  int64_t take_gl_ns();

 private:
  struct Texture {
    unsigned id = 0;
    int rows = 0;  // in use
    int cols = 0;
    int capacity = 0;  // rows allocated
    std::vector<float> values;
    int64_t last_frame = 0;
  };
  // What a draw callback needs; lives until the next frame.
  struct Pass {
    GlTileTextures* owner = nullptr;
    int rows = 0;
    int cols = 0;
    ColourScale scale;
    bool dark = false;
  };

  void update(Texture& texture, const Tile& tile);
  void allocate(Texture& texture, int rows, int cols);
  static void on_draw(const ImDrawList* list, const ImDrawCmd* command);
  void use(const Pass& pass);
  void build_program(unsigned imgui_program);
  unsigned colour_texture(ColourMapId map, bool dark);

  QOpenGLExtraFunctions* gl_;
  StringMap<Texture> textures_;
  std::deque<Pass> passes_;
  std::array<unsigned, 8> colour_textures_{};  // [map * 2 + dark]
  unsigned program_ = 0;
  int projection_ = -1, values_ = -1, colours_ = -1, size_ = -1, range_ = -1, transfer_ = -1;
  int64_t frame_ = 0;
  int64_t uploaded_rows_ = 0;
  int64_t gl_ns_ = 0;
};

}  // namespace orrery
