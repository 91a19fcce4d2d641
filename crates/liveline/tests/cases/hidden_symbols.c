//# modes: pie,shared
//# strict
//# before: 3 4 5
//# after: 30 40 50
// Hidden, protected and weak symbols, and an alias.
#include <stdio.h>
#include "case.h"

__attribute__((visibility("hidden"))) int concealed = 3;
__attribute__((visibility("protected"))) int protected_value = 4;
extern int absent(void) __attribute__((weak, visibility("hidden")));

KEEP __attribute__((visibility("hidden"))) int get(void) {
#ifdef V2
    return concealed * 10;
#else
    return concealed;
#endif
}

KEEP __attribute__((visibility("protected"))) int get_protected(void) {
#ifdef V2
    return protected_value * 10 + (absent ? absent() : 0);
#else
    return protected_value + (absent ? absent() : 0);
#endif
}

KEEP int real(void) {
#ifdef V2
    return 50;
#else
    return 5;
#endif
}
int other_name(void) __attribute__((alias("real")));

KEEP void answer(char *out, unsigned long room) {
    int (*volatile call)(void) = other_name;
    snprintf(out, room, "%d %d %d", get(), get_protected(), call());
}
