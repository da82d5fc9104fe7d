/*
 * pattern: a name in a rule or a map: itself, or a regular expression after a slash.
 */
#ifndef CONF_PATTERN_H
#define CONF_PATTERN_H

#include <regex.h>

#define PATTERN_LENGTH 512 /* of a regular expression */

/*
 * Compiles a POSIX extended regular expression; `flags` are regcomp's. NULL, or why it is refused.
 * The C library's compiler takes time and memory without end for some, so those are refused that
 * are long or whose repetitions multiply to much; and back references, since a client that chooses
 * its name could make the matching take as long.
 */
const char *pattern_compile(regex_t *, const char *text, int flags);

#endif
