// ImGuiCanvas: shows one Scene, drawn by Dear ImGui in a QOpenGLWidget with an ImGui context of its own, and turns the
// pointer's doings into Commands. UI thread only.
#pragma once

#include <QOpenGLWidget>
#include <functional>
#include <memory>
#include <optional>

#include "app/window/frame_times.h"
#include "app/window/gl_tile_textures.h"
#include "app/window/glyph_atlas.h"
#include "views/command.h"
#include "views/scene.h"

struct ImGuiContext;

namespace orrery {

class ImGuiCanvas final : public QOpenGLWidget {
 public:
  using SceneMaker = std::function<Scene(Size size, const TextMetrics& metrics)>;

  // `times` outlives the canvas and gets what its frames cost.
  ImGuiCanvas(const QString& name, FrameTimes& times, QWidget* parent = nullptr);
  ~ImGuiCanvas() override;

  void set_scene_maker(SceneMaker maker);
  void set_theme(const Theme& theme);
  // What is shown is stale: the scene is made anew at the next repaint.
  void refresh();
  // What the canvas draws at its top left over the scene, ASCII lines; empty: nothing.
  void set_overlay(std::string text);

  // Commands of clicks, hovering, dragging and the wheel.
  std::function<void(const Command&)> on_command;

  const Scene& scene() const { return scene_; }
  int64_t n_paints() const { return n_paints_; }
  // CPU time that the last new scene took, GL excluded.
  int64_t cost_ns() const { return cost_ns_; }
  size_t texture_bytes() const;
  int64_t uploaded_rows() const { return tiles_ ? tiles_->uploaded_rows() : 0; }

  QSize sizeHint() const override { return {480, 320}; }
  QSize minimumSizeHint() const override { return {120, 60}; }

 protected:
  void initializeGL() override;
  void paintGL() override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  void leaveEvent(QEvent* event) override;
  bool event(QEvent* event) override;

 private:
  void release_gl();
  void draw_overlay();
  void send(const Command& command);
  void show_tooltip(const QPoint& global, const std::string& text);

  FrameTimes& times_;
  const Theme* theme_;
  std::unique_ptr<QtTextMetrics> metrics_;
  SceneMaker maker_;
  Scene scene_;
  bool stale_ = true;
  Size made_for_;
  std::string overlay_;
  int64_t n_paints_ = 0;
  int64_t cost_ns_ = 0;
  double wheel_rest_ = 0;  // parts of a notch that have not been sent

  bool pressed_ = false;
  bool hovering_ = false;

  ImGuiContext* imgui_ = nullptr;
  std::unique_ptr<GlyphAtlas> glyphs_;
  std::unique_ptr<GlTileTextures> tiles_;
  double glyph_scale_ = 0;
};

}  // namespace orrery
