// Runs a fuzz target over the files and folders named on the command line, with
// any compiler: how `meson test` replays the corpora. With libFuzzer its own
// main takes this one's place.
// --prefixes N: of each file so many are tried as well, at most; 512 without.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// From its own allocation of just that size, so that the address sanitizer sees
// a read beyond its end. Also every prefix: truncation is the usual surprise.
void replay(const std::filesystem::path& file, std::size_t prefixes) {
  std::ifstream in(file, std::ios::binary);
  const std::vector<char> bytes(std::istreambuf_iterator<char>(in), {});
  const std::size_t step = 1 + bytes.size() / prefixes;
  for (std::size_t size = bytes.size();; size -= step) {
    const std::vector<std::uint8_t> prefix(bytes.begin(),
                                           bytes.begin() + static_cast<std::ptrdiff_t>(size));
    LLVMFuzzerTestOneInput(prefix.data(), prefix.size());
    if (size < step) break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t files = 0, prefixes = 512;
  for (int i = 1; i < argc; ++i) {
    if (i + 1 < argc && std::string_view(argv[i]) == "--prefixes") {
      prefixes = std::strtoul(argv[++i], nullptr, 10);
      if (prefixes == 0) return 2;
      continue;
    }
    if (!std::filesystem::is_directory(argv[i])) {
      replay(argv[i], prefixes);
      ++files;
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      replay(entry.path(), prefixes);
      ++files;
    }
  }
  std::printf("%zu inputs replayed\n", files);
  return files > 0 ? 0 : 1;  // an empty corpus proves nothing
}
