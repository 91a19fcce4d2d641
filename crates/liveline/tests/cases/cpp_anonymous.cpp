//# opt: O0,O2
//# modes: pie,shared
//# stateful
//# before: a 1 b 100 A 1 B 2
//# before: a 2 b 200 A 1 B 2
//# after: a 12 b 300 A 10 B 2
//# after: a 22 b 400 A 10 B 2
//# reverted: a 23 b 500 A 1 B 2
// Two files with the same names in anonymous namespaces: functions, variables, classes with vtables. One of them changes.
#include <cstdio>
#include "case.h"
int b();
int second();
struct Shape {
    virtual ~Shape() {}
    virtual int number() const = 0;
};
namespace {
int counter;
struct Own : Shape {
    int number() const override;
};
KEEP int Own::number() const {
#ifdef V2
    return 10;
#else
    return 1;
#endif
}
KEEP int next() {
#ifdef V2
    return counter += 10;
#else
    return counter += 1;
#endif
}
KEEP Shape *make() { return new Own; }
}
void answer(char *out, unsigned long room) {
    static Shape *shape = make();
    int first = next();
    snprintf(out, room, "a %d b %d A %d B %d", first, b(), shape->number(), second());
}
//# file: b.cpp
#include "case.h"
struct Shape {
    virtual ~Shape() {}
    virtual int number() const = 0;
};
namespace {
int counter;
struct Own : Shape {
    int number() const override { return 2; }
};
KEEP int next() { return counter += 100; }
KEEP Shape *make() { return new Own; }
}
int b() { return next(); }
int second() {
    static Shape *shape = make();
    return shape->number();
}
