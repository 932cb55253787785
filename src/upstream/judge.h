// What a reply means: for the fetch (is it an answer, may we ask again?), and for
// what we know of the origin.
#pragma once

#include "upstream/fetcher.h"

namespace holdfast::upstream {

// `validate` is asked about a whole 2xx, 404 and 410 only; 204, 205 and 206 carry no complete
// representation and 304 answers conditional requests alone. `validate_large` is asked about a 2xx
// that is too large to be held, by its head; without one it is a failure.
Verdict judge(const Request& request, const Reply& reply,
              const std::function<Verdict(const Reply&)>& validate,
              const std::function<Verdict(const Reply&)>& validate_large = {});

// The same where any complete final status may be an answer: `validate` is asked about all that
// is_callers(), and what it says is the outcome. Without one, a failure is what says of itself that
// it is. What is too large to be held is an answer, Ok: whoever asked must ask for it again, in
// pieces.
Verdict judge_any(const Request& request, const Reply& reply,
                  const std::function<Verdict(const Reply&)>& validate);

// A whole message whose meaning the caller knows best: not a 304, which must confirm what was asked
// for, nor a 401 or 403 to our own token.
bool is_callers(const Reply& reply);

// A whole head, and more content than the limit.
bool is_too_large(const Reply& reply);

// The same of a probe whose target was set for that purpose: a 2xx without content is
// as good as any other.
Verdict judge_probe(const Request& request, const Reply& reply);

// The same of what was passed through: whatever it says is for the client, so that it is a failure
// where the upstream says itself that it is one.
Verdict judge_passed(const Reply& reply);

// An answer for the client, final: a valid 2xx, a 304, or a 4xx about the request.
bool is_answer(Outcome outcome);

// A complete message came, if only one that we do not take: a sign of life, whatever it says.
bool is_whole(const Reply& reply);

// All of a 2xx came, for certain, and its content is none: the caller's validator says so.
bool is_invalid(Outcome outcome, const Reply& reply);

// Somebody began to answer, or took the request at least, and then the connection was gone.
bool is_broken_off(const Reply& reply);

// Not now, it says, but later: a limit, or one key's trouble. Of a 503 nobody can tell whether it
// is a failure too.
bool is_refusal(Outcome outcome, const Reply& reply);

// Nobody was there to talk to.
bool is_connect_failure(Outcome outcome);

// What an outcome says about the origin's health. The client's bad input is a
// good sign; a refused token, a certificate that is not the origin's, a redirect or a rate
// limit is neither.
enum class Sign { Good, Bad, None };
Sign sign_of(Outcome outcome);

}  // namespace holdfast::upstream
