//# matrix
//# before: 6 sorted 1 2 3 in 5
//# after: 60 sorted 3 2 1 in 7
//# strict
// Lambdas, anonymous namespaces, standard algorithms.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <vector>
#include "case.h"

namespace {
KEEP int hidden(int x) {
#ifdef V2
    return x + 2;
#else
    return x < 0 ? -x : x;
#endif
}
}
namespace inner {
KEEP int total(const std::vector<int> &list) {
    int sum = 0;
    std::function<void(int)> add = [&sum](int x) {
#ifdef V2
        sum += 10 * x;
#else
        sum += x;
#endif
    };
    for (int x : list) add(x);
    return sum;
}
}

KEEP void order(std::vector<int> &list) {
#ifdef V2
    std::sort(list.begin(), list.end(), [](int a, int b) { return a > b; });
#else
    std::sort(list.begin(), list.end(), [](int a, int b) { return a < b; });
#endif
}

void answer(char *out, unsigned long room) {
    std::vector<int> list{2, 3, 1};
    order(list);
    snprintf(out, room, "%d sorted %d %d %d in %d", inner::total(list), list[0], list[1], list[2], hidden(5));
}
