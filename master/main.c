/*
 * main: the command line.
 *
 * The only file that is not in the library. Reads the arguments, loads the configuration, and goes
 * on as checker, launcher, master, or `pgdrove stat`. Wrong usage is exit code 2 and one line.
 */
#include <bsd/unistd.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <libconfig.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/log.h"
#include "conf/strongbox.h"
#include "master/inherit.h"
#include "master/master.h"
#include "master/stat.h"
#include "worker/worker.h"

#define KEY_HEAP       (4 << 20) /* some keys, and 32 bytes for each handshake under way */
#define KEY_HEAP_PIECE 32

#define MAIN_CONF  "/etc/pgdrove/pgdrove.conf"
#define MAIN_USAGE 2

struct args {
	const char *conf;
	bool check;
	bool daemon;
};

static void
print_version(void)
{
	(void)printf("pgdrove %s (libconfig %d.%d.%d, OpenSSL %s, glibc %s)\n", PGDROVE_VERSION,
	    LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR, LIBCONFIG_VER_REVISION,
	    OpenSSL_version(OPENSSL_VERSION_STRING), gnu_get_libc_version());
}

static void
print_usage(void)
{
	(void)fputs("usage: pgdrove [-dt] [-c FILE]\n"
		    "       pgdrove stat [-c FILE | --run-dir DIR] [--pools] [--json | --get NAME "
		    "| --watch "
		    "[SECONDS]]\n"
		    "       pgdrove convert FILE\n"
		    "       pgdrove -h | -V\n"
		    "  -c FILE  configuration (" MAIN_CONF "), or a pgbouncer.ini\n"
		    "  -d       go to the background once everybody serves\n"
		    "  -t       check the configuration and exit\n"
		    "  -h, -V   this help; the version\n",
	    stdout);
}

static _Noreturn void
fail_usage(const char *what)
{
	(void)fprintf(stderr, "pgdrove: %s (see pgdrove -h)\n", what);
	exit(MAIN_USAGE);
}

static void
read_args(struct args *args, int argc, char **argv)
{
	char text[64];
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, "+:c:dthV")) != -1) {
		switch (c) {
		case 'c':
			args->conf = optarg;
			break;
		case 'd':
			args->daemon = true;
			break;
		case 't':
			args->check = true;
			break;
		case 'h':
			print_usage();
			exit(0);
		case 'V':
			print_version();
			exit(0);
		case ':':
			(void)snprintf(text, sizeof text, "option -%c needs a value", optopt);
			fail_usage(text);
		default:
			(void)snprintf(text, sizeof text, "unknown option -%c", optopt);
			fail_usage(text);
		}
	}
	if (optind < argc) {
		(void)snprintf(text, sizeof text, "unexpected argument %.32s", argv[optind]);
		fail_usage(text);
	}
}

static void
print_note(const char *line, size_t len)
{
	(void)printf("# %.*s\n", (int)len, line);
}

/* `pgdrove convert FILE`: the configuration in our format, what could not be taken over before it.
 */
static int
convert_main(int argc, char **argv)
{
	struct conf *conf;
	int rc;

	if (argc != 2 || argv[1][0] == '-')
		fail_usage("convert needs one file");
	conf = conf_load(argv[1], stderr);
	if (conf == NULL)
		return 1;
	conf_each_note(conf, print_note);
	rc = conf_write(conf, stdout);
	if (rc == -1)
		(void)fprintf(stderr, "pgdrove: cannot write: %s\n", strerror(errno));
	conf_free(conf);
	return rc == 0 ? 0 : 1;
}

/* The launcher's part: wait for '+', or for the reason why not. */
static _Noreturn void
await_ready(int fd, pid_t child, const char *log_file)
{
	char text[512];
	size_t used = 0;
	ssize_t n;
	int status;

	while (used < sizeof text - 1) {
		n = read(fd, text + used, sizeof text - 1 - used);
		if (n == -1 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		used += (size_t)n;
		if (text[0] == '+')
			exit(0);
	}
	text[used] = '\0';
	(void)waitpid(child, &status, 0); /* when we return, nothing is left running */
	if (used > 0)
		(void)fprintf(stderr, "pgdrove: start failed: %s\n", text);
	else
		(void)fprintf(
		    stderr, "pgdrove: the master died while starting, see %s\n", log_file);
	exit(1);
}

/* A session of our own and nothing of the terminal's. */
static int
leave_terminal(void)
{
	int fd;

	if (setsid() == -1)
		return -1;
	fd = open("/dev/null", O_RDWR);
	if (fd == -1 || dup2(fd, 0) == -1 || dup2(fd, 1) == -1 || dup2(fd, 2) == -1)
		return -1;
	return fd > 2 ? close(fd) : 0;
}

/* Returns in the new process, with the pipe to the launcher. */
static int
daemonise(const struct conf *conf)
{
	int fds[2];
	pid_t pid;

	if (conf->log_file[0] == '\0') {
		(void)fputs("pgdrove: -d needs the setting log_file: there will be no terminal to "
			    "write to\n",
		    stderr);
		exit(1);
	}
	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		(void)fprintf(
		    stderr, "pgdrove: cannot start in the background: %s\n", strerror(errno));
		exit(1);
	}
	if (pid != 0) {
		(void)close(fds[1]);
		await_ready(fds[0], pid, conf->log_file);
	}
	(void)close(fds[0]);
	if (leave_terminal() == -1) {
		(void)dprintf(fds[1], "cannot leave the terminal: %s", strerror(errno));
		exit(1);
	}
	return fds[1];
}

/* All that OpenSSL allocates goes to pages that no core dump holds; private keys, and what
 * handshakes make, to pages that are locked besides. Without these (little address space) they go
 * with the rest; not locked (RLIMIT_MEMLOCK), they still count. */
static void
keep_keys_apart(void)
{
	strongbox_openssl();
	if (CRYPTO_secure_malloc_init(KEY_HEAP, KEY_HEAP_PIECE) == 0)
		log_warnx("OpenSSL has no locked memory for private keys");
}

int
main(int argc, char **argv)
{
	struct args args = {.conf = MAIN_CONF};
	struct conf *conf;
	int ready_fd = -1;

	upgrade_remember(argc, argv);
	setproctitle_init(argc, argv, environ);
	if (inherit_read())
		ready_fd = inherit_ready_fd();
	if (argc > 1 && strcmp(argv[1], "stat") == 0)
		return stat_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "convert") == 0)
		return convert_main(argc - 1, argv + 1);
	if (argc == 2 && strcmp(argv[1], "auth-helper") == 0)
		return worker_auth_helper();
	read_args(&args, argc, argv);
	keep_keys_apart();
	conf = conf_load(args.conf, stderr);
	if (conf == NULL)
		return 1;
	if (args.check) {
		conf_warn(conf);
		(void)printf("%s: configuration is valid\n", args.conf);
		conf_free(conf);
		return 0;
	}
	if (args.daemon && ready_fd == -1)
		ready_fd = daemonise(conf);
	return master_run(conf, ready_fd);
}
