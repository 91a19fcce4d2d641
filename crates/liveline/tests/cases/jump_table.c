//# opt: O1,O2,Os
//# modes: pie,nopie,shared,static
//# strict
//# before: 10 21 32 43 54 65 76 87 98 -1
//# after: 10 21 32 43 54 65 76 87 980 1099
// A switch with a jump table that grows; an unchanged neighbour has one of its own.
#include <stdio.h>
#include "case.h"

int sink;

KEEP int dispatch(int key) {
    switch (key) {
    case 0: sink = 1; return 10;
    case 1: sink ^= 2; return 21;
    case 2: sink += 3; return 32;
    case 3: sink -= 4; return 43;
    case 4: sink |= 5; return 54;
    case 5: sink &= 6; return 65;
    case 6: sink *= 7; return 76;
    case 7: sink = ~sink; return 87;
#ifdef V2
    case 8: sink = 9; return 980;
    case 9: sink <<= 1; return 1099;
    case 10: sink >>= 1; return 3;
#else
    case 8: sink = 9; return 98;
#endif
    default: return -1;
    }
}

KEEP int neighbour(int key) {
    switch (key) {
    case 0: sink = 1; return 7;
    case 1: sink ^= 2; return 6;
    case 2: sink += 3; return 5;
    case 3: sink -= 4; return 4;
    case 4: sink |= 5; return 3;
    case 5: sink &= 6; return 2;
    default: return -1;
    }
}

KEEP void answer(char *out, unsigned long room) {
    int length = 0;
    for (int key = 0; key < 10; key++) {
        if (neighbour(key) != (key < 6 ? 7 - key : -1)) return;
        length += snprintf(out + length, room - length, "%s%d", key ? " " : "", dispatch(key));
    }
}
