//# matrix
//# strict
//# before: table 30 switch 400 name mars pointers equal
//# after: table 303 switch 404 name jupiter pointers equal
//# verdict: lookup changed
//# verdict: choose changed
// Constant tables, a switch that becomes a jump table, strings, and pointers to a patched function.
#include <stdio.h>
#include <string.h>
#include "case.h"

static const char *const names[] = {
    "mercury", "venus", "earth", "mars", "ceres", "jupiter", "saturn",
};

KEEP int lookup(unsigned index) {
#ifdef V2
    static const short table[] = {101, 202, 303, 404, 505};
#else
    static const short table[] = {10, 20, 30, 40};
#endif
    return table[index % (sizeof table / sizeof *table)];
}

static KEEP int choose(int key, const char **name) {
    switch (key) {
    case 0: *name = "zero"; return 100;
    case 1: *name = "one"; return 211;
    case 2: *name = "two"; return 322;
#ifdef V2
    case 3: *name = names[5]; return 404;
#else
    case 3: *name = names[3]; return 400;
#endif
    case 4: *name = names[key]; return key * 7;
    case 5: *name = names[0]; return key ^ 0x55;
    case 6: *name = "six"; return -key;
    case 7: *name = names[2]; return key + 1000;
    default: *name = "?"; return -1;
    }
}

typedef int chooser(int, const char **);
static chooser *volatile remembered = choose;

KEEP chooser *current(void) {
#ifdef V2
    __asm__ volatile("nop");
#endif
    return choose;
}

KEEP void answer(char *out, unsigned long room) {
    const char *name = "";
    int value = remembered(3, &name);
    const char *same = remembered == current() ? "equal" : "different";
    snprintf(out, room, "table %d switch %d name %s pointers %s", lookup(2), value, name, same);
}
