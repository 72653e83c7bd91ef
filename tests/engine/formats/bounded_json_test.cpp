#include "engine/formats/bounded_json.h"

#include <gtest/gtest.h>

namespace orrery::testing {
namespace {

TEST(BoundedJson, PythonsNumbersAreReadAsTransformersWritesThem) {
  const auto parsed = parse_json_object(
      R"({"limit": [0.0, Infinity], "low": -Infinity, "none": NaN, "text": "NaN \" Infinity \\", "end": Infinity})",
      1000, "a.json");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const nlohmann::json infinity = {{"__float__", "Infinity"}};
  EXPECT_EQ((*parsed)["limit"][1], infinity);
  EXPECT_EQ((*parsed)["low"]["__float__"], "-Infinity");
  EXPECT_EQ((*parsed)["none"]["__float__"], "NaN");
  EXPECT_EQ((*parsed)["text"], "NaN \" Infinity \\");
  EXPECT_EQ((*parsed)["end"], infinity);
}

TEST(BoundedJson, PythonsNumbersInDamagedTextAreRefused) {
  for (const char* text :
       {"{\"a\": Infinit}", "{\"a\": NaNs}", "{\"a\": \"Infinity", "{Infinity: 1}", "{\"a\": --Infinity}"}) {
    EXPECT_FALSE(parse_json_object(text, 1000, "a.json")) << text;
  }
}

}  // namespace
}  // namespace orrery::testing
