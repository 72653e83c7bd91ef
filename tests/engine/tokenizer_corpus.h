// The texts of assets/goldens/tokenizer/families and llama.cpp's ids of them, kept as one number per text.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>
#include <vector>

#include "engine/tokenizer.h"
#include "tests/support/npy.h"

namespace orrery::testing {

inline const std::filesystem::path kFamilyGoldens =
    std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/goldens/tokenizer/families";

inline std::string file_bytes(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream) << path;
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

// Any bytes, none empty.
inline const std::vector<std::string>& corpus_strings() {
  static const std::vector<std::string> strings = [] {
    std::vector<std::string> all;
    std::ifstream stream(kFamilyGoldens / "strings.hex");
    for (std::string line; std::getline(stream, line);) all.push_back(from_hex(line));
    return all;
  }();
  return strings;
}

// CRC-32 (zlib's) of lists of ids as int32 bytes, each list ended by -1.
inline uint32_t digest(std::initializer_list<std::vector<int32_t>> lists) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1) != 0 ? 0xedb88320u ^ value >> 1 : value >> 1;
      made[i] = value;
    }
    return made;
  }();
  uint32_t crc = 0xffffffffu;
  const auto add = [&](int32_t id) {
    for (int shift = 0; shift < 32; shift += 8) {
      crc = table[(crc ^ static_cast<uint32_t>(id) >> shift) & 0xff] ^ crc >> 8;
    }
  };
  for (const std::vector<int32_t>& ids : lists) {
    for (const int32_t id : ids) add(id);
    add(-1);
  }
  return ~crc;
}

// Every `stride`th text, with special tokens added and parsed and without.
inline void expect_digests(const Tokenizer& tokenizer, const std::string& file, size_t stride) {
  const auto golden = read_npy<int32_t>(kFamilyGoldens / file);
  const std::vector<std::string>& strings = corpus_strings();
  ASSERT_GE(strings.size(), 2000u);
  ASSERT_EQ(golden.shape, (std::vector<size_t>{strings.size()}));
  for (size_t i = 0; i < strings.size(); i += stride) {
    const auto special = tokenizer.encode(strings[i]);
    ASSERT_TRUE(special) << special.error().message;
    const auto plain = tokenizer.encode(strings[i], EncodeOptions::plain());
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_EQ(digest({*special, *plain}), static_cast<uint32_t>(golden.values[i]))
        << "text " << i << ", " << strings[i] << ", is " << ::testing::PrintToString(*special) << " and "
        << ::testing::PrintToString(*plain);
  }
}

}  // namespace orrery::testing
