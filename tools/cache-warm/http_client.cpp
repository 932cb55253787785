#include "http_client.h"

#include <curl/curl.h>
#include <strings.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <unordered_map>

namespace holdfast::warm {
namespace {

constexpr std::string_view kCacheStatus = "cache-status:";
// A daemon on this host answers a connect at once or not at all.
constexpr long kConnectTimeoutMs = 5000;

struct Transfer {
  CURL* handle = nullptr;
  curl_slist* fields = nullptr;
  std::uint64_t tag = 0;
  Reply reply;

  Transfer() : handle(curl_easy_init()) {
    if (!handle) throw std::runtime_error("curl_easy_init failed");
  }
  ~Transfer() {
    curl_easy_cleanup(handle);
    curl_slist_free_all(fields);
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
};

// The content is the daemon's business; it is read only so that the connection
// can be used again and a cut one is noticed.
std::size_t drop(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

std::size_t take_field(char* data, std::size_t size, std::size_t count, void* self) {
  std::string_view line(data, size * count);
  Reply& reply = static_cast<Transfer*>(self)->reply;
  if (line.size() > kCacheStatus.size() &&
      strncasecmp(line.data(), kCacheStatus.data(), kCacheStatus.size()) == 0) {
    line.remove_prefix(kCacheStatus.size());
    while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
    if (!reply.cache_status.empty()) reply.cache_status += ", ";
    reply.cache_status += line;
  }
  return size * count;
}

void take_end(Transfer& transfer, CURLcode code) {
  Reply& reply = transfer.reply;
  if (code != CURLE_OK) {
    reply.unreachable = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
    reply.error = curl_easy_strerror(code);
    long number = 0;
    if (reply.unreachable &&
        curl_easy_getinfo(transfer.handle, CURLINFO_OS_ERRNO, &number) == CURLE_OK && number != 0) {
      reply.error += std::string(" (") + strerror(static_cast<int>(number)) + ")";
    }
    return;
  }
  long status = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RESPONSE_CODE, &status);
  reply.status = static_cast<int>(status);
  curl_off_t seconds = 0;
  curl_easy_getinfo(transfer.handle, CURLINFO_RETRY_AFTER, &seconds);
  reply.retry_after = std::chrono::seconds(seconds);
}

}  // namespace

struct HttpClient::Impl {
  Impl(std::string url, std::string host_to_send)
      : base_url(std::move(url)), host(std::move(host_to_send)), multi(curl_multi_init()) {
    if (!multi) throw std::runtime_error("curl_multi_init failed");
  }
  ~Impl() {
    for (const auto& [handle, transfer] : running) curl_multi_remove_handle(multi, handle);
    running.clear();
    idle.clear();
    curl_multi_cleanup(multi);
  }

  void set_up(Transfer& transfer, const std::string& path, const std::string& cache_control,
              base::Duration timeout) {
    CURL* const handle = transfer.handle;
    curl_easy_reset(handle);
    curl_slist_free_all(transfer.fields);
    transfer.fields = nullptr;
    transfer.reply = {};
    const auto add = [&](const std::string& line) {
      curl_slist* const longer = curl_slist_append(transfer.fields, line.c_str());
      if (!longer) throw std::runtime_error("out of memory");
      transfer.fields = longer;
    };
    if (!host.empty()) add("Host: " + host);
    if (!cache_control.empty()) add("Cache-Control: " + cache_control);
    curl_easy_setopt(handle, CURLOPT_URL, (base_url + path).c_str());
    curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROXY, "");
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "cache-warm/" CACHE_WARM_VERSION);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
    curl_easy_setopt(
        handle, CURLOPT_TIMEOUT_MS,
        static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, transfer.fields);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_field);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &transfer);
  }

  const std::string base_url;
  const std::string host;
  CURLM* const multi;
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> running;
  std::vector<std::unique_ptr<Transfer>> idle;
};

HttpClient::HttpClient(std::string base_url, std::string host)
    : impl_(std::make_unique<Impl>(std::move(base_url), std::move(host))) {}
HttpClient::~HttpClient() = default;

void HttpClient::start(std::uint64_t tag, const std::string& path, const std::string& cache_control,
                       base::Duration timeout) {
  std::unique_ptr<Transfer> transfer;
  if (impl_->idle.empty()) {
    transfer = std::make_unique<Transfer>();
  } else {
    transfer = std::move(impl_->idle.back());
    impl_->idle.pop_back();
  }
  transfer->tag = tag;
  impl_->set_up(*transfer, path, cache_control, timeout);
  CURL* const handle = transfer->handle;
  if (curl_multi_add_handle(impl_->multi, handle) != CURLM_OK) {
    throw std::runtime_error("curl_multi_add_handle failed");
  }
  impl_->running.emplace(handle, std::move(transfer));
}

std::vector<HttpClient::Ended> HttpClient::wait(base::Duration most, int interrupt_fd) {
  const auto collect = [this] {
    std::vector<Ended> ended;
    int active = 0;
    curl_multi_perform(impl_->multi, &active);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(impl_->multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const CURLcode code = message->data.result;
      const auto found = impl_->running.find(message->easy_handle);
      std::unique_ptr<Transfer> transfer = std::move(found->second);
      impl_->running.erase(found);
      take_end(*transfer, code);
      curl_multi_remove_handle(impl_->multi, transfer->handle);
      ended.push_back({transfer->tag, std::move(transfer->reply)});
      impl_->idle.push_back(std::move(transfer));
    }
    return ended;
  };
  if (auto ended = collect(); !ended.empty()) return ended;
  curl_waitfd interrupt{interrupt_fd, CURL_WAIT_POLLIN, 0};
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(most).count();
  curl_multi_poll(impl_->multi, &interrupt, 1,
                  static_cast<int>(std::clamp<std::int64_t>(milliseconds, 0, 60'000)), nullptr);
  return collect();
}

std::size_t HttpClient::running() const {
  return impl_->running.size();
}

}  // namespace holdfast::warm
