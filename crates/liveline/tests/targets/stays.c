/* A main that stays in one call until the end: version 2 changes what it does before, 3 what it does after, 4 what
 * the rest of it takes from before. `ask` prints what value() says. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define KEEP __attribute__((noinline, noclone, used))

static const char *end = "bye";

KEEP int value(void) { return VERSION == 1 ? 1 : 2; }

KEEP int say(const char *text) { return puts(text) >= 0 && fflush(stdout) == 0; }

KEEP int serve(void) {
    char line[100];
    while (fgets(line, sizeof line, stdin) && strcmp(line, "leave\n") != 0) {
        printf("value %d\n", value());
        fflush(stdout);
    }
    return 0;
}

int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (count > 5) say(VERSION == 1 ? "too many words" : words[5]);
    say("ready");
    serve();
#if VERSION == 3
    say("and");
#endif
#if VERSION == 4
    say(words[0]);
#endif
    return !say(end);
}
