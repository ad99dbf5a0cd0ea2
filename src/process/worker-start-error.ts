/** Why no worker can be started, and what helps: the daemon ends with it. Runs in: monitor. */
import { ConfigError } from '../base/errors.ts';
import { installDirectory } from './places.ts';

/** Steps that the zygote, or the worker itself, passes over when it may. */
const ofConfinement = /namespace|root directory|seccomp|bounding set|non-dumpable|permissions/;

function remedy(reason: string): string {
  if (reason.startsWith('/')) {
    return `; it runs as the user sshdesk, who must be able to read all of it: chmod -R go+rX ${installDirectory}`;
  }
  return ofConfinement.test(reason)
    ? '; "WorkerConfinement relaxed" in sshdesk_config goes on without it'
    : '';
}

export class WorkerStartError extends ConfigError {
  constructor(cause: Error) {
    super(`sshdesk: cannot start a worker: ${cause.message}${remedy(cause.message)}`, { cause });
  }
}
