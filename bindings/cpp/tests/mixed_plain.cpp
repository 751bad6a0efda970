// The half of the mixed program that is compiled as C++17 with -fno-exceptions -fno-rtti.
#include "quorate.hpp"
#include "quorate/futures.hpp"

using namespace quorate;

namespace {
class Plain final : public StateMachine {
public:
    explicit Plain(int *commits) : commits_(commits) {}
    Result<void> commit(Entries entries, Output replies) override {
        for (size_t i = 0; i < entries.size(); i++) {
            ++*commits_;
            if (auto r = replies.set(i, "plain"); !r) return r;
        }
        return {};
    }

private:
    int *commits_;
};
}  // namespace

Result<Service> start_plain(int *commits);
Result<std::string> plain_text(bool good);
Result<Position> plain_propose(Service &service);

Result<Service> start_plain(int *commits) {
    Config config;
    config.set("storage", "memory").state_machine(std::make_shared<Plain>(commits));
    return Service::start(std::move(config.logger([](const LogRecord &) {}, LogLevel::Debug)));
}
Result<std::string> plain_text(bool good) {
    if (!good) return fail("plainly not");
    auto text = Result<std::string>("plain").value();
    return text;
}
Result<Position> plain_propose(Service &service) {
    return service.propose("from plain code", Timeout(10000));
}
