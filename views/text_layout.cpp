#include "views/text_layout.h"

#include <algorithm>

#include "views/utf8.h"

namespace orrery {
namespace {

constexpr int64_t kWindow = 4096;
constexpr int64_t kWindowStep = 1024;
constexpr int64_t kSearch = 512;
constexpr float kLeastPieceWidth = 4;

bool begins_word(const TokenPiece& piece) {
  if (piece.text.empty()) return true;
  const char32_t first = next_utf8(piece.text).code;
  return first == ' ' || first == 0x21B5 || cell_width(first) == 2;
}

std::string cut_to(const std::string& text, const TextMetrics& metrics, float width) {
  std::string cut;
  const float ellipsis = metrics.width("…", TextSize::kText);
  for (size_t i = 0; i < text.size();) {
    const auto n = static_cast<size_t>(next_utf8(std::string_view(text).substr(i)).n_bytes);
    if (metrics.width(cut + text.substr(i, n), TextSize::kText) + ellipsis > width) break;
    cut += text.substr(i, n);
    i += n;
  }
  return cut + "…";
}

class Layout {
 public:
  Layout(const TextMetrics& metrics, float width) : metrics_(metrics), width_(width) {}

  void add(TokenPiece piece) {
    if (piece.text.empty()) piece.text = "∅";
    float w = std::max(metrics_.width(piece.text, TextSize::kText), kLeastPieceWidth * static_cast<float>(piece.count));
    if (w > width_) {
      piece.text = cut_to(piece.text, metrics_, width_);
      w = width_;
    }
    if (begins_word(piece)) word_begin_ = line_.pieces.size();
    while (x_ + w > width_ && !line_.pieces.empty()) wrap();
    const bool ends = piece.ends_line;
    line_.pieces.push_back({std::move(piece), x_, w});
    x_ += w;
    if (ends) finish_line();
  }

  std::vector<TextLine> take() {
    finish_line();
    return std::move(lines_);
  }

 private:
  // Ends the line before the word that runs over it; before the piece itself where the word began the line.
  void wrap() {
    TextLine next;
    if (word_begin_ > 0 && word_begin_ < line_.pieces.size()) {
      const auto from = line_.pieces.begin() + static_cast<std::ptrdiff_t>(word_begin_);
      next.pieces.assign(std::make_move_iterator(from), std::make_move_iterator(line_.pieces.end()));
      line_.pieces.erase(from, line_.pieces.end());
    }
    finish_line();
    for (PlacedPiece& placed : next.pieces) {
      placed.x = x_;
      x_ += placed.width;
    }
    line_ = std::move(next);
  }

  void finish_line() {
    if (!line_.pieces.empty()) lines_.push_back(std::move(line_));
    line_ = {};
    x_ = 0;
    word_begin_ = 0;
  }

  const TextMetrics& metrics_;
  const float width_;
  TextLine line_;
  float x_ = 0;
  size_t word_begin_ = 0;
  std::vector<TextLine> lines_;
};

}  // namespace

std::vector<TextLine> layout_text(std::span<const Token> tokens, int64_t begin, int64_t end, const TextMetrics& metrics,
                                  float width) {
  Layout layout(metrics, width);
  for (TokenPiece& piece : token_pieces(tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)))) {
    piece.first += begin;
    layout.add(std::move(piece));
  }
  return layout.take();
}

std::pair<int64_t, int64_t> layout_window(std::span<const Token> tokens, int64_t anchor) {
  const auto n = static_cast<int64_t>(tokens.size());
  if (n <= kWindow) return {0, n};
  int64_t begin = std::max<int64_t>((anchor - kWindow / 2) / kWindowStep * kWindowStep, 0);
  // Better where a line begins anyway.
  for (int64_t step = begin; step > std::max<int64_t>(begin - kSearch, 0); --step) {
    const std::string& before = tokens[static_cast<size_t>(step - 1)].bytes;
    if (before.empty() || before.back() != '\n') continue;
    begin = step;
    break;
  }
  return {begin, std::min(n, begin + kWindow + kWindowStep)};
}

}  // namespace orrery
