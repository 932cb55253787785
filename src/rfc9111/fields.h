// The fields of a stored response: which are stored, how a newer answer updates them, which of them
// a 304 repeats (RFC 9111, 3.1 and 3.2; RFC 9110, 7.6.1 and 15.4.5). They are kept as lines,
// "Name: value\r\n" each, as they are sent. Pure functions; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "upstream/message.h"

namespace holdfast::rfc9111 {

// Fields that are about one connection or one proxy, by any letters' case: Connection, Keep-Alive,
// TE, Trailer, Transfer-Encoding, Upgrade, and all that begin with "Proxy-" and are known.
bool is_of_connection(std::string_view name);
// What the Connection lines name, in lower case.
std::vector<std::string> named_by_connection(const upstream::Fields& fields);

// All end-to-end fields as they came, in their order: without those of the connection, without
// Content-Length (whoever sends it frames it) and Age (whoever sends it knows it), and without
// those in `left_out` (in lower case). A field whose name is no token, or whose value has a control
// in it, could end its line, and is left out too.
std::string end_to_end_lines(const upstream::Fields& fields,
                             std::span<const std::string> left_out = {});

// An answer without Date gets one, of when it came (RFC 9110, 6.6.1).
void add_date_if_absent(std::string& lines, base::WallTime received);

// The reverse of end_to_end_lines().
upstream::Fields fields_of(std::string_view lines);
// The value of the first line of that name, a view of `lines`. Allocates nothing.
std::optional<std::string_view> find_line(std::string_view lines, std::string_view name);
// The values of all lines of that name, joined by ", " (RFC 9110, 5.3). Null if there is none.
std::optional<std::string> joined_lines(std::string_view lines, std::string_view name);
std::optional<std::string> joined_lines(const upstream::Fields& fields, std::string_view name);

// `stored_lines` after a 304, a HEAD's 200 or a newer 206 brought `update` (RFC 9111, 3.2): each
// field of the update replaces all lines of its name. But these stay as they were: what
// end_to_end_lines() would leave out, and what describes the bytes that are stored, which the
// update does not bring: Content-Encoding, Content-Range, Content-MD5, Content-Digest, Digest,
// Repr-Digest, and an ETag where there is one (what selected it compares equal, maybe weakly, and
// the content keeps its own name). A 304 speaks of those for its own empty content, or for other
// bytes than ours.
std::string merged(std::string_view stored_lines, const upstream::Fields& update,
                   std::span<const std::string> left_out = {});

// What a 304 that we make of it says (RFC 9110, 15.4.5): Cache-Control and targeted ones,
// Content-Location, Date, ETag, Expires, Vary; Last-Modified only without ETag; and what proxies on
// the way said, Via and Cache-Status.
std::string lines_for_304(std::string_view stored_lines);

}  // namespace holdfast::rfc9111
