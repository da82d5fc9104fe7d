/* privs: from root to the configured account, for good. */
#ifndef MASTER_PRIVS_H
#define MASTER_PRIVS_H

#include <stdbool.h>
#include <sys/types.h>

#include "master/why.h"

struct privs {
	bool drop; /* we are root and will become uid, gid */
	bool lent; /* the effective ids are the account's at the moment */
	uid_t uid;
	gid_t gid;
	const char *user; /* the conf's string */
};

/* Decides who to become. Root without a `user` is refused. 0, or -1 with the reason. */
int privs_lookup(struct privs *, const char *user, struct why *);
/*
 * Before a file at `path` is opened or made by root: if the account itself may write to that
 * directory, its effective ids are taken until privs_leave(). So root never follows a link the
 * account could have planted.
 */
int privs_enter(struct privs *, const char *path, struct why *);
void privs_leave(struct privs *);
/* May the account (or we, if it is us) make files in this directory? False with errno. */
bool privs_may_write(const struct privs *, const char *dir);
/* Gives a file root has made to the account. 0 (also when nothing is to do), or -1 with errno. */
int privs_own(const struct privs *, const char *path);
/* Groups, gid, uid, no_new_privs, and proof that there is no way back. 0, or -1 with the reason. */
int privs_drop(const struct privs *, struct why *);

#endif
