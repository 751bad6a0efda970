// quorate/entry.hpp - entries, as callbacks get them and as programs propose them; included by quorate.hpp.
#pragma once

#include "quorate/types.hpp"

#include <cstddef>
#include <initializer_list>
#include <iterator>

namespace quorate {

// A borrowed row of C structures, each seen as a T.
template <class Raw, class T>
class View {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using difference_type = std::ptrdiff_t;
        using value_type = T;
        using pointer = void;
        using reference = T;
        iterator() = default;
        explicit iterator(const Raw *at) : at_(at) {}
        T operator*() const { return T(*at_); }
        iterator &operator++() { return ++at_, *this; }
        iterator operator++(int) { return iterator(at_++); }
        friend bool operator==(iterator a, iterator b) { return a.at_ == b.at_; }
        friend bool operator!=(iterator a, iterator b) { return a.at_ != b.at_; }

    private:
        const Raw *at_ = nullptr;
    };
    View(const Raw *first, size_t n) : first_(first), n_(n) {}
    size_t size() const { return n_; }
    bool empty() const { return n_ == 0; }
    T operator[](size_t i) const { return T(first_[i]); }
    iterator begin() const { return iterator(first_); }
    iterator end() const { return iterator(first_ + n_); }

private:
    const Raw *first_;
    size_t n_;
};

// An entry of the log. Lives as long as the callback that it came with.
class EntryView {
public:
    explicit EntryView(const quorate_entry &e) : e_(&e) {}
    uint64_t index() const { return e_->index; }
    uint64_t term() const { return e_->term; }
    int32_t type() const { return e_->type; }
    std::chrono::nanoseconds timestamp() const { return std::chrono::nanoseconds(e_->timestamp_ns); }
    std::string_view data() const { return detail::text(e_->data); }
    std::vector<std::string_view> tags() const {
        std::vector<std::string_view> all;
        for (uint32_t i = 0; i < e_->tags_len; i++) all.push_back(detail::text(e_->tags[i]));
        return all;
    }

private:
    const quorate_entry *e_;
};
using Entries = View<quorate_entry, EntryView>;

// A change to propose. It borrows data and tags: make it in the call that takes it.
class Entry {
public:
    template <class S, class = std::enable_if_t<std::is_convertible_v<const S &, std::string_view>>>
    Entry(const S &data) {
        e_.data = detail::bytes(std::string_view(data));
    }
    Entry &type(int32_t t) {
        e_.type = t;
        return *this;
    }
    Entry &timestamp(std::chrono::nanoseconds unix_time) {
        e_.timestamp_ns = unix_time.count();
        return *this;
    }
    template <class Texts = std::initializer_list<std::string_view>>
    Entry &tags(const Texts &all) {
        tags_.clear();
        for (auto &t : all) tags_.push_back(detail::bytes(std::string_view(t)));
        return *this;
    }
    quorate_entry capi() const {  // valid while this entry is
        quorate_entry e = e_;
        e.tags = tags_.data();
        e.tags_len = static_cast<uint32_t>(tags_.size());
        return e;
    }

private:
    quorate_entry e_ = QUORATE_ENTRY_INIT;
    std::vector<quorate_bytes> tags_;
};

}  // namespace quorate
