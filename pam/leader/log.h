/*
 * What PAM modules and libraries write with syslog(3), under the name of the login that they work
 * for. Runs in: leader.
 */
#ifndef SSHDESK_LEADER_LOG_H
#define SSHDESK_LEADER_LOG_H

/* In front of every line from here on, such as `sshd[4194305]`: as the monitor's own lines have it. */
void log_name_set(const char *name);

#endif
