// The two files that make a Hugging Face folder a model, each damaged beside a sound other one.
#include <fstream>
#include <iterator>
#include <string>

#include "engine/model_file.h"
#include "tests/fuzz/scratch_files.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/use_model.h"

namespace orrery::testing {

namespace {

// A folder with one file of the tiny llama, for the other to be put beside.
class HalfFolder {
 public:
  explicit HalfFolder(const std::string& name) {
    std::ifstream in(std::filesystem::path(ORRERY_SOURCE_DIR) / "assets/models/tiny-llama-e" / name, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    folder_.write(name, std::as_bytes(std::span(bytes)));
  }
  void use_with(const std::string& name, FileBytes file) const {
    folder_.write(name, file);
    const auto opened = ModelFile::open(folder_.path());
    if (!opened) return;
    for (const StoredTensor& tensor : (*opened)->tensors().tensors()) (void)tensor.view();
    use_model(*opened);
  }

 private:
  ScratchFolder folder_;
};

}  // namespace

void fuzz_safetensors(FileBytes file) {
  static const HalfFolder folder("config.json");
  folder.use_with("model.safetensors", file);
}

void fuzz_config(FileBytes file) {
  static const HalfFolder folder("model.safetensors");
  folder.use_with("config.json", file);
}

}  // namespace orrery::testing
