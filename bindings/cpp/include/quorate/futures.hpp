// quorate/futures.hpp - requests as std::future, for programs that prefer it to tokens. Not part of
// quorate.hpp, so that nobody pays for <future> who does not use it.
//
// The library makes no thread for this: one thread of the program calls poll(), in a loop or whenever
// fd() is readable, and that settles the futures. Waiting for one on the thread that polls waits for
// ever. Since: 0.1
#pragma once

#include "quorate.hpp"

#include <future>
#include <mutex>
#include <unordered_map>

namespace quorate {

class Futures {
public:
    static Result<Futures> create() {
        auto queue = Queue::create();
        if (!queue) return Failure(queue.error());
        return Futures(std::make_unique<Shared>(*std::move(queue)));
    }

    // From any thread. The token of the request is not looked at. A request that is not taken, BUSY for
    // instance, gives a future that is ready.
    std::future<Result<Reply>> submit(Service &service, Request request) {
        if (!shared_) return gone();
        auto [token, future] = shared_->expect();
        auto taken = service.submit(shared_->queue, request.token(token));
        if (!taken) shared_->settle(token, Failure(taken.error()));
        return std::move(future);
    }
    std::future<Result<Reply>> propose_wait(Service &service, Entry entry, Timeout t = forever) {
        return submit(service, Request::propose_wait(0, std::move(entry), t));
    }
    std::future<Result<Reply>> read_barrier(Service &service, Timeout t = forever) {
        return submit(service, Request::read_barrier(0, t));
    }

    // Settles what is complete, waiting at most `t` for the first; how many. One thread at a time.
    Result<size_t> poll(Timeout t = forever) {
        if (!shared_) return moved();
        auto done = shared_->queue.poll(t);
        if (!done) return Failure(done.error());
        for (auto completion : *done) shared_->settle(completion.token(), completion.result());
        return done->size();
    }
    int fd() const { return shared_ ? shared_->queue.fd() : -1; }
    void wake() {
        if (shared_) shared_->queue.wake();
    }

private:
    static Failure moved() {
        return Failure(Error(QUORATE_ERR_CLOSED, "this Futures object was moved from"));
    }
    static std::future<Result<Reply>> gone() {
        std::promise<Result<Reply>> settled;
        settled.set_value(moved());
        return settled.get_future();
    }
    // Behind a pointer: a mutex can't move, and Futures does.
    struct Shared {
        explicit Shared(Queue q) : queue(std::move(q)) {}
        ~Shared() {  // nobody polls any more: what waits learns that, instead of a broken promise
            Error gone(QUORATE_ERR_INTERRUPTED, "the Futures object was destroyed meanwhile");
            for (auto &waiting : promises) waiting.second.set_value(Failure(gone));
        }
        std::pair<uint64_t, std::future<Result<Reply>>> expect() {
            std::lock_guard lock(mutex);
            auto token = ++last_token;
            return {token, promises[token].get_future()};
        }
        void settle(uint64_t token, Result<Reply> result) {
            std::unique_lock lock(mutex);
            auto waiting = promises.extract(token);
            lock.unlock();
            if (waiting) waiting.mapped().set_value(std::move(result));
        }
        Queue queue;
        std::mutex mutex;
        uint64_t last_token = 0;
        std::unordered_map<uint64_t, std::promise<Result<Reply>>> promises;
    };
    explicit Futures(std::unique_ptr<Shared> shared) : shared_(std::move(shared)) {}
    std::unique_ptr<Shared> shared_;
};

}  // namespace quorate
