/**
 * The `sshdesk` script of --supervised, which is the first process of the service. Runs in: monitor.
 */
const lookMs = 1000;

/** It ends at once, and with it the service; the logins of this daemon do not. */
export function leaveSupervisor(supervisor: number | undefined): void {
  if (supervisor !== undefined && supervisor === process.ppid) {
    process.kill(supervisor, 'SIGUSR1');
  }
}

/** Killed, it has told nobody; whoever starts the service anew needs the ports. */
export function onLostSupervisor(supervisor: number | undefined, lost: () => void): void {
  if (supervisor === undefined) {
    return;
  }
  const timer = setInterval(() => {
    if (process.ppid !== supervisor) {
      clearInterval(timer);
      lost();
    }
  }, lookMs).unref();
}
