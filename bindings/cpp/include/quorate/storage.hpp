// quorate/storage.hpp - a store of the program's own, and the kit that tries it; included by quorate.hpp.
#pragma once

#include "quorate/hooks.hpp"

#include <functional>

namespace quorate {

// One record of the log. Lives as long as the callback that it came with.
class RecordView {
public:
    explicit RecordView(const quorate_record &r) : r_(&r) {}
    uint64_t index() const { return r_->index; }
    std::string_view data() const { return detail::text(r_->data); }

private:
    const quorate_record *r_;
};
using Records = View<quorate_record, RecordView>;

// The lowest and the highest index of a log; both 0 when it is empty.
struct Bounds {
    uint64_t first = 0, last = 0;
};

// A store for log and metadata. What it must keep: between two syncs a crash keeps a prefix of the calls of
// append and the truncations, in order, at least up to the last sync that returned. metadata_put is atomic,
// durable on return, and outside that order: a newer term or vote without the log is safe, the reverse is
// not. storage_check tries all of that; docs/storage.md says why.
//
// All run on the thread quorate-log, one call at a time, and may block: that delays entries and nothing else.
// The store is closed by its destructor. What they throw, or return as a Failure, stops the service for good,
// because what reached the disk is unknown; from open() it refuses the start, with the status of the Failure
// if that is LOCKED, CORRUPT, IDENTITY, VERSION or UNSUPPORTED, else with IO.
class Storage {
public:
    virtual ~Storage() = default;
    // Called first. The lowest and the highest index; what it finds counts as synced from then on.
    virtual Result<Bounds> open() = 0;
    // Adds records, at least one, without a gap after the last one; to an empty log at any index. May buffer.
    virtual Result<void> append(Records records) = 0;
    // Returns when everything before it would survive a power cut.
    virtual Result<void> sync() = 0;
    // Sets slot i to the record at first + i, up to `last`, both included; they exist, synced or not. May
    // stop early once max_bytes are set, but not before the first.
    virtual Result<void> read(uint64_t first, uint64_t last, size_t max_bytes, Output out) = 0;
    // Removes `first` and everything after it; durable by the next sync.
    virtual Result<void> truncate_suffix(uint64_t first) = 0;
    // Removes `last`, which may lie beyond the end, and everything before it; likewise.
    virtual Result<void> truncate_prefix(uint64_t last) = 0;
    // Sets slot 0 to the value, which may have no bytes; leaves it unset when there is none.
    virtual Result<void> metadata_get(const std::string &key, Output out) = 0;
    // Replaces one value, whole or not at all; durable on return.
    virtual Result<void> metadata_put(const std::string &key, std::string_view value) = 0;
};

namespace detail {
template <bool Catch>
quorate_storage table(std::shared_ptr<Storage> storage) {
    using S = Storage;
    quorate_storage t{};
    t.struct_size = sizeof t;
    t.open = [](void *c, uint64_t *first, uint64_t *last, quorate_error **err) noexcept {
        return guard<Catch>(err, [&]() -> Result<void> {
            auto bounds = hook<S>(c).open();
            if (!bounds) return Failure(bounds.error());
            *first = bounds->first, *last = bounds->last;
            return {};
        });
    };
    t.append = [](void *c, const quorate_record *r, size_t n, quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).append(Records(r, n)); });
    };
    t.sync = [](void *c, quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).sync(); });
    };
    t.read = [](void *c, uint64_t first, uint64_t last, size_t max_bytes, quorate_output *out,
                quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).read(first, last, max_bytes, Output(out)); });
    };
    t.truncate_suffix = [](void *c, uint64_t first, quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).truncate_suffix(first); });
    };
    t.truncate_prefix = [](void *c, uint64_t last, quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).truncate_prefix(last); });
    };
    t.metadata_get = [](void *c, const char *key, quorate_output *out, quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).metadata_get(key, Output(out)); });
    };
    t.metadata_put = [](void *c, const char *key, const void *data, size_t len,
                        quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<S>(c).metadata_put(key, text({data, len})); });
    };
    t.drop = [](void *c) noexcept { drop<S>(c); };
    t.ctx = share(std::move(storage));
    return t;
}
}  // namespace detail

// ---- The conformance kit ------------------------------------------------------------------------

// What a maker of stores is asked for: see QUORATE_STORAGE_NEW, _AGAIN, _CRASHED. Where there is no way
// to make what a crash would leave, return fail(QUORATE_ERR_UNSUPPORTED, "why").
enum class Make : int32_t {
    New = QUORATE_STORAGE_NEW,
    Again = QUORATE_STORAGE_AGAIN,
    Crashed = QUORATE_STORAGE_CRASHED
};
using StorageMaker = std::function<Result<std::shared_ptr<Storage>>(Make how)>;

struct StorageReport {
    size_t rules = 0;  // that hold
    std::string text;  // a line for each rule
};

namespace detail {
template <bool Catch>
quorate_status make_storage(void *ctx, int32_t how, quorate_storage *out, quorate_error **err) noexcept {
    return guard<Catch>(err, [&]() -> Result<void> {
        auto storage = (*static_cast<StorageMaker *>(ctx))(static_cast<Make>(how));
        if (!storage) return Failure(storage.error());
        if (!*storage) return fail("the maker returned an empty pointer");
        *out = table<Catch>(*std::move(storage));
        return {};
    });
}
}  // namespace detail

// Runs the kit that every built-in store passes on the stores that `make` returns. When a rule is broken
// the error's message names it, and the report follows in the same text.
template <bool Catch = QUORATE_CPP_EXCEPTIONS>
Result<StorageReport> storage_check(StorageMaker make) {
    if (!make) return fail(QUORATE_ERR_INVALID, "the maker of stores is empty");
    char *raw = nullptr;
    quorate_error *e = nullptr;
    auto status = quorate_storage_check(detail::make_storage<Catch>, &make, &raw, &e);
    detail::Owned<char> report(raw);
    std::string text = report ? report.get() : "";
    if (status >= 0) return StorageReport{static_cast<size_t>(status), std::move(text)};
    auto failure = detail::failure(status, e);
    return fail(status, failure.error.message() + (text.empty() ? "" : "\n" + text));
}

}  // namespace quorate
