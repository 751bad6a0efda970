// The half of the mixed program that has exceptions, in the newest standard. A machine that throws must
// be caught here although the other half's callbacks, compiled without exceptions, catch nothing.
#include "machine.hpp"

#include <atomic>

#if __cplusplus > 202002L
#include <expected>
#endif

Result<Service> start_plain(int *commits);       // mixed_plain.cpp, C++17 without exceptions
Result<std::string> plain_text(bool good);
Result<Position> plain_propose(Service &service);

TEST(a_machine_that_throws_is_caught_beside_code_without_exceptions) {
    Member m;
    m.ledger->first = [](EntryView) -> Result<void> { throw std::runtime_error("thrown"); };
    auto &s = m.start();
    (void)s.propose_wait("x", 10s);
    CHECK(check::eventually([&] { return s.info().state == State::Failed; }));
    CHECK_HAS(ERR(s.propose("y", 1s)).message(), "thrown");
}

TEST(hooks_that_throw_are_caught_beside_code_without_exceptions) {
    struct Throws final : Transport {
        Result<void> send(uint64_t, const std::string &, std::string_view) override { throw 5; }
    };
    std::atomic<int> lines{0};
    auto s = OK(Service::start(Config()
                                   .set("storage", "memory")
                                   .state_machine(std::make_shared<Ledger>())
                                   .transport(std::make_shared<Throws>())
                                   .logger(
                                       [&](const LogRecord &) {
                                           lines++;
                                           throw std::runtime_error("thrown by a logger");
                                       },
                                       LogLevel::Debug)));
    CHECK_HAS(ERR(s.initialize_cluster("me", 10s)).message(), "no std::exception");
    OK(s.propose_wait("x", 10s));
    CHECK(lines > 0);
    CHECK_HAS(ERR(storage_check([](Make) -> Result<std::shared_ptr<Storage>> { throw 5; })).message(),
              "no std::exception");
}

TEST(results_and_services_cross_from_one_standard_to_another) {
    int commits = 0;
    {
        auto s = OK(start_plain(&commits));
        CHECK_EQ(OK(s.propose_wait("x", 10s)).data, "plain");
        auto position = OK(plain_propose(s));
        CHECK(s.applied_tracker().timed_wait(position.index, 10s) >= position.index);
    }
    CHECK_EQ(commits, 2);
    CHECK_EQ(OK(plain_text(true)), "plain");
    CHECK_EQ(ERR(plain_text(false)).message(), "plainly not");
#if defined(__cpp_lib_expected)
    std::expected<std::string, Error> standard = plain_text(false);
    CHECK_EQ(standard.error().message(), "plainly not");
#endif
    bool thrown = false;
    try {
        (void)plain_text(false).value();
    } catch (const quorate::Exception &) {
        thrown = true;
    }
    CHECK(thrown);
}
