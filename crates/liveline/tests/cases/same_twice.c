//# matrix
//# compilers: gcc,clang
//# opt: O0,O2,Os
//# nothing
// The same build twice.
#include <stdio.h>
#include <string.h>
#include "case.h"

static const char *const words[] = {"one", "two"};
static int calls;

KEEP const char *word(int key) {
    static int last;
    last = key;
    switch (key) {
    case 0: return words[0];
    case 1: return "ten";
    case 2: return "twelve";
    case 3: return words[1];
    case 4: calls++; return "four";
    default: return last > 9 ? "many" : "few";
    }
}

KEEP void answer(char *out, unsigned long room) { snprintf(out, room, "%s %d", word(strlen(out) % 4), calls); }
