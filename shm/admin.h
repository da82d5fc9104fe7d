/*
 * admin: what operators have said about databases: paused, disabled, suspended. One anonymous
 * shared mapping, made before the first fork; the master writes, everybody reads without a lock,
 * and who is born later finds it.
 */
#ifndef SHM_ADMIN_H
#define SHM_ADMIN_H

#define ADMIN_PAUSED	1U /* no backend is used; each is closed when it is free */
#define ADMIN_DISABLED	2U /* nobody logs in */
#define ADMIN_SUSPENDED 4U /* no backend is used; they stay */
#define ADMIN_HOLD	(ADMIN_PAUSED | ADMIN_SUSPENDED)

struct admin;

/* NULL with errno. */
struct admin *admin_create(void);
/* Master only: of a database, "" = of all. 0, or -1: no room for another name. */
int admin_change(struct admin *, const char *db, unsigned int set, unsigned int clear);
/* Calls fn for all ("") and each database of which something is said. */
void admin_each(
    const struct admin *, void (*fn)(const char *db, unsigned int flags, void *arg), void *arg);
/* What is said of this database, and of all. */
unsigned int admin_flags(const struct admin *, const char *db);

#endif
