#include "check.hpp"

#include <cstdio>
#include <unistd.h>

// usage: tests [FILE...]
int main(int argc, char **argv) {
    int passed = 0, failed = 0;
    for (auto &test : check::cases()) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; i++) wanted = wanted || test.file == argv[i];
        if (!wanted) continue;
        auto start = std::chrono::steady_clock::now();
        std::string why;
        alarm(100);  // a test that hangs ends the program under its own name
        std::printf("%-20s %-60s ", test.file.c_str(), test.name.c_str());
        std::fflush(stdout);
        try {
            test.body();
        } catch (const std::exception &e) {
            why = e.what();
        }
        auto took = std::chrono::steady_clock::now() - start;
        auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(took).count();
        std::printf("%s %lld ms\n", why.empty() ? "ok" : "FAILED", static_cast<long long>(ms));
        if (!why.empty()) std::printf("%s\n", why.c_str());
        (why.empty() ? passed : failed)++;
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
