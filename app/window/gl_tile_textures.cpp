#include "app/window/gl_tile_textures.h"

#include <QOpenGLContext>
#include <algorithm>
#include <cstring>

#include "app/window/frame_times.h"
#include "kernels/base/check.h"

namespace orrery {
namespace {

constexpr int64_t kKeepFrames = 120;
constexpr int kRowStep = 64;  // textures grow by this many rows, so that a growing map is not allocated every token

const char* const kVertexShader = R"(#version 330 core
in vec2 Position;
in vec2 UV;
uniform mat4 ProjMtx;
out vec2 place;
void main() {
  place = UV;
  gl_Position = ProjMtx * vec4(Position, 0, 1);
})";

// Keep in step with ColourScale::position: the CPU renderers colour by that.
const char* const kFragmentShader = R"(#version 330 core
in vec2 place;
uniform sampler2D cell_values;
uniform sampler2D colour_table;
uniform ivec2 n_cells;
uniform vec2 value_range;
uniform int transfer;  // 0 linear, 1 square root, 2 logarithm, 3 square root on both sides of the middle
out vec4 colour;
void main() {
  ivec2 cell = clamp(ivec2(place * vec2(n_cells)), ivec2(0), n_cells - 1);
  float value = texelFetch(cell_values, cell, 0).r;
  if ((floatBitsToUint(value) & 0x7fffffffu) > 0x7f800000u) discard;  // NaN: missing
  float span = value_range.y - value_range.x;
  float at = span > 0.0 ? clamp((value - value_range.x) / span, 0.0, 1.0) : 0.0;
  if (transfer == 1) at = sqrt(at);
  if (transfer == 2) at = value > value_range.x && span > 0.0
      ? log(min(value, value_range.y) / value_range.x) / log(value_range.y / value_range.x) : 0.0;
  if (transfer == 3) at = 0.5 + 0.5 * sign(at - 0.5) * sqrt(abs(2.0 * at - 1.0));
  colour = texelFetch(colour_table, ivec2(int(at * 255.0 + 0.5), 0), 0);
})";

}  // namespace

GlTileTextures::GlTileTextures() : gl_(QOpenGLContext::currentContext()->extraFunctions()) {}

GlTileTextures::~GlTileTextures() {
  for (auto& [key, texture] : textures_) gl_->glDeleteTextures(1, &texture.id);
  for (unsigned& id : colour_textures_) {
    if (id != 0) gl_->glDeleteTextures(1, &id);
  }
  if (program_ != 0) gl_->glDeleteProgram(program_);
}

void GlTileTextures::begin_frame() {
  ++frame_;
  passes_.clear();
  for (auto it = textures_.begin(); it != textures_.end();) {
    if (frame_ - it->second.last_frame > kKeepFrames) {
      gl_->glDeleteTextures(1, &it->second.id);
      it = textures_.erase(it);
    } else {
      ++it;
    }
  }
}

size_t GlTileTextures::n_bytes() const {
  size_t n_floats = 0;
  for (const auto& [key, texture] : textures_) {
    n_floats += static_cast<size_t>(texture.cols) * static_cast<size_t>(texture.capacity) + texture.values.capacity();
  }
  return n_floats * sizeof(float);
}

int64_t GlTileTextures::take_gl_ns() { return std::exchange(gl_ns_, 0); }

void GlTileTextures::add_tile(ImDrawList& list, std::string_view key, const Tile& tile, const ColourScale& scale,
                              bool dark, ImVec2 min, ImVec2 max) {
  if (tile.rows <= 0 || tile.cols <= 0) return;
  DCHECK(tile.values.size() == static_cast<size_t>(tile.rows) * static_cast<size_t>(tile.cols));
  auto found = textures_.find(key);
  if (found == textures_.end()) found = textures_.emplace(std::string(key), Texture{}).first;
  Texture& texture = found->second;
  const int64_t start = thread_cpu_ns();
  update(texture, tile);
  gl_ns_ += thread_cpu_ns() - start;
  texture.last_frame = frame_;

  passes_.push_back({this, tile.rows, tile.cols, scale, dark});
  list.AddCallback(&GlTileTextures::on_draw, &passes_.back());
  list.AddImage(reinterpret_cast<ImTextureID>(static_cast<intptr_t>(texture.id)), min, max);
  list.AddCallback(ImDrawCallback_ResetRenderState, nullptr);
}

void GlTileTextures::allocate(Texture& texture, int rows, int cols) {
  if (texture.id != 0) gl_->glDeleteTextures(1, &texture.id);
  gl_->glGenTextures(1, &texture.id);
  gl_->glBindTexture(GL_TEXTURE_2D, texture.id);
  texture.capacity = (rows + kRowStep - 1) / kRowStep * kRowStep;
  texture.cols = cols;
  texture.rows = 0;
  texture.values.clear();
  gl_->glTexImage2D(GL_TEXTURE_2D, 0, GL_R32F, cols, texture.capacity, 0, GL_RED, GL_FLOAT, nullptr);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
}

