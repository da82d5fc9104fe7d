/*
 * hint: which way code goes as a rule, where the compiler cannot know. What is not on the way of a
 * plain transaction is moved out of it: a worker shares its core with PostgreSQL and finds its code
 * cold whenever it runs, so that each cache line less counts (scripts/bench --fair).
 */
#ifndef CONF_HINT_H
#define CONF_HINT_H

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A function that is not called in a plain transaction. */
#define COLD __attribute__((cold, noinline))

#endif
