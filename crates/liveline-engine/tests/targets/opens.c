/* Loads a library and calls first() in it. On standard input: "?" for the answer, "close" closes the library. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc < 2) return 1;
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) return 2;
    int (*first)(int) = (int (*)(int))dlsym(library, "first");
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        if (line[0] == 'c' && library) {
            dlclose(library);
            first = 0;
        }
        printf("%d 0 0 0\n", first ? first(0) : -1);
        fflush(stdout);
    }
    return 0;
}
