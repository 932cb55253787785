// NoStore stands where a Store is expected and keeps nothing: for a daemon that
// was told to live from memory alone. Any thread.
#pragma once

#include "cache/store.h"

namespace holdfast::cache {

class NoStore final : public Store {
 public:
  base::Result<StoredPtr> find(std::string_view) override { return nullptr; }
  bool put(std::string_view, StoredPtr) override { return false; }
  void erase(std::string_view) override {}
  void erase_all() override {}
  void used(std::string_view) override {}
  void load_recent(std::function<bool(std::string_view, StoredPtr)>) override {}
  void flush() override {}
  StoreStatus status() const override {
    StoreStatus status;
    status.reason = "switched off by STORE_PATH";
    return status;
  }
};

}  // namespace holdfast::cache
