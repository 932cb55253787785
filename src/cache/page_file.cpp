#include "cache/page_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace holdfast::cache::page {
namespace {

using Bytes = std::span<const unsigned char>;

constexpr std::size_t kPage = static_cast<std::size_t>(kPageBytes);
constexpr std::size_t kWalHeader = 32;
constexpr std::size_t kFrameHeader = 24;

std::uint64_t big_endian(Bytes bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8 | bytes[at + i];
  return value;
}

std::uint32_t word(Bytes bytes, std::size_t at, bool big) {
  auto value = static_cast<std::uint32_t>(big_endian(bytes, at, 4));
  return big ? value : __builtin_bswap32(value);
}

// The WAL's running checksum: pairs of words in the byte order its magic tells.
struct WalChecksum {
  bool big = false;
  std::uint32_t first = 0;
  std::uint32_t second = 0;

  void add(Bytes bytes) {
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      first += word(bytes, at, big) + second;
      second += word(bytes, at + 4, big) + first;
    }
  }
};

bool read_exactly(int fd, unsigned char* to, std::size_t size, std::int64_t offset) {
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got =
        ::pread(fd, to + done, size - done, offset + static_cast<std::int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

// Takes bytes off the front of a record; says once that they ran out.
class Cursor {
 public:
  explicit Cursor(Bytes bytes) : rest_(bytes) {}

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int i = 0; i < 9; ++i) {
      if (rest_.empty()) {
        failed_ = true;
        return 0;
      }
      const unsigned char byte = rest_[0];
      rest_ = rest_.subspan(1);
      if (i == 8) return value << 8 | byte;
      value = value << 7 | (byte & 0x7f);
      if (byte < 0x80) break;
    }
    return value;
  }
  Bytes take(std::uint64_t size) {
    if (size > rest_.size()) {
      failed_ = true;
      return {};
    }
    const Bytes taken = rest_.first(static_cast<std::size_t>(size));
    rest_ = rest_.subspan(static_cast<std::size_t>(size));
    return taken;
  }
  std::size_t left() const { return rest_.size(); }
  bool failed() const { return failed_; }

 private:
  Bytes rest_;
  bool failed_ = false;
};

Value decode(std::uint64_t type, Cursor& content) {
  Value value;
  if (type == 0) return value;
  if (type <= 6) {
    constexpr std::array<std::size_t, 7> kSizes{0, 1, 2, 3, 4, 6, 8};
    const std::size_t size = kSizes[type];
    const Bytes bytes = content.take(size);
    if (content.failed()) return value;
    const std::uint64_t raw = big_endian(bytes, 0, size);
    const unsigned shift = static_cast<unsigned>(64 - 8 * size);
    value.kind = Value::Kind::Integer;
    value.integer = static_cast<std::int64_t>(raw << shift) >> shift;  // with its sign
    return value;
  }
  if (type == 8 || type == 9) {
    value.kind = Value::Kind::Integer;
    value.integer = type == 9;
    return value;
  }
  const bool text = type >= 13 && type % 2 == 1;
  value.kind = text ? Value::Kind::Text : Value::Kind::Other;
  const std::uint64_t size = type == 7 ? 8 : type < 12 ? 0 : (type - (text ? 13 : 12)) / 2;
  const Bytes bytes = content.take(size);
  if (text) value.text = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  return value;
}

// The record's columns, or none if it does not decode to the last byte.
bool decode_record(Bytes record, std::vector<Value>& columns) {
  columns.clear();
  Cursor start(record);
  const std::uint64_t header_size = start.varint();
  const std::size_t prefix = record.size() - start.left();
  if (start.failed() || header_size < prefix || header_size > record.size()) return false;
  Cursor types(record.subspan(prefix, static_cast<std::size_t>(header_size) - prefix));
  Cursor content(record.subspan(static_cast<std::size_t>(header_size)));
  while (types.left() > 0) {
    const std::uint64_t type = types.varint();
    if (types.failed() || columns.size() == 64) return false;
    columns.push_back(decode(type, content));
    if (content.failed()) return false;
  }
  return content.left() == 0;
}

// The cell's record, put together from its overflow pages. Null: it leads nowhere.
std::optional<std::vector<unsigned char>> payload_of(const File& file, Cursor& cell,
                                                     std::uint64_t size) {
  // The format's rule for how much of a table's cell stays in the leaf.
  constexpr std::uint64_t kMost = kPage - 35;
  constexpr std::uint64_t kLeast = (kPage - 12) * 32 / 255 - 23;
  std::uint64_t local = size;
  if (size > kMost) {
    const std::uint64_t fits = kLeast + (size - kLeast) % (kPage - 4);
    local = fits <= kMost ? fits : kLeast;
  }
  const Bytes start = cell.take(local);
  if (cell.failed()) return std::nullopt;
  std::vector<unsigned char> payload(start.begin(), start.end());
  if (local == size) return payload;
  const Bytes next = cell.take(4);
  if (cell.failed()) return std::nullopt;
  auto number = static_cast<std::uint32_t>(big_endian(next, 0, 4));
  Page page;
  while (payload.size() < size) {
    if (number == 0 || number > file.pages() || !file.read(number, page)) return std::nullopt;
    number = static_cast<std::uint32_t>(big_endian(page, 0, 4));
    const std::size_t part = std::min<std::size_t>(kPage - 4, size - payload.size());
    payload.insert(payload.end(), page.begin() + 4,
                   page.begin() + 4 + static_cast<std::ptrdiff_t>(part));
  }
  return payload;
}

}  // namespace

