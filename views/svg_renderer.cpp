#include "views/svg_renderer.h"

#include <stb_image_write.h>

#include <cmath>
#include <cstdio>
#include <vector>

namespace orrery {
namespace {

// Text is data: what would be markup is escaped, and what XML 1.0 cannot hold does not get here (Text is without
// control characters), but is replaced all the same.
std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += "\xEF\xBF\xBD";
        } else {
          out.push_back(c);
        }
    }
  }
  return out;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  std::string out = text;
  while (out.back() == '0') out.pop_back();
  if (out.back() == '.') out.pop_back();
  return out == "-0" ? "0" : out;
}

std::string attribute(const char* name, double value) { return std::string(" ") + name + "=\"" + number(value) + "\""; }

std::string paint_attributes(const char* what, Rgba colour) {
  if (colour.a == 0) return std::string(" ") + what + "=\"none\"";
  char text[64];
  std::snprintf(text, sizeof text, " %s=\"#%02x%02x%02x\"", what, colour.r, colour.g, colour.b);
  std::string out = text;
  if (colour.a < 255) out += attribute((std::string(what) + "-opacity").c_str(), colour.a / 255.0);
  return out;
}

std::string rect_attributes(const Rect& rect) {
  return attribute("x", rect.x) + attribute("y", rect.y) + attribute("width", rect.width) +
         attribute("height", rect.height);
}

std::string base64(const std::vector<unsigned char>& bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t n = std::min<size_t>(3, bytes.size() - i);
    unsigned group = static_cast<unsigned>(bytes[i]) << 16;
    if (n > 1) group |= static_cast<unsigned>(bytes[i + 1]) << 8;
    if (n > 2) group |= bytes[i + 2];
    out.push_back(kDigits[group >> 18]);
    out.push_back(kDigits[(group >> 12) & 63]);
    out.push_back(n > 1 ? kDigits[(group >> 6) & 63] : '=');
    out.push_back(n > 2 ? kDigits[group & 63] : '=');
  }
  return out;
}

std::string png_data_uri(const std::vector<Rgba>& pixels, int width, int height) {
  static_assert(sizeof(Rgba) == 4);
  std::vector<unsigned char> png;
  stbi_write_png_to_func(
      [](void* context, void* data, int size) {
        const auto* begin = static_cast<const unsigned char*>(data);
        static_cast<std::vector<unsigned char>*>(context)->assign(begin, begin + size);
      },
      &png, width, height, 4, pixels.data(), width * 4);
  return "data:image/png;base64," + base64(png);
}

// Cells as blocks of pixels, at least as many as the picture shows: viewers that smooth images then blur only the
// edges.
std::vector<Rgba> enlarged(const std::vector<Rgba>& cells, int cols, int rows, int x_times, int y_times) {
  std::vector<Rgba> pixels;
  pixels.reserve(cells.size() * static_cast<size_t>(x_times) * static_cast<size_t>(y_times));
  for (int row = 0; row < rows; ++row) {
    const auto begin = cells.begin() + static_cast<std::ptrdiff_t>(row) * cols;
    for (int y = 0; y < y_times; ++y) {
      for (auto cell = begin; cell != begin + cols; ++cell)
        pixels.insert(pixels.end(), static_cast<size_t>(x_times), *cell);
    }
  }
  return pixels;
}

class Writer {
 public:
  Writer(const Theme& theme, const TextMetrics& metrics) : theme_(theme), metrics_(metrics) {}

  void write(const Scene& scene) {
    scene_ = &scene;
    for (const Item& item : scene.items) std::visit([this](const auto& one) { write_item(one); }, item);
    for (const ScenePanel& panel : scene.panels) {
      out_ += "<g transform=\"translate(" + number(panel.rect.x) + " " + number(panel.rect.y) + ")\">\n";
      write(*panel.scene);
      out_ += "</g>\n";
    }
  }
  std::string take() { return std::move(out_); }

 private:
  Rgba colour(const Paint& paint) const { return resolve_paint(paint, *scene_, theme_); }

