// What the upstream said over one connection, read by the letter: RFC 9112 and nothing that
// other programs forgive, but for what it tells a recipient to mend (a line that ends with
// LF alone, 2.2; folded lines, 5.2; space before a field's colon, 5.1). An oracle for what
// was served: written to be plainly right, not to be quick. Shares no code with the daemon.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::fuzz {

struct StrictResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  std::string body;
};

// The final responses on a connection, in order, up to the first thing that is none. The
// last may be one whose content ends with the connection.
std::vector<StrictResponse> strict_responses(std::string_view said);

// Whether any of the lines called `name` (in lower case) has `word` in it as a token of its
// own, wherever in the line that is, but for another directive's argument in quotes.
bool says(const StrictResponse& response, std::string_view name, std::string_view word);

}  // namespace holdfast::fuzz
