// A reader that knows how many bytes were read through it, keys included. One thread.
#pragma once

#include "storage/engine.h"

namespace pbft::storage {

class CountingReader final : public Reader {
 public:
  explicit CountingReader(std::shared_ptr<const Reader> reader) : reader_(std::move(reader)) {}

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  [[nodiscard]] Result<std::optional<Bytes>> get(Family family, BytesView key) const override {
    auto value = reader_->get(family, key);
    if (value) count(key, *value);
    return value;
  }
  [[nodiscard]] Result<std::vector<std::optional<Bytes>>> get_many(Family family,
                                                                   const std::vector<BytesView>& keys) const override {
    auto values = reader_->get_many(family, keys);
    for (std::size_t i = 0; values && i < keys.size(); ++i) count(keys[i], (*values)[i]);
    return values;
  }
  [[nodiscard]] std::unique_ptr<Iterator> scan(Family family, BytesView from, BytesView to) const override {
    return std::make_unique<CountingIterator>(reader_->scan(family, from, to), bytes_);
  }

 private:
  class CountingIterator final : public Iterator {
   public:
    CountingIterator(std::unique_ptr<Iterator> iterator, std::uint64_t& bytes)
        : iterator_(std::move(iterator)), bytes_(bytes) {
      count();
    }
    [[nodiscard]] bool valid() const override { return iterator_->valid(); }
    void next() override {
      iterator_->next();
      count();
    }
    [[nodiscard]] BytesView key() const override { return iterator_->key(); }
    [[nodiscard]] BytesView value() const override { return iterator_->value(); }
    [[nodiscard]] Result<void> status() const override { return iterator_->status(); }

   private:
    void count() {
      if (valid()) bytes_ += key().size() + value().size();
    }
    std::unique_ptr<Iterator> iterator_;
    std::uint64_t& bytes_;
  };
  void count(BytesView key, const std::optional<Bytes>& value) const {
    bytes_ += key.size() + (value ? value->size() : 0);
  }

  std::shared_ptr<const Reader> reader_;
  mutable std::uint64_t bytes_ = 0;
};

}  // namespace pbft::storage
