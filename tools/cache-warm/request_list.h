// RequestList is what to warm, out of lists that people and scripts write:
//
//   8.8.8.8
//   2001:4860:4860::8888   # comments, blank lines, CRLF, a byte order mark: fine
//   192.0.2.0/28           every address of the block
//   /v1/users/7?full=1     a path with its query
//   https://example.com/a  the same of a URL, if it is of the site that the daemon answers for
//
// With a pattern that is not for addresses, what is neither path nor URL is a text for it, and a
// comment in its line begins with " #". What begins as XML does is a sitemap (sitemap.h).
//
// Each is kept once, whatever its spellings and the blocks that hold it, in the order of first
// mention. A line that is none of this is a problem with its place and reason; the
// other lines stay. A list that cannot be read, or is no UTF-8, or no sitemap though XML, is one
// problem of its own; the other lists stay. One thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <istream>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "site.h"
#include "target.h"

namespace holdfast::warm {

// In network order; IPv4 as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2).
using Address = std::array<std::uint8_t, 16>;

// The canonical text: the daemon's key.
std::string to_text(const Address& address);

class RequestList {
 public:
  struct Problem {
    std::string place;  // "file:line"
    std::string text;   // the line, shortened, control bytes escaped
    std::string reason;
  };

  RequestList(std::size_t most, Pattern pattern, Site site)
      : most_(most), pattern_(std::move(pattern)), site_(std::move(site)) {}

  struct Unread {
    std::string name;  // of the list
    std::string reason;
  };

  // Reads to the end of `in`. `name` is for problems. False if the requests got too many: the
  // last problem says where.
  bool read(std::istream& in, const std::string& name);
  // For a list that could not even be opened.
  void skip(const std::string& name, std::string reason);

  std::size_t size() const { return items_.size(); }
  // What the daemon is asked for.
  std::string target(std::size_t item) const;
  // What it is called towards people: the address, or else the target.
  std::string name(std::size_t item) const;
  bool is_address(std::size_t item) const { return !items_[item].path; }
  // How many are none.
  std::size_t paths() const { return paths_.size(); }
  std::size_t duplicates() const { return duplicates_; }
  // All counted, the first hundred kept.
  std::size_t problem_count() const { return problem_count_; }
  const std::vector<Problem>& problems() const { return problems_; }
  bool too_many() const { return too_many_; }
  // Lists of which nothing, or not all, was read.
  const std::vector<Unread>& unread() const { return unread_; }
  // Whether all of all lists was understood.
  bool is_whole() const { return problem_count_ == 0 && unread_.empty(); }

 private:
  struct Hash {
    std::size_t operator()(const Address& address) const {
      return std::hash<std::string_view>{}(
          {reinterpret_cast<const char*>(address.data()), address.size()});
    }
  };
  struct Place {
    const std::string& name;
    std::size_t line;
  };

  struct Item {
    Address address{};
    std::optional<std::uint32_t> path;  // of paths_, instead
  };

  bool take_sitemap(std::istream& in, std::string start, const std::string& name);
  bool take_line(std::string_view line, Place place);
  bool take_path(std::string_view text, Place place);
  bool take_text(std::string_view text, Place place);
  bool take_target(std::string_view text, Place place, base::Result<std::string> target);
  bool take_address(std::string_view text, Place place);
  bool take_block(std::string_view text, Place place);
  bool refuse_too_many(std::string_view text, Place place, std::string count);
  void add(const Address& address);
  void problem(std::string_view text, Place place, std::string reason);

  const std::size_t most_;
  const Pattern pattern_;
  const Site site_;
  std::vector<Item> items_;
  std::unordered_set<Address, Hash> seen_;
  std::deque<std::string> paths_;
  std::unordered_set<std::string_view> seen_paths_;  // views of paths_
  std::size_t duplicates_ = 0;
  std::vector<Problem> problems_;
  std::size_t problem_count_ = 0;
  std::vector<Unread> unread_;
  bool too_many_ = false;
};

}  // namespace holdfast::warm
