// Values that are multiples of 2^-20 as whole numbers, and lists of (id, weight) as differences: what is alike then
// lies in the same bytes, and zstd finds it. Without loss; values that are no such multiples are refused.
//
// Why: bytes per token of SmolLM2-135M (30 layers x 9 heads), standard level, steps 3,577 to 4,089 of a text, in chunks
// of 512 KiB, zstd level 1 (level 3 saves 1 % at most), by tests/bench/encodings_bench:
//
//                        float32   zstd  shuffle+zstd  rounded to 2^-20, the same  as stored: whole
//                                                                                  numbers, differences
//   attention.top         69,120  55,959       39,426                      29,744                25,158
//   attention.mass        65,222  61,219       55,655                      31,715                27,214
//   attention.rest         1,080     989          892                           -                   892
//   attention.output       1,080     966          861                           -                   861
//   attention.entropy      1,080     950          855                           -                   855
//   attention.first        1,080   1,011          904                           -                   904
//   attention.previous     1,080   1,013          925                           -                   925
//   attention.distance     1,080     970          872                           -                   872
//   output.top               512     416          341                           -                   341
//   residual.norm            120     107           94                           -                    94
//   cache.* (3)            1,200       4            3                           -                     3
//
// A mantissa cut to 11 bits would cost 1.9 bytes a value of attention.mass where 2^-20 costs 1.6, and is off by 2^-12
// of a weight of 1 where this is off by 2^-21. The coarse levels of a probe cost a third of its steps (means and
// greatest values: 2 x (1/8 + 1/32 + ...)), those of attention.mass 5 %. So 16 heads take 108 KB a token at 4,096
// tokens, 8.8 KB at light.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace orrery {

inline constexpr int kFixedPointBits = 20;

// How the words of a chunk are made of its values; the beginning of its codec's name.
enum class Words : uint8_t {
  kPlain,   // ""
  kFixed,   // "fixed20+": i32, the value times 2^20; -2^31: NaN
  kRanked,  // "ranked20+": pairs of u32, the step minus the id, and by how many 2^-20 the weight is less than the one
            // before it in its list (the first: minus its own); both modulo 2^32
};
std::string_view words_name(Words words);

// Lists of tops, [step, lists_per_step, list_pairs, 2] f32.
struct RankedLists {
  size_t list_pairs = 0;
  size_t lists_per_step = 0;
  int64_t step_begin = 0;
};

// f32 values to as many bytes of words. False where a value has no word; `to` is then undefined.
bool to_fixed(std::span<const std::byte> values, std::byte* to);
bool to_ranked(std::span<const std::byte> values, const RankedLists& lists, std::byte* to);
// Back, in place. Any words give some values.
void from_fixed(std::span<std::byte> words);
void from_ranked(std::span<std::byte> words, const RankedLists& lists);

}  // namespace orrery
