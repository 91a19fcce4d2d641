#include <stdio.h>
#include <string.h>

#include "price.h"
#include "word.h"

/* A static of a name that price.c has, too. */
static int calls;

__attribute__((noinline)) static void reply(const char *line)
{
    calls++;
    printf("%s %s %d of %d\n", line, WORD, price(7), DOUBLED(calls));
}

int main(void)
{
    char line[256];
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        reply(line);
    }
    return 0;
}
