// A folder of the test's own, environment variables that are put back, and small wheels made on the spot.
#pragma once

#include <gtest/gtest.h>
#include <zip.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace orrery {

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  ASSERT_TRUE(file.flush()) << path;
}

// A zip archive of the named members.
inline void write_zip(const std::filesystem::path& path, const std::map<std::string, std::string>& members) {
  int error = 0;
  zip_t* zip = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &error);
  ASSERT_NE(zip, nullptr) << error;
  for (const auto& [name, text] : members) {
    zip_source_t* source = zip_source_buffer(zip, text.data(), text.size(), 0);
    ASSERT_GE(zip_file_add(zip, name.c_str(), source, 0), 0) << zip_strerror(zip);
  }
  ASSERT_EQ(zip_close(zip), 0);
}

class LibraryTest : public testing::Test {
 protected:
  LibraryTest() {
    std::string name = (std::filesystem::temp_directory_path() / "orrery-library-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~LibraryTest() override {
    for (const auto& [name, value] : saved_) {
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void SetUp() override { ASSERT_FALSE(folder_.empty()); }

  // Until the end of the test; nullptr unsets.
  void set_variable(const std::string& name, const char* value) {
    const char* before = std::getenv(name.c_str());
    saved_.try_emplace(name, before == nullptr ? std::nullopt : std::optional<std::string>(before));
    value == nullptr ? unsetenv(name.c_str()) : setenv(name.c_str(), value, 1);
  }

  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  std::map<std::string, std::optional<std::string>> saved_;
};

}  // namespace orrery
