#include "app/window/canvas.h"

#include <backends/imgui_impl_opengl3.h>
#include <imgui.h>

#include <QHelpEvent>
#include <QMouseEvent>
#include <QOpenGLContext>
#include <QToolTip>
#include <QWheelEvent>

#include "views/imgui_renderer.h"

namespace orrery {
namespace {

constexpr double kWheelNotch = 120;  // eighths of a degree

Point to_point(const QPointF& p) { return {static_cast<float>(p.x()), static_cast<float>(p.y())}; }

// Makes an ImGui context current for a scope.
class CurrentImGui {
 public:
  explicit CurrentImGui(ImGuiContext* context) : before_(ImGui::GetCurrentContext()) {
    ImGui::SetCurrentContext(context);
  }
  ~CurrentImGui() { ImGui::SetCurrentContext(before_); }
  CurrentImGui(const CurrentImGui&) = delete;
  CurrentImGui& operator=(const CurrentImGui&) = delete;

 private:
  ImGuiContext* before_;
};

}  // namespace

ImGuiCanvas::ImGuiCanvas(const QString& name, FrameTimes& times, QWidget* parent)
    : QOpenGLWidget(parent), times_(times), theme_(&theme_of(ThemeKind::kLight)) {
  setObjectName(name);
  setAccessibleName(name);
  setMouseTracking(true);
  QSurfaceFormat format;
  format.setVersion(3, 3);
  format.setProfile(QSurfaceFormat::CoreProfile);
  format.setSwapInterval(0);  // the window's own clock decides; several canvases must not wait for each other
  setFormat(format);
  metrics_ = std::make_unique<QtTextMetrics>(*theme_);
}

ImGuiCanvas::~ImGuiCanvas() { release_gl(); }

void ImGuiCanvas::set_scene_maker(SceneMaker maker) {
  maker_ = std::move(maker);
  refresh();
}

void ImGuiCanvas::set_theme(const Theme& theme) {
  if (theme_ == &theme) return;
  theme_ = &theme;
  metrics_ = std::make_unique<QtTextMetrics>(theme);
  glyph_scale_ = 0;
  refresh();
}

void ImGuiCanvas::refresh() {
  stale_ = true;
  update();
}

size_t ImGuiCanvas::texture_bytes() const { return tiles_ == nullptr ? 0 : tiles_->n_bytes(); }

void ImGuiCanvas::set_overlay(std::string text) {
  if (text == overlay_) return;
  overlay_ = std::move(text);
  update();
}

void ImGuiCanvas::initializeGL() {
  // A floated dock gets another context: what lived in the old one goes with it.
  connect(
      context(), &QOpenGLContext::aboutToBeDestroyed, this, [this] { release_gl(); }, Qt::DirectConnection);
  const CurrentImGui restore(nullptr);
  imgui_ = ImGui::CreateContext();
  ImGui::SetCurrentContext(imgui_);
  ImGui::GetIO().IniFilename = nullptr;
  ImGui_ImplOpenGL3_Init("#version 330");
  tiles_ = std::make_unique<GlTileTextures>();
  glyph_scale_ = 0;
}

void ImGuiCanvas::release_gl() {
  if (imgui_ == nullptr) return;
  makeCurrent();
  glyphs_.reset();
  tiles_.reset();
  {
    const CurrentImGui restore(imgui_);
    ImGui_ImplOpenGL3_Shutdown();
  }
  ImGui::DestroyContext(imgui_);
  imgui_ = nullptr;
  doneCurrent();
}

void ImGuiCanvas::paintGL() {
  const double scale = devicePixelRatioF();
  QOpenGLFunctions* gl = QOpenGLContext::currentContext()->functions();
  const Rgba ground = theme_->colour(ColourRole::kGround);
  gl->glViewport(0, 0, static_cast<int>(width() * scale), static_cast<int>(height() * scale));
  gl->glClearColor(static_cast<float>(ground.r) / 255, static_cast<float>(ground.g) / 255,
                   static_cast<float>(ground.b) / 255, 1);
  gl->glClear(GL_COLOR_BUFFER_BIT);
  if (glyph_scale_ != scale) {
    glyphs_ = std::make_unique<GlyphAtlas>(*theme_, *metrics_, scale);
    glyph_scale_ = scale;
  }
  glyphs_->begin_frame();
  tiles_->begin_frame();

  const CurrentImGui restore(imgui_);
  {
    const int64_t start_ns = thread_cpu_ns();
    const Size size{static_cast<float>(width()), static_cast<float>(height())};
    const bool remake = maker_ && (stale_ || !(made_for_ == size));
    if (remake) {
      scene_ = maker_(size, *metrics_);
      made_for_ = size;
      stale_ = false;
    }
    ImGuiIO& io = ImGui::GetIO();
    io.DisplaySize = ImVec2(size.width, size.height);
    io.DisplayFramebufferScale = ImVec2(static_cast<float>(scale), static_cast<float>(scale));
    ImGui_ImplOpenGL3_NewFrame();
    ImGui::NewFrame();
    draw(scene_, {*ImGui::GetBackgroundDrawList(), ImVec2(0, 0), *theme_, *glyphs_, *tiles_});
    if (!overlay_.empty()) draw_overlay();
    ImGui::Render();
    const int64_t elapsed_ns = thread_cpu_ns() - start_ns - tiles_->take_gl_ns();
    times_.add_ns(elapsed_ns);
    if (remake) cost_ns_ = elapsed_ns;
  }
  ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
  ++n_paints_;
  times_.note_paint();
}

void ImGuiCanvas::draw_overlay() {
  ImDrawList& list = *ImGui::GetForegroundDrawList();
  const ImVec2 size = ImGui::CalcTextSize(overlay_.c_str());
  list.AddRectFilled(ImVec2(4, 4), ImVec2(size.x + 16, size.y + 12), IM_COL32(0, 0, 0, 190), 3);
  list.AddText(ImVec2(10, 8), IM_COL32(230, 230, 230, 255), overlay_.c_str());
}

void ImGuiCanvas::send(const Command& command) {
  if (on_command) on_command(command);
}

void ImGuiCanvas::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton) return QOpenGLWidget::mousePressEvent(event);
  pressed_ = true;
  const std::optional<Hit> hit = hit_test(scene_, to_point(event->position()));
  if (hit && hit->click) send(*hit->click);
}

