#include "upstream/curl_outcome.h"

#include <cerrno>
#include <system_error>

#include "base/unique_fd.h"
#include "upstream/trust_store.h"

namespace holdfast::upstream {
namespace {

// Before the request was sent.
Outcome outcome_of_set_up(const Ending& ending) {
  const bool connecting = ending.phase == Phase::Connect;
  switch (ending.code) {
    case CURLE_OPERATION_TIMEDOUT:
      return connecting ? Outcome::ConnectTimeout : Outcome::TlsTimeout;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Outcome::Dns;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
      return Outcome::Certificate;
    default:
      if (!connecting) return Outcome::Tls;
      return ending.error == ETIMEDOUT ? Outcome::ConnectTimeout : Outcome::Connect;
  }
}

}  // namespace

std::optional<base::Resource> resource_lacking(int error, const sockaddr* to, socklen_t size) {
  const auto lack = base::resource_lacking(error);
  if (lack != base::Resource::Ports) return lack;
  // Of UDP, whose ports are others: nothing is sent.
  const base::UniqueFd probe(::socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const bool has_address = probe && ::connect(probe.get(), to, size) == 0;
  return has_address ? lack : std::nullopt;
}

Outcome outcome_of(const Ending& ending) {
  if (ending.code != CURLE_OK && ending.lacking) return Outcome::Local;
  if (ending.over_limit) return Outcome::TooLarge;
  if (ending.code != CURLE_OK && ending.phase != Phase::Answer) return outcome_of_set_up(ending);
  switch (ending.code) {
    // libcurl calls it a success when the connection ends inside the head.
    case CURLE_OK:
      return ending.whole_head || ending.knock ? Outcome::Ok : Outcome::Reset;
    case CURLE_OPERATION_TIMEDOUT:
      return Outcome::Timeout;
    case CURLE_PARTIAL_FILE:
      return Outcome::Truncated;
    case CURLE_FILESIZE_EXCEEDED:
      return Outcome::TooLarge;
    default:
      if (ending.whole_head) return Outcome::Truncated;
      // The kernel gave up: nobody acknowledged what we sent.
      return ending.error == ETIMEDOUT ? Outcome::Timeout : Outcome::Reset;
  }
}

std::string detail_of(const Ending& ending, Outcome outcome) {
  if (ending.code == CURLE_OK) {
    return outcome == Outcome::Reset ? "the connection ended inside the head" : "";
  }
  std::string problem = certificate_problem(ending.verify_result);
  if (outcome == Outcome::Certificate && !problem.empty()) return problem;
  std::string words = ending.words[0] != '\0' ? ending.words : curl_easy_strerror(ending.code);
  // libcurl's own check; with the verify result in order it says "no alternative certificate
  // subject name matches target host name 'api.example'", or that ours is refused.
  if (outcome == Outcome::Certificate && words.find("subject") != std::string::npos) {
    return "the upstream's certificate is another host's: " + words;
  }
  if (ending.code == CURLE_SSL_CLIENTCERT)
    words = "the upstream wants a certificate of us: " + words;
  const bool connecting = outcome == Outcome::Connect || outcome == Outcome::ConnectTimeout ||
                          outcome == Outcome::Local;
  // libcurl itself says no more than that it could not.
  if (connecting && ending.error != 0) {
    words += " (";
    words += std::generic_category().message(ending.error);
    words += ')';
  }
  return words;
}

}  // namespace holdfast::upstream
