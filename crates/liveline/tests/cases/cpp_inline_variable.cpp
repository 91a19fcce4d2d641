//# cc: -std=c++17
//# opt: O0,O2
//# stateful
//# before: old 1
//# before: old 2
//# after: old 13 new 105
//# after: old 24 new 110
//# reverted: old 25
// Inline variables of a header and static members of a class template: one that lives, and new ones.
#include <cstdio>
#include "case.h"
#include "shared.h"
int other();
KEEP void more(char *out, unsigned long room) {
#ifdef V2
    fresh += 5;
    snprintf(out, room, " new %d", fresh + Table<int>::entries - 7 + Table<int>::more - 3);
#else
    snprintf(out, room, "%s", "");
#endif
}
KEEP int count() {
#ifdef V2
    return counter += other() + 10;
#else
    return counter += other();
#endif
}
void answer(char *out, unsigned long room) {
    char rest[64];
    int number = count();
    more(rest, sizeof rest);
    snprintf(out, room, "old %d%s", number, rest);
}
//# file: b.cpp
#include "shared.h"
int other() { return counter < 0 ? Table<int>::entries : 1; }
//# text-file: shared.h
#pragma once
inline int counter = 0;
template <typename T> struct Table {
    static int entries;
#ifdef V2
    static inline T more = 3;
#endif
};
template <typename T> int Table<T>::entries = 7;
#ifdef V2
inline int fresh = 100;
#endif
