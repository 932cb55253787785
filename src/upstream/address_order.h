// In which order to try a name's addresses: RFC 6724 decides between them by the source
// address that the system would use for each, then RFC 8305 has the families take turns,
// so that the second attempt already goes to the other family.
//
// Not of RFC 6724: deprecated and home addresses (rules 3, 4), native transport (rule 7),
// and the policy table is the standard's, /etc/gai.conf is not read. Any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::upstream {

// The source address for a destination; none if there is no route to it.
using SourceOf = std::function<std::optional<std::string>(const std::string& address)>;

// Most preferred first; equals keep the order they came in. Those without a route are left
// out where others have one, or an attempt would be spent on each. So are repetitions,
// and what is no address.
std::vector<std::string> in_order(const std::vector<std::string>& addresses,
                                  const SourceOf& source_of);

// Asks the system, by connecting a UDP socket: nothing is sent, nothing waits.
std::optional<std::string> system_source_of(const std::string& address);

}  // namespace holdfast::upstream
