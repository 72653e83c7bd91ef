// Every file of the corpora, those that once crashed a reader included, goes through its target and comes back.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/fuzz/targets.h"

namespace orrery::testing {
namespace {

namespace fs = std::filesystem;

class FuzzCorpus : public ::testing::TestWithParam<FuzzTarget> {};

TEST_P(FuzzCorpus, EveryFileComesBack) {
  int n_files = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(ORRERY_SOURCE_DIR) / "tests/fuzz/corpus" / GetParam().name)) {
    SCOPED_TRACE(entry.path().filename().string());
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    GetParam().run(std::as_bytes(std::span(bytes)));
    ++n_files;
  }
  EXPECT_GT(n_files, 4) << "the corpus of " << GetParam().name << " is gone";
}

INSTANTIATE_TEST_SUITE_P(All, FuzzCorpus, ::testing::ValuesIn(kFuzzTargets),
                         [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace orrery::testing
