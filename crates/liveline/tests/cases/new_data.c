//# opt: O0,O2
//# modes: pie,nopie,shared
//# before: nothing
//# after: 42 zeroed 0 big 0 list one,two,3 self yes
//# verdict: number new-data
// New globals and statics: with a value, zeroed, large, and holding addresses of old and new things.
#include <stdio.h>
#include "case.h"

#ifdef V2
int number = 42;
int zeroed;
static char big[1 << 20];
static int old_style(void);
struct entry { const char *name; int (*call)(void); void *self; };
static struct entry list[] = {{"one", old_style, &list[0]}, {"two", 0, &list[1]}};
static KEEP int old_style(void) { return 3; }
#endif

KEEP void compose(char *out, unsigned long room) {
#ifdef V2
    volatile char *byte = big;
    struct entry *volatile entry = list;
    snprintf(out, room, "%d zeroed %d big %d list %s,%s,%d self %s", number, zeroed, byte[sizeof big - 1], entry[0].name,
             entry[1].name, entry[0].call(), entry[1].self == &list[1] ? "yes" : "no");
#else
    snprintf(out, room, "nothing");
#endif
}

KEEP void answer(char *out, unsigned long room) { compose(out, room); }
