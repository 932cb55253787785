#include "upstream/hosts_file.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/ascii.h"

namespace holdfast::upstream {
namespace {

constexpr std::string_view kBlanks = " \t\r\v\f";

// Takes the first word off the text; empty at its end.
std::string_view next_word(std::string_view& text) {
  const std::size_t start = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(start);
  const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
  text.remove_prefix(word.size());
  return word;
}

// Host names are ASCII here, so the locale has no say in this.
bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return base::ascii_lower(x) == base::ascii_lower(y); });
}

bool is_numeric(std::string_view word) {
  const std::string text(word);
  in6_addr bytes;
  return text.find('\0') == std::string::npos && (::inet_pton(AF_INET, text.c_str(), &bytes) == 1 ||
                                                  ::inet_pton(AF_INET6, text.c_str(), &bytes) == 1);
}

}  // namespace

bool FileStamp::changed() {
  What now;
  struct stat status = {};
  if (::stat(path_.c_str(), &status) == 0) {
    now = {static_cast<long long>(status.st_dev), static_cast<long long>(status.st_ino),
           status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }
  if (last_ == now) return false;
  last_ = now;
  return true;
}

std::vector<std::string> addresses_in_hosts(std::string_view content, std::string_view name) {
  if (name.size() > 1 && name.ends_with('.')) name.remove_suffix(1);
  std::vector<std::string> found;
  while (!content.empty()) {
    std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(line.size() + 1, content.size()));
    line = line.substr(0, line.find('#'));
    const std::string_view address = next_word(line);
    for (auto word = next_word(line); !word.empty(); word = next_word(line)) {
      if (!same_name(word, name)) continue;
      const bool known = std::find(found.begin(), found.end(), address) != found.end();
      if (!known && is_numeric(address)) found.emplace_back(address);
      break;
    }
  }
  if (found.empty() && same_name(name, "localhost")) return {"127.0.0.1", "::1"};
  return found;
}

std::vector<std::string> of_family(const std::vector<std::string>& addresses,
                                   AddressFamily family) {
  std::vector<std::string> those;
  std::copy_if(addresses.begin(), addresses.end(), std::back_inserter(those),
               [&](const std::string& address) {
                 const bool v6 = address.find(':') != std::string::npos;
                 return v6 == (family == AddressFamily::V6);
               });
  return those;
}

}  // namespace holdfast::upstream