void ImGuiCanvas::mouseMoveEvent(QMouseEvent* event) {
  const std::optional<Hit> hit = hit_test(scene_, to_point(event->position()));
  setCursor(hit && hit->click ? Qt::PointingHandCursor : Qt::ArrowCursor);
  if (pressed_) {
    if (hit && hit->scrub && hit->click) send(*hit->click);
    return;
  }
  if (hit && hit->hover) {
    hovering_ = true;
    send(*hit->hover);
  } else if (hovering_) {
    hovering_ = false;
    send(Hover{});
  }
}

void ImGuiCanvas::mouseReleaseEvent(QMouseEvent* event) {
  if (event->button() == Qt::LeftButton) pressed_ = false;
  QOpenGLWidget::mouseReleaseEvent(event);
}

void ImGuiCanvas::wheelEvent(QWheelEvent* event) {
  // Touchpads send parts of a notch; whole ones are handed on.
  const int delta = event->angleDelta().y() != 0 ? event->angleDelta().y() : event->angleDelta().x();
  wheel_rest_ += delta / kWheelNotch;
  const double whole = wheel_rest_ > 0 ? std::floor(wheel_rest_) : std::ceil(wheel_rest_);
  if (whole != 0) {
    wheel_rest_ -= whole;
    const std::optional<Command> command = wheel_at(scene_, to_point(event->position()), static_cast<float>(whole));
    if (command) send(*command);
  }
  event->accept();
}

void ImGuiCanvas::leaveEvent(QEvent* event) {
  if (hovering_) {
    hovering_ = false;
    send(Hover{});
  }
  QOpenGLWidget::leaveEvent(event);
}

bool ImGuiCanvas::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    const std::optional<Hit> hit = hit_test(scene_, {static_cast<float>(help->x()), static_cast<float>(help->y())});
    show_tooltip(help->globalPos(), hit ? hit->tooltip : std::string());
    return true;
  }
  return QOpenGLWidget::event(event);
}

void ImGuiCanvas::show_tooltip(const QPoint& global, const std::string& text) {
  if (text.empty()) return QToolTip::hideText();
  // Model text is data: escaped, so that Qt never takes it for markup.
  const QString escaped = QString::fromStdString(text).toHtmlEscaped();
  QToolTip::showText(global, QStringLiteral("<div style='white-space:pre'>%1</div>").arg(escaped), this);
}

}  // namespace orrery
