/* SPDX-License-Identifier: MIT */
/*
 * taiod: reads the configuration, then prints what was asked for and exits, checks the configuration, or runs
 * the daemon.
 */
#include "config.h"
#include "daemon.h"
#include "log.h"
#include "options.h"
#include "tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_OK, EXIT_RUN, EXIT_USAGE, EXIT_BAD_FILES };

static int exit_status(int err)
{
	bool is_shortage = err == -ENOMEM || err == -EMFILE || err == -ENFILE;

	return is_shortage ? EXIT_RUN : EXIT_USAGE;
}

static int refuse(int err, const char *why)
{
	fprintf(stderr, "taiod: %s\n", why);
	return exit_status(err);
}

/* Carries out an action that prints something and exits. -1: none was given. */
static int act(const struct settings *settings)
{
	if (settings->show_version)
		printf("taiod %s\n", TAIO_VERSION);
	else if (settings->show_man)
		opt_man(&taiod_program, stdout);
	else if (settings->show_help)
		opt_help(&taiod_program, stdout);
	else if (settings->sample_config)
		opt_sample(&taiod_program, stdout);
	else if (settings->dump_config)
		opt_dump(&taiod_program, settings, stdout);
	else
		return -1;
	return EXIT_OK;
}

/* What -t says of a configuration that taiod would start with. */
static int report_valid(const struct config *config)
{
	if (!config->nbad) {
		printf("taiod: the configuration is valid\n");
		return EXIT_OK;
	}
	fprintf(stderr, "taiod: the configuration is valid, but %u file%s of cert-dir cannot be used\n",
		config->nbad, config->nbad == 1 ? "" : "s");
	return EXIT_BAD_FILES;
}

/* For a service manager that has nothing but this program to send a signal with. */
static int reload(const struct config *config)
{
	pid_t pid = (pid_t)config->settings->reload_pid;

	if (kill(pid, SIGHUP) < 0) {
		fprintf(stderr, "taiod: cannot have process %d reload: %s\n", (int)pid, strerror(errno));
		return EXIT_RUN;
	}
	return report_valid(config);
}

/* Takes over @config. */
static int check_or_run(struct config *config, int argc, char **argv)
{
	char why[CONFIG_WHY_LEN];
	int ret = config_listeners(config, why), status;

	if (!ret)
		ret = config_verify(config, NULL, why);
	if (!ret)
		ret = config_verify_tls(config, why);
	if (!ret && !config->settings->check && !config->settings->reload_pid)
		return daemon_run(config, argc, argv) ? EXIT_RUN : EXIT_OK;
	if (ret)
		status = refuse(ret, why);
	else
		status = config->settings->check ? report_valid(config) : reload(config);
	config_put(config);
	return status;
}

/* Where one is closed the next file opened would take its place, and the log would go into it. */
static void open_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	struct config *config;
	char why[CONFIG_WHY_LEN];
	int ret, status;

	open_standard_files();
	if (!tls_memory_count())
		fprintf(stderr,
			"taiod: the memory of OpenSSL cannot be counted; max-memory holds without it\n");
	options_init();
	ret = config_read(&config, argc, argv, why);
	if (ret)
		return refuse(ret, why);
	log_init((enum log_level)config->settings->log_level);
	status = act(config->settings);
	if (status < 0)
		return check_or_run(config, argc, argv);
	config_put(config);
	return status;
}
