//# matrix
//# before: old 7 through old 1 over bad:1 none
//# after: new 8 through new 3 over worse:2 int 5
//# strict
// Exceptions thrown in, through and caught in new code, from and to code that stays.
#include <cstdio>
#include <stdexcept>
#include <string>
#include "case.h"

static int cleaned;
struct Guard {
    int by;
    explicit Guard(int by) : by(by) {}
    ~Guard() { __atomic_add_fetch(&cleaned, by, __ATOMIC_RELAXED); }
};
struct Failure : std::runtime_error {
    int code;
    Failure(const std::string &what, int code) : std::runtime_error(what), code(code) {}
};

// Stays: throws for whoever asks.
KEEP void thrower(int code) { throw Failure("bad", code); }
// Stays: catches what new code throws.
KEEP int catcher(void (*call)(int), int code) {
    try {
        call(code);
    } catch (const Failure &failure) {
        return failure.code;
    }
    return -1;
}

#ifdef V2
KEEP void throws(int code) { throw Failure("worse", code + 1); }
KEEP int through(int code, int *mark) {
    Guard guard(1);
    Guard second(1);
    *mark = 2;
    thrower(code);
    return 0;
}
KEEP int catches(int code) {
    try {
        thrower(code);
    } catch (const std::exception &) {
        return 8;
    }
    return -1;
}
KEEP std::string over(int code) {
    try {
        throws(code);
    } catch (std::runtime_error &error) {
        return std::string(error.what()) + ":" + std::to_string(static_cast<Failure &>(error).code);
    }
    return "nothing";
}
KEEP void other(char *out, unsigned long room) {
    try {
        throw 5;
    } catch (int number) {
        snprintf(out, room, "int %d", number);
    } catch (...) {
        snprintf(out, room, "what");
    }
}
#define WORD "new"
#else
KEEP void throws(int code) { throw Failure("bad", code); }
KEEP int through(int code, int *mark) {
    Guard guard(1);
    *mark = 0;
    thrower(code);
    return 0;
}
KEEP int catches(int code) {
    try {
        thrower(code);
    } catch (const Failure &) {
        return 7;
    }
    return -1;
}
KEEP std::string over(int code) {
    try {
        throws(code);
    } catch (Failure &error) {
        return std::string(error.what()) + ":" + std::to_string(error.code);
    }
    return "nothing";
}
KEEP void other(char *out, unsigned long room) { snprintf(out, room, "none"); }
#define WORD "old"
#endif

KEEP const char *word() { return WORD; }

void answer(char *out, unsigned long room) {
    int mark = 9;
    int code = 0;
    char rest[64];
    try {
        through(1, &mark);
    } catch (Failure &failure) {
        code = failure.code;
    }
    other(rest, sizeof rest);
    const char *before = mark ? "new" : "old";
    std::string what = over(1);
    int caught = catcher(throws, 0) - 1;
    (void)caught;
    snprintf(out, room, "%s %d through %s %d over %s %s", before, catches(4), before, code + mark, what.c_str(), rest);
}
