// A scene's numbers as files, read back.
#include "app/scene_files.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/app/tiny_model.h"

namespace orrery {
namespace {

class SceneFiles : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_.file(name); }
  static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static Scene sample() {
    Scene scene;
    scene.view = "sample";
    const int rows = scene.add_axis({.name = "layer", .ids = {1, 3}});
    const int cols = scene.add_axis({.name = "head", .begin = 0, .end = 3});
    scene.add(Tile{.name = "heads, by layer",
                   .rows = 2,
                   .cols = 3,
                   .values = {1.5f, 0.1f, std::nanf(""), -2, 0, 3},
                   .row_axis = rows,
                   .col_axis = cols,
                   .unit = "nats"});
    scene.series.push_back({.name = "bytes",
                            .x_name = "step",
                            .x = {0, 1},
                            .y = {9007199254740991.0, std::nan("")},
                            .labels = {"a,b", "say \"no\""}});
    return scene;
  }
  testing::TemporaryFolder folder_;
};

TEST_F(SceneFiles, WritesAFilePerTableAndSaysWhich) {
  const auto files = write_scene_tables(sample(), path("out.csv"));
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(*files, (std::vector<std::string>{path("out-1-heads-by-layer.csv"), path("out-2-bytes.csv")}));
  EXPECT_EQ(read((*files)[0]),
            "layer,head,\"heads, by layer (nats)\"\r\n1,0,1.5\r\n1,1,0.1\r\n1,2,\r\n3,0,-2\r\n3,1,0\r\n3,2,3\r\n");
  EXPECT_EQ(read((*files)[1]), "step,step name,bytes\r\n0,\"a,b\",9007199254740991\r\n1,\"say \"\"no\"\"\",\r\n");
}

TEST_F(SceneFiles, OneTableHasTheNameThatWasGiven) {
  Scene scene = sample();
  scene.series.clear();
  const auto files = write_scene_tables(scene, path("map.npy"));
  ASSERT_TRUE(files) << files.error().message;
  ASSERT_EQ(*files, std::vector<std::string>{path("map.npy")});
  const std::string bytes = read(path("map.npy"));
  EXPECT_NE(bytes.find("'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)"), std::string::npos);
  std::vector<float> values(6);
  std::memcpy(values.data(), bytes.data() + bytes.size() - 24, 24);
  EXPECT_EQ(values[0], 1.5f);
  EXPECT_EQ(values[1], 0.1f);
  EXPECT_TRUE(std::isnan(values[2])) << "missing";
  EXPECT_EQ(values[5], 3.0f);
}

TEST_F(SceneFiles, SeriesAreWrittenInDoublesWithoutNames) {
  const auto files = write_scene_tables(sample(), path("out.npy"));
  ASSERT_TRUE(files) << files.error().message;
  const std::string bytes = read(files->at(1));
  EXPECT_NE(bytes.find("'descr': '<f8', 'fortran_order': False, 'shape': (2, 2)"), std::string::npos);
  double values[4];
  std::memcpy(values, bytes.data() + bytes.size() - sizeof values, sizeof values);
  EXPECT_EQ(values[1], 9007199254740991.0) << "bytes that no float holds";
  EXPECT_EQ(values[2], 1.0);
  EXPECT_TRUE(std::isnan(values[3]));
}

TEST_F(SceneFiles, RefusesASceneWithoutNumbersAndAFolderThatIsNotThere) {
  Scene empty;
  empty.view = "text";
  EXPECT_EQ(write_scene_tables(empty, path("x.csv")).error().code, ErrorCode::kUnsupported);
  const auto files = write_scene_tables(sample(), path("no/such/x.csv"));
  ASSERT_FALSE(files);
  EXPECT_NE(files.error().message.find("no/such"), std::string::npos);
}

}  // namespace
}  // namespace orrery
