//# opt: O0,O2,O3
//# modes: pie,shared
//# cc: -std=c++17
//# before: none
//# after: a=1 b=2 sum 3 sorted c b a best 7.50 any 9 variant text
//# strict
// Templates that the running program has no instance of.
#include <algorithm>
#include <any>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <variant>
#include <vector>
#include "case.h"

#ifdef V2
template <typename T, T... values> struct Best {
    static T find() {
        T best{};
        ((best = values > best ? values : best), ...);
        return best;
    }
};
KEEP std::string report() {
    std::map<std::string, int> map{{"b", 2}, {"a", 1}};
    std::string text;
    int sum = 0;
    for (const auto &[name, value] : map) {
        text += name + "=" + std::to_string(value) + " ";
        sum += value;
    }
    std::vector<std::unique_ptr<std::string>> words;
    for (const char *word : {"a", "c", "b"}) words.push_back(std::make_unique<std::string>(word));
    std::sort(words.begin(), words.end(), [](const auto &x, const auto &y) { return *x > *y; });
    text += "sum " + std::to_string(sum) + " sorted";
    for (const auto &word : words) text += " " + *word;
    char number[32];
    snprintf(number, sizeof number, " best %.2f", Best<int, 3, 7, 5>::find() + 0.5);
    text += number;
    std::any any = 9;
    text += " any " + std::to_string(std::any_cast<int>(any));
    std::variant<int, std::string> variant = std::string("text");
    std::visit(
        [&](const auto &value) {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) text += " variant " + value;
        },
        variant);
    return text;
}
#else
KEEP std::string report() { return "none"; }
#endif

void answer(char *out, unsigned long room) { snprintf(out, room, "%s", report().c_str()); }
