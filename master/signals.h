/* signals: the master's signals as a file descriptor. No handler runs anywhere. */
#ifndef MASTER_SIGNALS_H
#define MASTER_SIGNALS_H

#include <sys/types.h>

struct signals_event {
	int signo;
	pid_t pid; /* who sent it; 0 = the kernel or the terminal */
	uid_t uid;
};

/* Blocks what the master listens to and returns the signalfd, or -1 with errno. */
int signals_open(void);
/* The next pending signal: 1, 0 if there is none, -1 with errno. */
int signals_read(int fd, struct signals_event *);
/* In a fresh child: nothing blocked, the master's own signals and SIGPIPE ignored, every other
 * disposition back to default. 0 or -1 with errno. */
int signals_reset(void);
/* "SIGTERM". */
const char *signals_name(int signo);

#endif
