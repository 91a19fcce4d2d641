//# cc: -std=c++17
//# opt: O0,O2
//# modes: pie,shared
//# stateful
//# before: none none
//# after: 1 a 10 same 2 b 20
//# after: 3 a 30 same 4 b 40
//# reverted: none none
// Two files get the same new things from a header: an inline function with a static, an inline variable, a static of a class
// template, a class. There is one of each, wherever it is used.
#include <cstdio>
#include "case.h"
#include "shared.h"
KEEP void second(char *out, unsigned long room);
KEEP void first(char *out, unsigned long room) {
#ifdef V2
    Shape *shape = made();
    bool same = dynamic_cast<Circle *>(shape) && shape == kept;
    snprintf(out, room, "%d a %d %s", next(), Table<int>::sum += 10, same ? "same" : "other");
#else
    snprintf(out, room, "none");
#endif
}
static void *volatile anything;
void answer(char *out, unsigned long room) {
    char rest[64], start[64];
    first(start, sizeof start);
    second(rest, sizeof rest);
    // The program uses the library of the language already.
    anything = new char;
    delete static_cast<char *>(anything);
    snprintf(out, room, "%s %s", start, rest);
}
//# file: b.cpp
#include <cstdio>
#include "case.h"
#include "shared.h"
#ifdef V2
Shape *made() {
    static Circle circle;
    kept = &circle;
    return &circle;
}
#endif
KEEP void second(char *out, unsigned long room) {
#ifdef V2
    snprintf(out, room, "%d b %d", next(), Table<int>::sum += 10);
#else
    snprintf(out, room, "none");
#endif
}
//# text-file: shared.h
#pragma once
#ifdef V2
struct Shape {
    virtual ~Shape() {}
};
struct Circle : Shape {};
Shape *made();
inline Shape *kept = nullptr;
template <typename T> struct Table {
    static T sum;
};
template <typename T> T Table<T>::sum = 0;
__attribute__((noinline)) inline int next() {
    static int number = 0;
    return ++number;
}
#endif