  void write_item(const Tile& tile) {
    if (tile.rows <= 0 || tile.cols <= 0 || tile.rect.empty()) return;
    const ColourScale& scale = scene_->scales[static_cast<size_t>(tile.scale)];
    const int x_times = static_cast<int>(std::ceil(tile.rect.width / static_cast<float>(tile.cols)));
    const int y_times = static_cast<int>(std::ceil(tile.rect.height / static_cast<float>(tile.rows)));
    const std::vector<Rgba> pixels = enlarged(tile_pixels(tile, scale, theme_), tile.cols, tile.rows, x_times, y_times);
    out_ += "<image" + rect_attributes(tile.rect) + " preserveAspectRatio=\"none\" image-rendering=\"optimizeSpeed\"" +
            " style=\"image-rendering:pixelated\" xlink:href=\"" +
            png_data_uri(pixels, tile.cols * x_times, tile.rows * y_times) + "\"><title>" + escaped(tile.name) +
            "</title></image>\n";
  }

  void write_item(const Hatch& hatch) { out_ += "<rect" + rect_attributes(hatch.rect) + " fill=\"url(#missing)\"/>\n"; }

  void write_item(const Polyline& line) {
    out_ += "<polyline fill=\"none\"" + paint_attributes("stroke", colour(line.paint)) +
            attribute("stroke-width", line.width) + " stroke-linejoin=\"round\" points=\"";
    for (const Point& point : line.points) out_ += number(point.x) + "," + number(point.y) + " ";
    out_ += "\"/>\n";
  }

  void write_item(const Box& box) {
    out_ += "<rect" + rect_attributes(box.rect) + paint_attributes("fill", colour(box.fill));
    if (box.stroke.kind != Paint::Kind::kNone) {
      out_ += paint_attributes("stroke", colour(box.stroke)) + attribute("stroke-width", box.stroke_width);
    }
    if (box.corner > 0) out_ += attribute("rx", box.corner);
    out_ += "/>\n";
  }

  void write_item(const Text& text) {
    if (text.text.empty()) return;
    const float top = text.at.y - metrics_.line_height(text.size) / 2;
    const char* anchor = text.align == Align::kLeft ? "start" : text.align == Align::kCentre ? "middle" : "end";
    out_ += "<text" + attribute("x", text.at.x) + attribute("y", top + metrics_.ascent(text.size)) +
            attribute("font-size", theme_.size_px(text.size)) + " text-anchor=\"" + anchor + "\"";
    if (text.size == TextSize::kTitle) out_ += " font-weight=\"bold\"";
    out_ +=
        paint_attributes("fill", colour(text.paint)) + " xml:space=\"preserve\">" + escaped(text.text) + "</text>\n";
  }

  const Theme& theme_;
  const TextMetrics& metrics_;
  const Scene* scene_ = nullptr;
  std::string out_;
};

}  // namespace

std::string render_svg(const Scene& scene, const Theme& theme, const TextMetrics& metrics, const SvgOptions& options) {
  Writer writer(theme, metrics);
  writer.write(scene);
  const std::string size = attribute("width", scene.size.width) + attribute("height", scene.size.height);
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"" +
                    std::string(" xmlns:xlink=\"http://www.w3.org/1999/xlink\" version=\"1.1\"") + size +
                    " viewBox=\"0 0 " + number(scene.size.width) + " " + number(scene.size.height) +
                    "\" font-family=\"" + escaped(options.font_family) + "\">\n";
  out += "<title>" + escaped(scene.title) + "</title>\n<desc>";
  for (const Provenance& provenance : scene.provenance) out += escaped(provenance.line()) + "\n";
  out += "</desc>\n<defs><pattern id=\"missing\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\"" +
         std::string(" patternTransform=\"rotate(45)\"><line x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke-width=\"1\"") +
         paint_attributes("stroke", resolve_paint(hatch_paint(), scene, theme)) + "/></pattern></defs>\n";
  out += "<rect" + size + paint_attributes("fill", theme.colour(ColourRole::kGround)) + "/>\n";
  return out + writer.take() + "</svg>\n";
}

}  // namespace orrery
