// Files written by hand for tests of the weight readers: bytes, temporary files, GGUF and safetensors as they are laid
// out.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace orrery::testing {

// A folder of its own, removed with all it holds.
class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "orrery-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }

  // Writes (over) a file of the folder and names it.
  std::filesystem::path write(const std::string& name, std::string_view bytes) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::remove(file);  // a new file: ext4 flushes one that is written over, which costs milliseconds
    std::ofstream(file, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return file;
  }

 private:
  std::filesystem::path path_;
};

// Little-endian bytes, appended one after the other.
class Bytes {
 public:
  template <typename T>
  Bytes& add(T value) {
    static_assert(std::is_arithmetic_v<T>);
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(std::string_view bytes) {
    text_ += bytes;
    return *this;
  }
  Bytes& string(std::string_view bytes) { return add<uint64_t>(bytes.size()).text(bytes); }  // GGUF's
  const std::string& str() const { return text_; }
  size_t size() const { return text_.size(); }

 private:
  std::string text_;
};

// GGUF's numbers for the types of metadata.
enum GgufTypeId : uint32_t {
  kIdU8 = 0,
  kIdU32 = 4,
  kIdI32 = 5,
  kIdF32 = 6,
  kIdBool = 7,
  kIdString = 8,
  kIdArray = 9,
  kIdU64 = 10
};

// A GGUF file put together entry by entry. Public counts and version may be set to lie.
class GgufBuilder {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  // of the tensor data; does not write general.alignment

  GgufBuilder& entry(std::string_view key, uint32_t type, const Bytes& value) {
    metadata_.string(key).add<uint32_t>(type).text(value.str());
    ++n_metadata;
    return *this;
  }
  GgufBuilder& u32(std::string_view key, uint32_t value) { return entry(key, kIdU32, Bytes().add(value)); }
  GgufBuilder& f32(std::string_view key, float value) { return entry(key, kIdF32, Bytes().add(value)); }
  GgufBuilder& boolean(std::string_view key, bool value) { return entry(key, kIdBool, Bytes().add<uint8_t>(value)); }
  GgufBuilder& string(std::string_view key, std::string_view value) {
    return entry(key, kIdString, Bytes().string(value));
  }
  GgufBuilder& strings(std::string_view key, const std::vector<std::string>& values) {
    Bytes bytes;
    bytes.add<uint32_t>(kIdString).add<uint64_t>(values.size());
    for (const std::string& value : values) bytes.string(value);
    return entry(key, kIdArray, bytes);
  }
  GgufBuilder& i32s(std::string_view key, const std::vector<int32_t>& values) {
    Bytes bytes;
    bytes.add<uint32_t>(kIdI32).add<uint64_t>(values.size());
    for (const int32_t value : values) bytes.add(value);
    return entry(key, kIdArray, bytes);
  }

  // dims innermost first, as in the file; `data` lands at the next aligned offset.
  GgufBuilder& tensor(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, std::string_view data) {
    tensor_info(name, dims, type, data_.size());
    data_ += data;
    data_.resize((data_.size() + alignment - 1) / alignment * alignment, '\0');
    return *this;
  }
  // A description without data, with any offset.
  GgufBuilder& tensor_info(std::string_view name, const std::vector<uint64_t>& dims, uint32_t type, uint64_t offset) {
    infos_.string(name).add<uint32_t>(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) infos_.add(dim);
    infos_.add(type).add(offset);
    ++n_tensors;
    return *this;
  }

  std::string build() const {
    std::string file =
        Bytes().text("GGUF").add(version).add(n_tensors).add(n_metadata).text(metadata_.str()).text(infos_.str()).str();
    if (data_.empty()) return file;
    file.resize((file.size() + alignment - 1) / alignment * alignment, '\0');
    return file + data_;
  }

  uint64_t n_tensors = 0;
  uint64_t n_metadata = 0;

 private:
  Bytes metadata_, infos_;
  std::string data_;
};

inline std::string safetensors(std::string_view header, std::string_view data) {
  return Bytes().string(header).text(data).str();
}

// n floats 1, 2, 3, … as bytes.
inline std::string floats(int n) {
  Bytes bytes;
  for (int i = 1; i <= n; ++i) bytes.add(static_cast<float>(i));
  return bytes.str();
}

// Calls `visit` with `count` copies of `file` in which a few bytes are changed, cut off or doubled; the same every
// time.
template <typename Visit>
void for_each_mutation(const std::string& file, int count, Visit visit) {
  uint64_t state = 88172645463325252u;  // xorshift64
  const auto random = [&](uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
  };
  static constexpr uint8_t kInteresting[] = {0, 1, 0x7f, 0x80, 0xff, 0x20};
  for (int i = 0; i < count; ++i) {
    std::string mutated = file;
    for (uint64_t n = 1 + random(4); n > 0; --n) {
      char& byte = mutated[random(mutated.size())];
      byte = static_cast<char>(random(2) == 0 ? kInteresting[random(std::size(kInteresting))] : random(256));
    }
    if (random(8) == 0) mutated.resize(1 + random(mutated.size()));
    if (random(16) == 0) mutated.insert(random(mutated.size()), mutated.substr(random(mutated.size()), 16));
    visit(mutated);
  }
}

}  // namespace orrery::testing
