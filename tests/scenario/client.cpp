#include "client.h"

#include <curl/curl.h>
#include <strings.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>

namespace holdfast::scenario {
namespace {

constexpr long kTimeoutSeconds = 60;

struct Transfer {
  CURL* handle = nullptr;
  curl_slist* fields = nullptr;
  Response* response = nullptr;

  ~Transfer() {
    curl_easy_cleanup(handle);
    curl_slist_free_all(fields);
  }
};

std::size_t append(char* data, std::size_t size, std::size_t count, void* text) {
  static_cast<std::string*>(text)->append(data, size * count);
  return size * count;
}

std::unique_ptr<Transfer> prepare(const Query& query, Response& response) {
  auto transfer = std::make_unique<Transfer>();
  transfer->response = &response;
  transfer->handle = curl_easy_init();
  if (!transfer->handle) throw std::runtime_error("curl_easy_init failed");
  CURL* const handle = transfer->handle;
  curl_easy_setopt(handle, CURLOPT_URL, query.url.c_str());
  curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
  if (!query.unix_socket.empty()) {
    curl_easy_setopt(handle, CURLOPT_UNIX_SOCKET_PATH, query.unix_socket.c_str());
  }
  curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(handle, CURLOPT_PROXY, "");
  curl_easy_setopt(handle, CURLOPT_TIMEOUT, kTimeoutSeconds);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &response.body);
  curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, append);
  curl_easy_setopt(handle, CURLOPT_HEADERDATA, &response.head);
  if (query.method == "HEAD") {
    curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
  } else if (query.method != "GET") {
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, query.method.c_str());
  }
  if (!query.body.empty()) {
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(query.body.size()));
    curl_easy_setopt(handle, CURLOPT_COPYPOSTFIELDS, query.body.c_str());
    if (query.method != "POST") {
      curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, query.method.c_str());
    }
  }
  for (const std::string& field : query.fields) {
    transfer->fields = curl_slist_append(transfer->fields, field.c_str());
  }
  curl_easy_setopt(handle, CURLOPT_HTTPHEADER, transfer->fields);
  return transfer;
}

void take_result(Transfer& transfer, CURLcode code) {
  Response& response = *transfer.response;
  double seconds = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_TOTAL_TIME, &seconds);
  response.duration = std::chrono::duration<double>(seconds);
  response.answered_at = std::chrono::steady_clock::now();
  if (code != CURLE_OK) {
    response.error = curl_easy_strerror(code);
    return;
  }
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
}

// Transfers under way, each for a query's response.
class Transfers {
 public:
  ~Transfers() {
    for (const auto& [handle, transfer] : running_) curl_multi_remove_handle(multi_, handle);
    running_.clear();
    curl_multi_cleanup(multi_);
  }

  std::size_t size() const { return running_.size(); }

  void start(const Query& query, Response& response) {
    auto transfer = prepare(query, response);
    curl_multi_add_handle(multi_, transfer->handle);
    running_.emplace(transfer->handle, std::move(transfer));
  }

  // Takes what has arrived; if nothing has ended, waits for more, so long at most.
  void progress(std::chrono::milliseconds longest) {
    int active = 0;
    curl_multi_perform(multi_, &active);
    int left = 0;
    bool finished = false;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto found = running_.find(message->easy_handle);
      take_result(*found->second, message->data.result);
      curl_multi_remove_handle(multi_, found->first);
      running_.erase(found);
      finished = true;
    }
    if (!finished) curl_multi_poll(multi_, nullptr, 0, static_cast<int>(longest.count()), nullptr);
  }

 private:
  CURLM* multi_ = curl_multi_init();
  std::map<CURL*, std::unique_ptr<Transfer>> running_;
};

}  // namespace

std::string Response::field(std::string_view name) const {
  for (std::size_t at = 0; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string_view line = std::string_view(head).substr(at, end - at);
    const std::size_t colon = line.find(':');
    if (colon == name.size() && strncasecmp(line.data(), name.data(), colon) == 0) {
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      return std::string(value == line.npos ? "" : line.substr(value));
    }
    if (end == std::string::npos) break;
    at = end + 2;
  }
  return "";
}

namespace {

long number_behind(const std::string& text, std::string_view name) {
  const std::size_t at = text.find(name);
  if (at == std::string::npos) throw std::runtime_error(std::string(name) + " not in: " + text);
  return std::stol(text.substr(at + name.size()));
}

}  // namespace

long seconds_left(const Response& response) {
  return number_behind(response.field("Cache-Control"), "max-age=") -
         number_behind(response.field("Age"), "");
}

long stated_ttl(const Response& response) {
  return number_behind(response.field("Cache-Status"), "; ttl=");
}

Response ask(const Query& query) {
  Response response;
  const auto transfer = prepare(query, response);
  take_result(*transfer, curl_easy_perform(transfer->handle));
  return response;
}

std::vector<Response> ask_all(const std::vector<Query>& queries, std::size_t concurrency) {
  std::vector<Response> responses(queries.size());
  Transfers transfers;
  std::size_t next = 0;
  while (next < queries.size() || transfers.size() > 0) {
    while (next < queries.size() && transfers.size() < concurrency) {
      transfers.start(queries[next], responses[next]);
      ++next;
    }
    transfers.progress(std::chrono::seconds(1));
  }
  return responses;
}

std::vector<Response> ask_at_rate(const std::vector<Query>& queries, double per_second,
                                  const std::function<void(std::size_t)>& before) {
  using Clock = std::chrono::steady_clock;
  std::vector<Response> responses(queries.size());
  Transfers transfers;
  const Clock::time_point begun = Clock::now();
  std::size_t next = 0;
  while (next < queries.size() || transfers.size() > 0) {
    auto longest = std::chrono::milliseconds(1000);
    while (next < queries.size()) {
      const std::chrono::duration<double> due(static_cast<double>(next) / per_second);
      const auto left = due - (Clock::now() - begun);
      if (left.count() > 0) {
        longest = std::min(longest, std::chrono::ceil<std::chrono::milliseconds>(left));
        break;
      }
      if (before) before(next);
      transfers.start(queries[next], responses[next]);
      ++next;
    }
    transfers.progress(longest);
  }
  return responses;
}

}  // namespace holdfast::scenario
