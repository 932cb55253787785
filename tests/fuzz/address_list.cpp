// Lists of addresses, which people and scripts write. Promises: whatever the
// bytes and however they arrive, the limit holds, no address is kept twice, each
// is a key of the daemon's, and a list of what was read is read the same.
#include "address_list.h"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>

#include "proxy/ip_address.h"
#include "require.h"

using namespace holdfast;
using namespace holdfast::warm;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 65536) return 0;
  constexpr std::size_t kMost = 600;
  std::istringstream in(std::string(reinterpret_cast<const char*>(data), size));
  AddressList list(kMost);
  const bool ok = list.read(in, "input");
  REQUIRE_HOLDS(ok != list.too_many());
  REQUIRE_HOLDS(list.addresses().size() <= kMost);
  REQUIRE_HOLDS(list.problems().size() <= list.problem_count());
  REQUIRE_HOLDS(ok || !list.problems().empty());

  std::string written;
  for (const Address& address : list.addresses()) {
    const std::string text = to_text(address);
    const auto key = proxy::canonical_ip(text);
    REQUIRE_HOLDS(key && key->view() == text);
    written += text + "\n";
  }
  auto sorted = list.addresses();
  std::sort(sorted.begin(), sorted.end());
  REQUIRE_HOLDS(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());

  std::istringstream again(written);
  AddressList same(kMost);
  REQUIRE_HOLDS(same.read(again, "again"));
  REQUIRE_HOLDS(same.addresses() == list.addresses());
  REQUIRE_HOLDS(same.duplicates() == 0 && same.problem_count() == 0);
  return 0;
}
