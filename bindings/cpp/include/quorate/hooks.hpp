// quorate/hooks.hpp - what a program derives from, and the C tables made of it; included by quorate.hpp.
#pragma once

#include "quorate/entry.hpp"

namespace quorate {

// What a state machine holds durably; term and cluster may be 0, then they are not checked.
struct Applied {
    uint64_t index = 0, term = 0, cluster_id = 0;
};

// The slots that a callback fills; valid until it returns.
class Output {
public:
    explicit Output(quorate_output *o) : o_(o) {}
    Result<void> set(size_t slot, std::string_view value) {  // copies; a slot never set is absent
        quorate_bytes b = {value.data() ? value.data() : "", value.size()};  // NULL would be absent
        if (auto s = quorate_output_set(o_, slot, &b, 1); s < 0) return detail::failure(s, nullptr);
        return {};
    }

private:
    quorate_output *o_;
};

// The host's state. Both run on the thread quorate-apply, one call at a time, until the service is gone.
// What they throw, or return as a Failure, stops the service for good.
class StateMachine {
public:
    virtual ~StateMachine() = default;
    virtual Result<Applied> open() { return Applied{}; }
    virtual Result<void> commit(Entries entries, Output replies) = 0;
};

namespace detail {
// ctx of a hook: a share of the object. drop() gives it back.
template <class T>
void *share(std::shared_ptr<T> hook) {
    return new std::shared_ptr<T>(std::move(hook));
}
template <class T>
T &hook(void *ctx) {
    return **static_cast<std::shared_ptr<T> *>(ctx);
}
template <class T>
void drop(void *ctx) noexcept {
    delete static_cast<std::shared_ptr<T> *>(ctx);
}

// What a callback that throws, or returns an error without a status, ends with.
inline quorate_status refuse(quorate_error **err, const char *message) noexcept {
    *err = quorate_error_new(message);
    return QUORATE_ERR_STATE_MACHINE_FAILED;
}
template <class F>
quorate_status run(quorate_error **err, F &body) {
    Result<void> r = body();
    if (r) return QUORATE_OK;
    *err = quorate_error_new(r.error().message().c_str());
    return r.error().status() < 0 ? r.error().status() : QUORATE_ERR_STATE_MACHINE_FAILED;
}
// A callback, which nothing may leave but a status: an exception in a C frame is undefined.
template <bool Catch, class F>
quorate_status guard(quorate_error **err, F &&body) noexcept {
    if constexpr (Catch) {
#if defined(__cpp_exceptions)
        try {
            return run(err, body);
        } catch (const std::exception &e) {
            return refuse(err, e.what());
        } catch (...) {
            return refuse(err, "a callback threw something that is no std::exception");
        }
#endif
    } else {
        return run(err, body);
    }
}

template <bool Catch>
quorate_state_machine table(std::shared_ptr<StateMachine> machine) {
    using M = StateMachine;
    quorate_state_machine t{};
    t.struct_size = sizeof t;
    t.open = [](void *c, quorate_applied *out, quorate_error **err) noexcept {
        return guard<Catch>(err, [&]() -> Result<void> {
            auto applied = hook<M>(c).open();
            if (!applied) return Failure(applied.error());
            out->index = applied->index, out->term = applied->term;
            out->cluster_id = applied->cluster_id;
            return {};
        });
    };
    t.commit = [](void *c, const quorate_entry *e, size_t n, quorate_output *out,
                  quorate_error **err) noexcept {
        return guard<Catch>(err, [&] { return hook<M>(c).commit(Entries(e, n), Output(out)); });
    };
    t.drop = [](void *c) noexcept { drop<M>(c); };
    t.ctx = share(std::move(machine));
    return t;
}
}  // namespace detail

}  // namespace quorate
