#include "kernels/cpu_info.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/kernels/each_target.h"

namespace orrery {
namespace {

TEST(CpuInfo, NamesTheInstructionSetInUse) {
  std::set<std::string> names;
  for_each_target([&] { names.insert(std::string(instruction_set())); });
  EXPECT_EQ(names.size(), hwy::SupportedAndGeneratedTargets().size());
  EXPECT_TRUE(names.contains("SCALAR"));
  EXPECT_TRUE(names.contains(std::string(instruction_set())));
}

TEST(CpuInfo, CountsAtLeastOneCore) { EXPECT_GE(usable_cores(), 1); }

}  // namespace
}  // namespace orrery
