/*
 * suggest: the known word nearest to a mistyped one.
 */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

/* The nearest of `words` (ended by NULL), or NULL if none is near enough to be worth a guess. */
const char *conf_suggest(const char *word, const char *const *words);

#endif
