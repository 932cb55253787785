#include "block.h"

#include "text.h"

namespace holdfast::flaky {
namespace {

constexpr unsigned kMappedBits = 96;  // what an IPv4 address has before it in Address

}  // namespace

base::Result<Block> Block::parse(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  const auto bad = [text] {
    return base::invalid_input("\"" + std::string(text) + "\" is no address and no CIDR block");
  };
  if (!address) return bad();
  Block block;
  block.first_ = *address;
  block.text_ = text;
  if (slash == std::string_view::npos) return block;
  const auto length = parse_count(text.substr(slash + 1));
  if (!length || *length > (address->is_v4 ? 32U : 128U)) return bad();
  block.bits_ = static_cast<unsigned>(*length) + (address->is_v4 ? kMappedBits : 0);
  return block;
}

bool Block::contains(const Address& address) const {
  if (address.is_v4 != first_.is_v4) return false;
  for (unsigned bit = 0; bit < bits_; bit += 8) {
    const unsigned left = bits_ - bit;
    const unsigned mask = left >= 8 ? 0xffU : 0xffU << (8 - left) & 0xffU;
    const auto at = bit / 8;
    if (((address.bytes[at] ^ first_.bytes[at]) & mask) != 0) return false;
  }
  return true;
}

}  // namespace holdfast::flaky
