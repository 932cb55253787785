// The hosts file, as hosts(5) describes it: an address, a name, other names; # begins a
// comment. Read by us, since c-ares takes a family's absence in it for a reason to ask
// the name servers. Any thread; reads a small file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "upstream/name_source.h"

namespace holdfast::upstream {

// What a file was when it was last looked at; a file that is not there has one too.
class FileStamp {
 public:
  explicit FileStamp(std::string path) : path_(std::move(path)) {}
  const std::string& path() const { return path_; }
  // Whether it is another than at the last call; the first says yes.
  bool changed();

 private:
  struct What {
    long long device = 0, inode = 0, size = -1, seconds = 0, nanoseconds = 0;
    bool operator==(const What&) const = default;
  };
  std::string path_;
  std::optional<What> last_;
};

// Both families' addresses for the name, in the file's order. "localhost" has its own
// even where the file forgets it (RFC 6761, 6.3).
std::vector<std::string> addresses_in_hosts(std::string_view content, std::string_view name);

// Those of one family.
std::vector<std::string> of_family(const std::vector<std::string>& addresses, AddressFamily family);

}  // namespace holdfast::upstream
