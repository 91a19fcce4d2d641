//# matrix
//# modes: static,static-pie
//# strict
//# before: old 7 over bad none 3
//# after: new 9 over worse Later 5
// A program that holds the library of the language itself, with the unwinder: exceptions and classes go between its code and
// what comes to it, a new class among them.
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include "case.h"

struct Failure : std::runtime_error {
    int code;
    Failure(const std::string &what, int code) : std::runtime_error(what), code(code) {}
};
struct Shape {
    virtual ~Shape() {}
    virtual int sides() const { return 3; }
    virtual const char *name() const { return "none"; }
};

// Stays: throws for whoever asks, catches what new code throws, calls what new code makes.
KEEP void thrower(int code) { throw Failure("bad", code); }
KEEP std::string catcher(void (*call)(int), int code) {
    try {
        call(code);
    } catch (const std::exception &failure) {
        return failure.what();
    }
    return "nothing";
}
// Stays, and needs what casts between classes: the program has that, too.
KEEP int code_of(const std::exception &failure) {
    auto *own = dynamic_cast<const Failure *>(&failure);
    return own ? own->code : -1;
}
KEEP int describe(const Shape *shape, char *out, unsigned long room) {
    snprintf(out, room, "%s", shape->name());
    return shape->sides();
}

#ifdef V2
struct Later : Shape {
    int sides() const override { return 5; }
    const char *name() const override { return "Later"; }
};
struct Worse : Failure {
    using Failure::Failure;
};
// Its length is taken by strlen, of which the program's C library chose one when it started.
KEEP const char *text() { return "worse"; }
KEEP void throws(int code) { throw Worse(std::string(text(), strlen(text())), code + 1); }
KEEP int catches(int code) {
    try {
        thrower(code + 2);
    } catch (const std::exception &failure) {
        return dynamic_cast<const Worse *>(&failure) ? -1 : code_of(failure);
    }
    return -2;
}
KEEP Shape *made() { return new Later; }
KEEP const char *word() { return "new"; }
#else
KEEP void throws(int code) { throw Failure("bad", code); }
KEEP int catches(int code) {
    try {
        thrower(code);
    } catch (const Failure &failure) {
        return code_of(failure);
    }
    return -1;
}
KEEP Shape *made() { return new Shape; }
KEEP const char *word() { return "old"; }
#endif

void answer(char *out, unsigned long room) {
    char name[16];
    Shape *shape = made();
    int sides = describe(shape, name, sizeof name);
    delete shape;
    std::string over = catcher(throws, 4);
    snprintf(out, room, "%s %d over %s %s %d", word(), catches(7), over.c_str(), name, sides);
}
