/* A C program that loads a library written in Rust: plugin_host LIBRARY. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

int main(int count, char **words) {
    prctl(PR_SET_PDEATHSIG, 9);
    void *library = count > 1 ? dlopen(words[1], RTLD_NOW) : 0;
    unsigned long (*answer)(void) = library ? (unsigned long (*)(void))dlsym(library, "plugin_answer") : 0;
    if (!answer) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%lu\n", answer());
        fflush(stdout);
    }
    return 0;
}