void GlTileTextures::update(Texture& texture, const Tile& tile) {
  if (texture.id == 0 || texture.cols != tile.cols || texture.capacity < tile.rows ||
      texture.capacity > tile.rows * 4 + kRowStep) {
    allocate(texture, tile.rows, tile.cols);
  }
  // The span of rows that differ from what the texture holds. Comparing bytes keeps NaN equal to itself.
  const auto cols = static_cast<size_t>(tile.cols);
  const auto same = [&](int row) {
    const size_t at = static_cast<size_t>(row) * cols;
    return row < texture.rows && std::memcmp(&texture.values[at], &tile.values[at], cols * sizeof(float)) == 0;
  };
  int begin = 0;
  while (begin < tile.rows && same(begin)) ++begin;
  int end = tile.rows;
  while (end > begin && same(end - 1)) --end;
  texture.rows = tile.rows;
  if (begin == end) return;
  texture.values.resize(static_cast<size_t>(tile.rows) * cols);
  std::copy(tile.values.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(begin) * cols),
            tile.values.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(end) * cols),
            texture.values.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(begin) * cols));
  gl_->glBindTexture(GL_TEXTURE_2D, texture.id);
  gl_->glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  gl_->glTexSubImage2D(GL_TEXTURE_2D, 0, 0, begin, tile.cols, end - begin, GL_RED, GL_FLOAT,
                       &tile.values[static_cast<size_t>(begin) * cols]);
  uploaded_rows_ += end - begin;
}

void GlTileTextures::on_draw(const ImDrawList*, const ImDrawCmd* command) {
  const Pass& pass = *static_cast<const Pass*>(command->UserCallbackData);
  pass.owner->use(pass);
}

void GlTileTextures::use(const Pass& pass) {
  int imgui_program = 0;
  gl_->glGetIntegerv(GL_CURRENT_PROGRAM, &imgui_program);
  if (program_ == 0) build_program(static_cast<unsigned>(imgui_program));
  std::array<float, 16> projection{};
  gl_->glGetUniformfv(static_cast<unsigned>(imgui_program),
                      gl_->glGetUniformLocation(static_cast<unsigned>(imgui_program), "ProjMtx"), projection.data());
  gl_->glUseProgram(program_);
  gl_->glUniformMatrix4fv(projection_, 1, GL_FALSE, projection.data());
  gl_->glUniform1i(values_, 0);
  gl_->glUniform1i(colours_, 1);
  gl_->glUniform2i(size_, pass.cols, pass.rows);
  gl_->glUniform2f(range_, pass.scale.low, pass.scale.high);
  const bool from_middle = pass.scale.transfer == Transfer::kSquareRoot && pass.scale.map == ColourMapId::kDiverging;
  gl_->glUniform1i(transfer_, from_middle ? 3 : static_cast<int>(pass.scale.transfer));
  gl_->glActiveTexture(GL_TEXTURE1);
  gl_->glBindTexture(GL_TEXTURE_2D, colour_texture(pass.scale.map, pass.dark));
  gl_->glActiveTexture(GL_TEXTURE0);
}

// ImGui's backend sets up its vertex array once a frame: our inputs take the locations of its own.
void GlTileTextures::build_program(unsigned imgui_program) {
  const auto compile = [this](unsigned kind, const char* source) {
    const unsigned shader = gl_->glCreateShader(kind);
    gl_->glShaderSource(shader, 1, &source, nullptr);
    gl_->glCompileShader(shader);
    return shader;
  };
  const unsigned vertex = compile(GL_VERTEX_SHADER, kVertexShader);
  const unsigned fragment = compile(GL_FRAGMENT_SHADER, kFragmentShader);
  program_ = gl_->glCreateProgram();
  gl_->glAttachShader(program_, vertex);
  gl_->glAttachShader(program_, fragment);
  for (const char* name : {"Position", "UV"}) {
    const int location = gl_->glGetAttribLocation(imgui_program, name);
    gl_->glBindAttribLocation(program_, static_cast<unsigned>(std::max(location, 0)), name);
  }
  gl_->glLinkProgram(program_);
  gl_->glDeleteShader(vertex);
  gl_->glDeleteShader(fragment);
  int linked = 0;
  gl_->glGetProgramiv(program_, GL_LINK_STATUS, &linked);
  CHECK(linked == GL_TRUE, "the shader of maps does not link");
  projection_ = gl_->glGetUniformLocation(program_, "ProjMtx");
  values_ = gl_->glGetUniformLocation(program_, "cell_values");
  colours_ = gl_->glGetUniformLocation(program_, "colour_table");
  size_ = gl_->glGetUniformLocation(program_, "n_cells");
  range_ = gl_->glGetUniformLocation(program_, "value_range");
  transfer_ = gl_->glGetUniformLocation(program_, "transfer");
}

unsigned GlTileTextures::colour_texture(ColourMapId map, bool dark) {
  unsigned& id = colour_textures_[static_cast<size_t>(map) * 2 + (dark ? 1 : 0)];
  if (id != 0) return id;
  const std::span<const Rgba> table = colour_table(map, dark);
  gl_->glGenTextures(1, &id);
  gl_->glBindTexture(GL_TEXTURE_2D, id);
  gl_->glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, static_cast<int>(table.size()), 1, 0, GL_RGBA, GL_UNSIGNED_BYTE,
                    table.data());
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  gl_->glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  return id;
}

}  // namespace orrery
