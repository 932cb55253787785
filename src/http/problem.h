// application/problem+json (RFC 9457), the content of every error we answer.
#pragma once

#include <string>
#include <string_view>

namespace holdfast::http {

// {"type":"about:blank","title":...,"status":...,"detail":...,"error":...}: `title`
// is the status's reason phrase; `error` is `detail` again, under the name the
// original service used. Any byte is safe in `detail`.
std::string problem_json(int status, std::string_view detail);

inline constexpr std::string_view kProblemFields =
    "Content-Type: application/problem+json\r\nCache-Control: no-store\r\n";

// "Not Found"; "Unknown" for a status this program never sends.
std::string_view reason_phrase(int status);

}  // namespace holdfast::http
