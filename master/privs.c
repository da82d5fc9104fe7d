/*
 * privs: gives up root before the first fork, in one fixed order.
 *
 * Called by master.c: lookup first, enter/leave around files, drop after everything that needs root
 * is open. A step that fails fails the start: we never serve with more rights than asked for.
 */
#include "master/privs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "conf/log.h"

int
privs_lookup(struct privs *privs, const char *user, struct why *why)
{
	const struct passwd *pw;

	memset(privs, 0, sizeof *privs);
	privs->user = user;
	if (geteuid() == 0 && user[0] == '\0')
		return why_set(why, "refusing to run as root: name an account in the setting user");
	if (user[0] == '\0')
		return 0;
	errno = 0;
	pw = getpwnam(user);
	if (pw == NULL)
		return why_set(why, "user: there is no account %s%s%s", user,
		    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
	if (geteuid() != 0) {
		if (pw->pw_uid != geteuid())
			log_warnx("user = \"%s\" is ignored: not started by root", user);
		return 0;
	}
	if (pw->pw_uid == 0)
		return why_set(why, "refusing to run as root: user names an account with uid 0");
	privs->drop = true;
	privs->uid = pw->pw_uid;
	privs->gid = pw->pw_gid;
	return 0;
}

/* The account's groups must be in force for a fair test of what it may write. */
static int
take_ids(const struct privs *privs)
{
	if (initgroups(privs->user, privs->gid) == -1 || setegid(privs->gid) == -1)
		return -1;
	return seteuid(privs->uid);
}

static int
return_ids(void)
{
	if (seteuid(0) == -1 || setegid(0) == -1)
		return -1;
	return setgroups(0, NULL);
}

bool
privs_may_write(const struct privs *privs, const char *dir)
{
	int rc, saved;

	if (privs->drop && take_ids(privs) == -1)
		return false;
	rc = faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS);
	saved = errno;
	if (privs->drop && return_ids() == -1)
		fatal("cannot return to root");
	errno = saved;
	return rc == 0;
}

int
privs_enter(struct privs *privs, const char *path, struct why *why)
{
	char *copy;

	if (!privs->drop)
		return 0;
	copy = strdup(path);
	if (copy == NULL)
		return why_set(why, "out of memory");
	privs->lent = privs_may_write(privs, dirname(copy));
	free(copy);
	if (privs->lent && take_ids(privs) == -1)
		return why_set(why, "cannot act as %s: %s", privs->user, strerror(errno));
	return 0;
}

void
privs_leave(struct privs *privs)
{
	if (!privs->lent)
		return;
	if (return_ids() == -1)
		fatal("cannot return to root");
	privs->lent = false;
}

int
privs_own(const struct privs *privs, const char *path)
{
	if (!privs->drop || privs->lent)
		return 0;
	return lchown(path, privs->uid, privs->gid);
}

/* The way back must be closed: not even the attempt may succeed. */
static bool
can_return(const struct privs *privs)
{
	uid_t r, e, s;

	if (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0)
		return true;
	return getresuid(&r, &e, &s) == -1 || r != privs->uid || e != privs->uid ||
	       s != privs->uid || getegid() != privs->gid;
}

int
privs_drop(const struct privs *privs, struct why *why)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return why_set(why, "cannot set no_new_privs: %s", strerror(errno));
	if (!privs->drop)
		return 0;
	if (setgroups(0, NULL) == -1 || initgroups(privs->user, privs->gid) == -1 ||
	    setresgid(privs->gid, privs->gid, privs->gid) == -1 ||
	    setresuid(privs->uid, privs->uid, privs->uid) == -1)
		return why_set(why, "cannot become %s: %s", privs->user, strerror(errno));
	if (can_return(privs))
		return why_set(why, "became %s, but root's rights can be had back", privs->user);
	/* The change of ids took it away; without it a crash leaves no core. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == -1)
		log_warn("cannot allow core dumps");
	return 0;
}
