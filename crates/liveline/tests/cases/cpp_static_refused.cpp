//# modes: static,static-pie
//# refused: it needs typeinfo for int, which the static program does not contain; use something it has, or bring the code along
// A part of the language's library that the linker left out of the program is in no file that runs.
#include <cstdio>
#include "case.h"

struct Failure {
    int code;
};
KEEP int number() {
#ifdef V2
    try {
        throw 5;
    } catch (int thrown) {
        return thrown;
    }
#else
    try {
        throw Failure{4};
    } catch (const Failure &thrown) {
        return thrown.code;
    }
#endif
}

void answer(char *out, unsigned long room) { snprintf(out, room, "%d", number()); }
