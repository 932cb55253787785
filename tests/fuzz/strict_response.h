// What the upstream said over one connection, read by the letter: RFC 9112 and nothing that
// other programs forgive, but for what it tells a recipient to mend (a line that ends with
// LF alone, 2.2; folded lines, 5.2; space before a field's colon, 5.1; space after a chunk's
// size, 7.1.1; what comes unasked, 9.2). An oracle for what was served: written to be plainly
// right, not to be quick. Shares no code with the daemon.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conversation.h"

namespace holdfast::fuzz {

struct StrictResponse {
  int attempt = 0;  // whose request it answers
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  std::string body;                                         // without its codings
};

// The final responses on a connection, one for each request, up to the first that is none.
// Nothing of a response was said before its request came. The last may be one whose content
// ends with the connection.
std::vector<StrictResponse> strict_responses(const Said& said);

// Whether any of the lines called `name` (in lower case) has `word`, maybe with an argument, in
// it as a token of its own, wherever in the line that is, but for another directive's argument:
// one by the letter, or in quotes.
bool says(const StrictResponse& response, std::string_view name, std::string_view word);

}  // namespace holdfast::fuzz
