// The half of the mixed program that has exceptions, in the newest standard. A machine that throws must
// be caught here although the other half's callbacks, compiled without exceptions, catch nothing.
#include "machine.hpp"

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
