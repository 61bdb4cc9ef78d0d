#include <string.h>

#include "models/models.h"

/* The pattern's element at *p against c: '?', a set, or the character itself; *p moves past it. */
static bool match_one(const char **p, const char *end, unsigned char c) {
    const char *at = *p;
    *p = at + 1;
    if (*at == '?')
        return true;
    if (*at != '[')
        return (unsigned char)*at == c;
    const char *set = at + 1;
    bool inverted = set < end && *set == '!', found = false;
    if (inverted)
        set++;
    for (const char *first = set; set < end && (*set != ']' || set == first); set++) {
        unsigned char low = (unsigned char)*set, high = low;
        if (set + 2 < end && set[1] == '-' && set[2] != ']') {
            high = (unsigned char)set[2];
            set += 2;
        }
        found |= low <= c && c <= high;
    }
    if (set >= end) /* never closed: a bracket like any other character */
        return c == '[';
    *p = set + 1;
    return found != inverted;
}

/* A failure goes back to the last '*' only: an earlier one could do no better. */
static bool match(const char *p, const char *end, const char *name) {
    const char *star = NULL, *from = NULL;
    while (*name) {
        if (p < end && *p == '*') {
            star = ++p;
            from = name;
            continue;
        }
        if (p < end && match_one(&p, end, (unsigned char)*name)) {
            name++;
            continue;
        }
        if (!star)
            return false;
        p = star;
        name = ++from;
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

bool tl__pattern_match(const char *patterns, const char *name) {
    static const char separators[] = ", \t\n";
    for (;;) {
        patterns += strspn(patterns, separators);
        size_t length = strcspn(patterns, separators);
        if (length == 0)
            return false;
        if (match(patterns, patterns + length, name))
            return true;
        patterns += length;
    }
}
