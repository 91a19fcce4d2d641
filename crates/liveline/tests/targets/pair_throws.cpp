// As pair.c, with halves that come out as exceptions: thrown in code that changes, through code that stays and changes, and
// caught in both. Version 2 throws a type that version 1 has not.
#include <exception>
#include <stdexcept>
#include <string>

#define OWN_PAIR
int pair(int x);
#include "pair.c"

static unsigned long cleaned;
struct Guard {
    ~Guard() { __atomic_add_fetch(&cleaned, 1, __ATOMIC_RELAXED); }
};
struct Half {
    int version;
};
struct Named : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Stays: what is thrown in `half` goes through it, with something to clean.
KEEP int through(int (*half)(int), int x) {
    Guard guard;
    return half(x) + 1;
}

#if VERSION == 1
KEEP int left(int x) { throw Half{x < 0 ? 0 : VERSION}; }
KEEP int right(int x) { throw Named(x < 0 ? "none" : "1"); }
KEEP int read_half(int (*half)(int), int x) {
    try {
        return through(half, x);
    } catch (const Half &thrown) {
        return thrown.version;
    } catch (const Named &thrown) {
        return thrown.what()[0] - '0';
    }
}
#else
struct Later : Named {
    int version;
    explicit Later(int version) : Named("later"), version(version) {}
};
KEEP int left(int x) { throw Later(x < 0 ? 0 : VERSION); }
KEEP int right(int x) {
    Guard guard;
    try {
        return left(x);
    } catch (const Named &) {
        throw;
    }
}
KEEP int read_half(int (*half)(int), int x) {
    Guard guard;
    try {
        return through(half, x);
    } catch (const std::exception &thrown) {
        const Later *later = dynamic_cast<const Later *>(&thrown);
        return later ? later->version : 9;
    }
}
#endif

KEEP void throw_pair(int x) {
    int one = read_half(left, x), two = read_half(right, x);
    throw Half{one == two && one == VERSION ? one : 0};
}

// Stays: catches what changed code throws.
KEEP int pair(int x) {
    try {
        throw_pair(x);
    } catch (const Half &thrown) {
        return thrown.version;
    }
    return 0;
}
