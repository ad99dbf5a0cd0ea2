/** The exit code of `sshdesk connect HOST COMMAND` that is not the command's. Runs in: user. */

/** What is no status of a program: a signal, no word at all, and every failure of ours. */
export const noStatus = 255;
