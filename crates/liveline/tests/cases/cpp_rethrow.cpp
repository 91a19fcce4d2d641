//# opt: O0,O2
//# modes: pie,nopie,static,shared,dlopen
//# before: depth 3 cleaned 3 what plain at 3 last plain
//# after: depth 3 cleaned 9 what special at 3 last special
// Not strict: between the first line's two questions nobody is in new code, so one answer may hold one of each.
// Old and new frames in turns: thrown at the bottom, cleaned up, caught, thrown again, passed on as std::exception_ptr,
// nested, by a class that only the new code has.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include "case.h"

struct Count {
    int *at;
    int by;
    ~Count() { *at += by; }
};
typedef void Step(int depth, int *cleaned);
KEEP void new_step(int depth, int *cleaned);

#ifdef V2
struct Special : std::logic_error {
    int depth;
    explicit Special(int depth) : std::logic_error("special"), depth(depth) {}
    const char *what() const noexcept override { return "special"; }
};
#endif

// Stays.
KEEP void old_step(int depth, int *cleaned) {
    Count count{cleaned, 1};
    try {
        new_step(depth - 1, cleaned);
    } catch (const std::logic_error &error) {
        if (depth < 0) return;
        throw;
    }
}
KEEP void new_step(int depth, int *cleaned) {
#ifdef V2
    Count count{cleaned, 2};
    if (depth == 0) throw Special(3);
    try {
        old_step(depth, cleaned);
    } catch (Special &special) {
        special.depth = 3;
        throw;
    }
#else
    Count count{cleaned, 0};
    if (depth == 0) throw std::logic_error("plain");
    old_step(depth, cleaned);
#endif
}
// Stays: keeps what was thrown and throws it later.
KEEP std::exception_ptr kept(int *cleaned) {
    try {
        old_step(3, cleaned);
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}
KEEP std::string again(std::exception_ptr kept) {
    try {
        std::rethrow_exception(kept);
    } catch (const std::exception &error) {
        return error.what();
    }
}
KEEP std::string nested(int *cleaned) {
    try {
        try {
            old_step(3, cleaned);
        } catch (...) {
#ifdef V2
            std::throw_with_nested(Special(1));
#else
            std::throw_with_nested(std::runtime_error("outer"));
#endif
        }
    } catch (const std::exception &outer) {
        try {
            std::rethrow_if_nested(outer);
        } catch (const std::logic_error &inner) {
            return inner.what();
        }
    }
    return "nothing";
}

void answer(char *out, unsigned long room) {
    int cleaned = 0, unused = 0;
    std::string what = again(kept(&cleaned));
    snprintf(out, room, "depth 3 cleaned %d what %s at 3 last %s", cleaned, what.c_str(), nested(&unused).c_str());
}