base::Result<Files> open_files(const std::string& path) {
  Files files;
  files.database.reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!files.database) {
    return base::internal_error(
        base::ErrorKind::Io, "cannot open " + path + ": " + std::generic_category().message(errno));
  }
  files.wal.reset(::open((path + "-wal").c_str(), O_RDONLY | O_CLOEXEC));
  return files;
}

base::Result<File> File::of(Files files) {
  File file;
  file.file_ = std::move(files.database);
  file.wal_ = std::move(files.wal);
  struct stat info = {};
  if (::fstat(file.file_.get(), &info) != 0) {
    return base::internal_error(base::ErrorKind::Io,
                                "cannot read it: " + std::generic_category().message(errno));
  }
  const auto pages = (info.st_size + kPageBytes - 1) / kPageBytes;
  file.pages_ = static_cast<std::uint32_t>(std::min<std::int64_t>(pages, 0xffff'fffe));
  file.read_wal();
  return file;
}

void File::read_wal() {
  std::array<unsigned char, kWalHeader> header;
  if (!wal_ || !read_exactly(wal_.get(), header.data(), header.size(), 0)) return;
  const auto magic = static_cast<std::uint32_t>(big_endian(header, 0, 4));
  if ((magic | 1) != 0x377f'0683) return;
  WalChecksum sum{.big = (magic & 1) != 0};
  sum.add(Bytes(header).first(24));
  if (sum.first != big_endian(header, 24, 4) || sum.second != big_endian(header, 28, 4) ||
      big_endian(header, 8, 4) != kPage) {
    return;
  }
  std::unordered_map<std::uint32_t, std::int64_t> transaction;
  std::array<unsigned char, kFrameHeader + kPage> frame;
  for (std::int64_t at = kWalHeader; read_exactly(wal_.get(), frame.data(), frame.size(), at);
       at += static_cast<std::int64_t>(frame.size())) {
    const bool same_salt = std::equal(frame.begin() + 8, frame.begin() + 16, header.begin() + 16);
    sum.add(Bytes(frame).first(8));
    sum.add(Bytes(frame).subspan(kFrameHeader));
    if (!same_salt || sum.first != big_endian(frame, 16, 4) ||
        sum.second != big_endian(frame, 20, 4)) {
      return;
    }
    const auto number = static_cast<std::uint32_t>(big_endian(frame, 0, 4));
    transaction[number] = at + static_cast<std::int64_t>(kFrameHeader);
    if (big_endian(frame, 4, 4) == 0) continue;  // not the last of its transaction
    for (const auto& [page, offset] : transaction) {
      wal_offsets_[page] = offset;
      pages_ = std::max(pages_, page);
    }
    transaction.clear();
  }
}

bool File::read(std::uint32_t number, Page& page) const {
  if (const auto found = wal_offsets_.find(number); found != wal_offsets_.end()) {
    return read_exactly(wal_.get(), page.data(), page.size(), found->second);
  }
  const std::int64_t start = (std::int64_t{number} - 1) * kPageBytes;
  std::size_t done = 0;
  while (done < page.size()) {
    const ssize_t got = ::pread(file_.get(), page.data() + done, page.size() - done,
                                start + static_cast<std::int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  std::fill(page.begin() + static_cast<std::ptrdiff_t>(done), page.end(),
            static_cast<unsigned char>(0));
  return true;
}

void for_each_record(
    const File& file, std::uint32_t number,
    const std::function<bool(std::int64_t rowid, const std::vector<Value>& columns)>& visit) {
  constexpr unsigned char kTableLeaf = 0x0d;
  Page page;
  if (!file.read(number, page)) return;
  const std::size_t header = number == 1 ? 100 : 0;
  if (page[header] != kTableLeaf) return;
  const std::size_t cells = big_endian(page, header + 3, 2);
  const std::size_t first = header + 8;
  if (first + 2 * cells > kPage) return;
  // A damaged length may say anything, and a damaged chain may be a circle.
  const std::uint64_t most_payload = std::uint64_t{file.pages()} * kPage;
  std::vector<Value> columns;
  for (std::size_t i = 0; i < cells; ++i) {
    const std::size_t at = big_endian(page, first + 2 * i, 2);
    if (at < first + 2 * cells || at >= kPage) continue;
    Cursor cell(Bytes(page).subspan(at));
    const std::uint64_t size = cell.varint();
    const auto rowid = static_cast<std::int64_t>(cell.varint());
    if (cell.failed() || size > most_payload) continue;
    const auto payload = payload_of(file, cell, size);
    if (payload && decode_record(*payload, columns) && !visit(rowid, columns)) return;
  }
}

}  // namespace holdfast::cache::page
